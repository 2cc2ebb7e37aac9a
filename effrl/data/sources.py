"""Sources that read rows from files, and the short form of any source: ``rows.parquet?prompt=question``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal
from urllib.parse import parse_qsl, urlencode

from pydantic import BaseModel

from effrl.section import Section


class RowKeys(Section):
    """Where prompt, label and id are in a row. A dot reaches into an object: ``label=reward_model.ground_truth``."""

    prompt: str = "prompt"
    """Key of the prompt: a string, or a list of messages with role and content."""
    label: str = "label"
    """Key of the label; a row may lack it."""
    id: str = "id"
    """Key of the row's id; without it the id is made from the row's number."""


class JsonlSource(RowKeys):
    """Rows of a JSON Lines file: ``problems.jsonl?prompt=question&label=answer``."""

    kind: Literal["jsonl"] = "jsonl"
    path: Path
    """File to read, one JSON object per line."""


class ParquetSource(RowKeys):
    """Rows of a Parquet file: ``problems.parquet?prompt=question&label=answer``."""

    kind: Literal["parquet"] = "parquet"
    path: Path
    """File to read, one row group after the other."""


class FolderSource(RowKeys):
    """A data set in a directory: what ``save_to_disk`` of Hugging Face datasets wrote, or a copy of a hub repository.

    ``folder:my_set?split=test`` reads Arrow, Parquet and JSON Lines.
    """

    kind: Literal["folder"] = "folder"
    path: Path
    """The directory."""
    config: str | None = None
    """Configuration, where the data set has several."""
    split: str | None = None
    """Split to read; ``train`` by default, or the only one that there is."""


class HubSource(RowKeys):
    """A data set of the Hugging Face hub in Parquet or JSON Lines: ``hf:openai/gsm8k?config=main&prompt=question``."""

    kind: Literal["hf"] = "hf"
    name: str
    """Name on the hub; only the files that are read are downloaded, once."""
    config: str | None = None
    """Configuration, where the data set has several."""
    split: str | None = None
    """Split to read; ``train`` by default, or the only one that there is."""
    revision: str = "main"
    """Branch, tag or commit; ``refs/convert/parquet`` is the hub's own Parquet copy of any data set."""


FileSource = JsonlSource | ParquetSource | FolderSource | HubSource

_PREFIXES = {"tasks": "name", "hf": "name", "folder": "path"}
"""Kinds whose short form begins with their name and a colon, and the field that the location stands for."""


def parse_source(value: object) -> object:
    """Turn the short form of a source, or a list of sources, into the mapping that the strict models check."""
    if isinstance(value, list | tuple):
        return {"kind": "mix", "parts": value}
    if not isinstance(value, str):
        return value
    location, _, query = value.partition("?")
    options: dict[str, str] = dict(parse_qsl(query, keep_blank_values=True))
    kind, colon, rest = location.partition(":")
    if colon and kind in _PREFIXES:
        return {"kind": kind, _PREFIXES[kind]: rest, **options}
    return {"kind": "parquet" if location.endswith(".parquet") else "jsonl", "path": location, **options}


def parse_part(value: object) -> object:
    """A source without a weight is a part of weight 1."""
    return {"source": value} if isinstance(value, str) or (isinstance(value, Mapping) and "kind" in value) else value


def short_form(source: BaseModel) -> str:
    """The short form that :func:`parse_source` reads as ``source``, for messages: only what is not default."""
    options = source.model_dump(mode="json", exclude_defaults=True)
    options.pop(_PREFIXES.get(_kind(source), "path"))
    query = urlencode({name: value for name, value in options.items() if name != "kind"}, safe="/")
    return f"{location(source)}?{query}" if query else location(source)


def location(source: BaseModel) -> str:
    """The short form without options: ``rows.jsonl``, ``tasks:chain``."""
    kind = _kind(source)
    where = source.model_dump(mode="json")[_PREFIXES.get(kind, "path")]
    return f"{kind}:{where}" if kind in _PREFIXES else str(where)


def _kind(source: BaseModel) -> str:
    return str(type(source).model_fields["kind"].default)
