"""Data sources as a stream of rows: a file of any length is never loaded as a whole.

Whatever is wrong with a row is a :class:`~effrl.errors.UserError` of one line, ``path:LINE: what is wrong and what to
do``.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, assert_never

from effrl.config.data import (
    FileSource,
    FolderSource,
    HubSource,
    JsonlSource,
    MixSource,
    ParquetSource,
    RowSource,
    Source,
    TaskSource,
    location,
    short_form,
)
from effrl.config.template import PLAIN, Form
from effrl.data import folder, hub, jsonl
from effrl.data.mix import interleave
from effrl.data.rows import Record, row_of
from effrl.data.text import short
from effrl.errors import Malformed, UserError
from effrl.tasks import gym
from effrl.tasks.source import FAMILIES, level_range, problems
from effrl.types import Prompt, Row


@dataclass(frozen=True, slots=True)
class Pool:
    """What is drawn from with one weight: a source, or a part of a mix."""

    source: RowSource
    weight: float = 1.0
    prefix: str = ""
    """Comes before the ids of its rows, so that no two pools share an id."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What is at one place of a source: a row, or what is wrong with it."""

    place: str
    row: Row | Malformed


def read(source: Source, form: Form = PLAIN) -> Iterator[Row]:
    """The rows of ``source`` in order, one at a time; only their ids are kept, to find those that are used twice.

    The parts of a mix take turns by weight, until each is read once.

    Args:
        form: what becomes of each prompt.

    Raises (while iterating):
        UserError: a file cannot be read or is empty, or a row is malformed.
    """
    return (row for _, row in placed(source, form))


def placed(source: Source, form: Form = PLAIN) -> Iterator[tuple[str, Row]]:
    """The rows of ``source`` as :func:`read` gives them, each with its place: ``train.jsonl:17``."""
    return interleave([(pool.weight, _placed(pool, form)) for pool in pools(source)])


def pools(source: Source) -> list[Pool]:
    """The parts of a mix, or the one source."""
    if not isinstance(source, MixSource):
        return [Pool(source)]
    return [Pool(part.source, part.weight, f"{number}/") for number, part in enumerate(source.parts, start=1)]


def with_label(source: RowSource, key: str) -> str:
    """The short form of a source whose labels are at a key; tasks have theirs."""
    return short_form(source if isinstance(source, TaskSource) else source.model_copy(update={"label": key}))


def read_pool(pool: Pool, form: Form = PLAIN) -> Iterator[Row]:
    """The rows of one pool; raises as :func:`read` does."""
    return (row for _, row in _placed(pool, form))


def _placed(pool: Pool, form: Form) -> Iterator[tuple[str, Row]]:
    for entry in scan(pool, form):
        if isinstance(entry.row, Malformed):
            raise UserError(f"{entry.place}: {entry.row}")
        yield entry.place, entry.row


def prompts_of(pool: Pool, form: Form, labelled_only: bool) -> list[Prompt]:
    """The prompts of one pool, all or those that have a label, without it; raises as :func:`read` does."""
    return [row.prompt for row in read_pool(pool, form) if row.label is not None or not labelled_only]


def scan(pool: Pool, form: Form = PLAIN) -> Iterator[Entry]:
    """The rows of one pool with their places, and what is wrong with those that are malformed.

    Raises (while iterating):
        UserError: a file cannot be read or is empty.
    """
    if isinstance(pool.source, TaskSource):
        rows = enumerate(_read_tasks(pool.source), start=1)
        entries: Iterable[Entry] = (Entry(f"{location(pool.source)}, row {number}", row) for number, row in rows)
    else:
        entries = _scan_file(pool.source)
    for entry in entries:
        yield replace(entry, row=_formed(entry.row, pool.prefix, form))


def _formed(row: Row | Malformed, prefix: str, form: Form) -> Row | Malformed:
    if isinstance(row, Malformed):
        return row
    try:
        content = form.apply(row.prompt.content)
    except Malformed as problem:
        return problem
    return replace(row, prompt=replace(row.prompt, id=prefix + row.prompt.id, content=content))


def _read_tasks(source: TaskSource) -> Iterator[Row]:
    try:
        for text, meta, label in _task_rows(source):
            digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
            yield Row(Prompt(f"{source.name}/{digest}", text, {"family": source.name, **meta}), label)
    except ValueError as error:
        raise UserError(f"{error}; lower size") from None


def _task_rows(source: TaskSource) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Text, public meta and label of each problem."""
    name, split, size, seed = source.name, source.split, source.size, source.seed
    if name in gym.NAMES:
        for item in gym.problems(name, split, size, seed):
            yield item.prompt, item.meta, item.answer
        return
    kinds = source.kinds or FAMILIES[name].KINDS
    for problem in problems(name, split, size, seed, level_range(name, source.levels), kinds):
        label = problem.answer if source.labels == "answers" else problem.right.text
        yield problem.prompt, {"level": problem.level, "kind": problem.kind}, label


def _scan_file(source: FileSource) -> Iterator[Entry]:
    where, keys = location(source), (source.prompt, source.label, source.id)
    if len(set(keys)) < len(keys):  # a label that doubles as prompt or id would reach the policy or the logs unbought
        raise UserError(f"{where}: prompt, label and id must be three different keys, not {', '.join(keys)}")
    by_line = isinstance(source, JsonlSource)
    stem, records = _records(source)
    record, seen = None, dict[str, int]()
    for record in records:
        yield Entry(record.place, _row(source, stem, record, seen, "on line" if by_line else "in row"))
    if record is None:
        raise UserError(
            f"{where}: the file is empty; write one JSON object per line" if by_line else f"{where}: no rows"
        )


def _row(source: FileSource, stem: str, record: Record, seen: dict[str, int], at: str) -> Row | Malformed:
    """A row whose id was not seen before."""
    try:
        row = row_of(source, stem, record)
    except Malformed as problem:
        return problem
    if (first := seen.setdefault(row.prompt.id, record.number)) != record.number:
        return Malformed(f"id {short(row.prompt.id)} was used {at} {first} already: make ids unique")
    return row


def _records(source: FileSource) -> tuple[str, Iterator[Record]]:
    """What ids begin with, and the records of all files."""
    match source:
        case JsonlSource():
            return jsonl.stem(source.path), jsonl.records(source.path)
        case ParquetSource():
            return source.path.stem, _records_of(source.path, ".parquet")
        case FolderSource():
            files = folder.find(source.path, source.config, source.split, short_form(source))
            return f"{source.path.resolve().name}/{files.split}", _numbered(files.paths)
        case HubSource():
            files = hub.fetch(source)
            return f"{source.name.rpartition('/')[2]}/{files.split}", _numbered(files.paths)
        case _:
            assert_never(source)


def _numbered(paths: Sequence[Path]) -> Iterator[Record]:
    """The records of several files, numbered through."""
    records = chain.from_iterable(_records_of(path, path.suffix) for path in paths)
    return (replace(record, number=number) for number, record in enumerate(records, start=1))


def _records_of(path: Path, suffix: str) -> Iterator[Record]:
    if suffix not in (".parquet", ".arrow"):
        return jsonl.records(path)
    from effrl.data import tables  # pyarrow takes half a second, and most runs need none

    return tables.arrow_records(path) if suffix == ".arrow" else tables.parquet_records(path)
