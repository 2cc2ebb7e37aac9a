"""Parquet and Arrow files, one batch of rows after the other. The only module that imports pyarrow."""

import math
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

from effrl.data import media
from effrl.data.jsonl import opened
from effrl.data.rows import Record
from effrl.errors import Malformed, UserError

_SHORT_FLOATS = {pa.float32(): np.float32, pa.float16(): np.float16}
_BATCH_ROWS = 256
_BUFFER_BYTES = 2**20
"""Read ahead of one column; without it a whole row group is read at once, which may be the whole file."""


def parquet_records(path: Path) -> Iterator[Record]:
    """Every row of a Parquet file, numbered from 1; raises as :func:`effrl.data.jsonl.records` does."""
    return _records(path, "Parquet file", _parquet_batches)


def arrow_records(path: Path) -> Iterator[Record]:
    """Every row of an Arrow stream, as ``save_to_disk`` writes it; raises as :func:`effrl.data.jsonl.records` does."""
    return _records(path, "Arrow stream", pyarrow.ipc.open_stream)


def zstd(file: BinaryIO) -> Any:
    """What a file is, unpacked, as a stream of bytes."""
    return pa.CompressedInputStream(file, "zstd")


def _parquet_batches(file: BinaryIO) -> Iterator[Any]:
    # Not on threads of its own: on a busy machine they only wait for each other, and they read further ahead.
    yield from pq.ParquetFile(file, buffer_size=_BUFFER_BYTES).iter_batches(_BATCH_ROWS, use_threads=False)


def _records(path: Path, what: str, batches_of: Callable[[BinaryIO], Iterator[Any]]) -> Iterator[Record]:
    number = 0
    with opened(path) as file:
        try:
            for batch in batches_of(file):
                for index in range(batch.num_rows):
                    number += 1
                    yield Record(f"{path}, row {number}", number, _row(batch, index))
        except (pa.ArrowException, OSError) as error:
            where = f" after row {number}" if number else ""
            reason = str(error).partition("\n")[0].rstrip(".")
            raise UserError(f"{path}: no readable {what}{where} ({reason}): write or download it again") from None


def _row(batch: Any, index: int) -> dict[str, Any] | Malformed:
    try:
        cells = {name: batch.column(place)[index].as_py() for place, name in enumerate(batch.schema.names)}
        media.refuse(cells)
    except UnicodeDecodeError:
        return Malformed("a text is not UTF-8: convert it")
    except Malformed as problem:
        return problem
    types = batch.schema.types
    return {
        name: _plain(value, kind)
        for (name, value), kind in zip(cells.items(), types, strict=True)
        if not isinstance(value, bytes)
    }


def _plain(value: Any, kind: Any) -> Any:
    """A value in the types of JSON: tables of the same rows as a JSON Lines file then read the same.

    Dates and decimals become text, NaN becomes null, a short float has the digits that it was written with, and bytes,
    which no prompt and no reward needs, are left out.
    """
    kind = _bare(kind)
    match value:
        case dict():
            fields = {field.name: field.type for field in kind}
            return {name: _plain(item, fields[name]) for name, item in value.items() if not isinstance(item, bytes)}
        case list() | tuple():
            if pa.types.is_map(kind):  # it comes as pairs
                return [[_plain(key, kind.key_type), _plain(item, kind.item_type)] for key, item in value]
            return [_plain(item, kind.value_type) for item in value if not isinstance(item, bytes)]
        case float() if math.isnan(value):
            return None
        case float() if kind in _SHORT_FLOATS:
            return float(str(_SHORT_FLOATS[kind](value)))  # 1.2, not 1.2000000476837158
        case datetime() | date() | time():
            return value.isoformat()
        case Decimal():
            return format(value, "f")
        case timedelta():
            return str(value)
    return value


def _bare(kind: Any) -> Any:
    """The type of the values themselves, which a dictionary or an extension type wraps."""
    while True:
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        elif isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        else:
            return kind
