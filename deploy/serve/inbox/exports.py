"""Opinions to take away, piece by piece: however many there are, few are in memory."""

import io
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

ROWS = 2000
"""Of one piece, and of a row group of Parquet."""
_TEXTS = ("run", "uuid", "item", "query_id", "prompt_id", "prompt", "annotator", "purpose", "typed", "answer", "skip")
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in (*_TEXTS, "note", "standing", "amends", "state", "label", "lease")),
        *((name, pa.int64()) for name in ("step", "choice", "think_ms")),
        *((name, pa.float64()) for name in ("at", "asked_at", "priority")),
        ("agrees", pa.bool_()),
        ("candidates", pa.list_(pa.string())),
    ]
)


def as_jsonl(rows: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    """One JSON object a line."""
    while piece := list(islice(rows, ROWS)):
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in piece).encode()


def as_parquet(rows: Iterator[Mapping[str, Any]]) -> Iterator[bytes]:
    """A Parquet file, whose bytes leave as each row group is written."""
    drain = _Drain()
    with pq.ParquetWriter(drain, SCHEMA) as writer:
        while piece := list(islice(rows, ROWS)):
            writer.write_table(pa.Table.from_pylist(piece, schema=SCHEMA))
            yield drain.taken()
    yield drain.taken()


class _Drain(io.RawIOBase):
    """A file that forgets what was taken out of it, but not how long it is: Parquet's footer counts from the start."""

    def __init__(self) -> None:
        super().__init__()
        self._piece, self._length = bytearray(), 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._piece += data
        self._length += len(data)
        return len(data)

    def tell(self) -> int:
        return self._length

    def taken(self) -> bytes:
        """What was written since the last time."""
        piece, self._piece = bytes(self._piece), bytearray()
        return piece
