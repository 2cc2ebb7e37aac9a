"""``data``: where prompts and labels come from, and the short form of any source: ``rows.parquet?prompt=question``."""

import difflib
import re
from collections.abc import Mapping
from typing import Annotated, Literal
from urllib.parse import parse_qsl, urlencode

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    Discriminator,
    Tag,
    field_validator,
    model_validator,
)

from effrl.config.section import LocalPath, PositiveFloat, PositiveInt, Section, expanded
from effrl.config.template import PLAIN, Form, Template, check_system, check_template
from effrl.tasks import gym
from effrl.tasks.source import FAMILIES, Split, level_range


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
    path: LocalPath
    """File to read, one JSON object per line; packed by gzip or zstd where it ends in .gz or .zst."""


class ParquetSource(RowKeys):
    """Rows of a Parquet file: ``problems.parquet?prompt=question&label=answer``."""

    kind: Literal["parquet"] = "parquet"
    path: LocalPath
    """File to read, one row group after the other."""


class FolderSource(RowKeys):
    """A data set in a directory: what ``save_to_disk`` of Hugging Face datasets wrote, or a copy of a hub repository.

    ``folder:my_set?split=test`` reads Arrow, Parquet and JSON Lines.
    """

    kind: Literal["folder"] = "folder"
    path: LocalPath
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
    if colon and rest.startswith("//"):
        raise ValueError("effrl reads files of this machine and data sets of the hub: download it, or write hf:NAME")
    if colon and (close := difflib.get_close_matches(kind.lower(), [*_PREFIXES, "huggingface"], n=1, cutoff=0.7)):
        meant = "hf" if close[0] == "huggingface" else close[0]
        raise ValueError(f"no kind of source is called {kind}; did you mean {meant}:{rest}?")
    # What a variable stands for may end in .parquet.
    return {"kind": "parquet" if expanded(location).endswith(".parquet") else "jsonl", "path": location, **options}


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


class TaskSource(Section):
    """Rows that the project makes: ``tasks:chain?split=dev&size=128&levels=0-2``."""

    kind: Literal["tasks"] = "tasks"
    name: Literal[(*FAMILIES, *gym.NAMES)]  # type: ignore[valid-type]
    """Task family of :mod:`effrl.tasks`, or a data set of reasoning-gym."""
    split: Split = "train"
    """Splits never share a problem, whatever their seeds."""
    size: PositiveInt = 4096
    """Distinct problems to draw."""
    seed: int = 0
    """Seed of the draw."""
    levels: str | None = None
    """First and last level, such as ``0-2``, or one level; all by default."""
    kinds: str | None = None
    """Kinds to draw, such as ``abc``; one that stands there twice is drawn twice as often. All by default."""
    labels: Literal["answers", "solutions"] = "answers"
    """What a label is: the bare answer, or the worked solution that ends in it, as the tiny models write one."""

    @model_validator(mode="after")
    def _of_the_family(self) -> "TaskSource":
        if self.name in gym.NAMES:
            if self.levels or self.kinds or self.labels == "solutions":
                raise ValueError(f"tasks:{self.name} has no levels, no kinds and no solutions: leave them out")
            return self
        family = FAMILIES[self.name]
        level_range(self.name, self.levels)
        if unknown := set(self.kinds or family.KINDS) - set(family.KINDS):
            raise ValueError(f"kinds of tasks:{self.name} are {family.KINDS}, not {''.join(sorted(unknown))}")
        return self


_Source = TaskSource | JsonlSource | ParquetSource | FolderSource | HubSource


RowSource = Annotated[_Source, Discriminator("kind"), BeforeValidator(parse_source)]


class MixPart(Section):
    """One source of a mix."""

    source: RowSource
    """Where its rows come from."""
    weight: PositiveFloat = 1.0
    """Its share of the draws, relative to the other parts; how many rows it has does not matter."""


class MixSource(Section):
    """Rows of several sources: ``[{source: "a.jsonl", weight: 2}, "tasks:chain"]``.

    Row ids get the number of their part before them: ``2/chain/3f2a``.
    """

    kind: Literal["mix"] = "mix"
    parts: tuple[Annotated[MixPart, BeforeValidator(parse_part)], ...]
    """The sources, with their weights."""

    @field_validator("parts")
    @classmethod
    def _not_empty(cls, parts: tuple[MixPart, ...]) -> tuple[MixPart, ...]:
        if not parts:
            raise ValueError("a list without sources has no rows: name at least one")
        return parts


Source = Annotated[_Source | MixSource, Discriminator("kind"), BeforeValidator(parse_source)]


def one_or_several(value: object) -> str:
    """Which form of ``data.eval`` it is: a mapping is one source in its long form, or names several."""
    several = isinstance(value, dict) and value.keys().isdisjoint({"kind", "path", "name"})
    return SEVERAL_SOURCES if several else ONE_SOURCE


def _named_well(sets: dict[str, Source]) -> dict[str, Source]:
    if wrong := [name for name in sets if not re.fullmatch(r"[\w.-]+", name)]:
        raise ValueError(f"{wrong[0]!r} cannot stand in the name of a metric: use letters, digits, - and _")
    if not sets:
        raise ValueError("an empty mapping has no rows: name at least one source, or leave it out")
    return sets


ONE_SOURCE, SEVERAL_SOURCES = "one source", "several sources"
"""Tags of the two forms of ``data.eval``; with a space, so that no set has the name of one."""


EvalSource = Annotated[
    Annotated[Source, Tag(ONE_SOURCE)]
    | Annotated[dict[str, Source], AfterValidator(_named_well), Tag(SEVERAL_SOURCES)],
    Discriminator(one_or_several),
]


DEV = "dev"
"""The set to choose by, and the name of a source that is the only one."""


class DataConfig(Section):
    train: Source
    """Prompts to train on, with or without labels."""
    eval: EvalSource | None = None
    """Held-out prompts: one source, or several by name. Their labels only ever reach metrics."""
    template: Annotated[Template, BeforeValidator(check_template)] = "plain"
    """How a row's prompt is put: plain, chat, boxed, question, or your own text or messages with {prompt} in them."""
    system: Annotated[str | None, AfterValidator(check_system)] = None
    """System prompt: makes messages of plain text; a row that has a system message of its own keeps it."""

    @property
    def form(self) -> Form:
        """What :func:`effrl.data.reader.read` makes of each row's prompt."""
        return Form(self.template, self.system)

    @property
    def mark(self) -> str | None:
        """``#``, which the built-in models write before an answer, where prompts are put as they know them."""
        parts = [part.source for part in self.train.parts] if isinstance(self.train, MixSource) else [self.train]
        ours = all(isinstance(part, TaskSource) and part.name in FAMILIES for part in parts)
        return "#" if ours and self.form == PLAIN else None

    @property
    def held_out(self) -> dict[str, Source]:
        """The evaluation sets by name; a source without one is ``dev``."""
        if self.eval is None:
            return {}
        return self.eval if isinstance(self.eval, dict) else {DEV: self.eval}

    @property
    def main_set(self) -> str | None:
        """The set whose metrics are ``eval/…``, without its name: ``dev``, or the first; last those to test on."""
        return min(self.held_out, key=lambda name: (self._is_test(name), name != DEV), default=None)

    @property
    def dev_set(self) -> str | None:
        """The set that chooses the best checkpoint: the main one; None where there are only sets to test on."""
        return None if self.main_set is None or self._is_test(self.main_set) else self.main_set

    def _is_test(self, name: str) -> bool:
        """Whether a set is named ``test…``, or has a source whose split is."""
        source = self.held_out[name]
        sources = [part.source for part in source.parts] if isinstance(source, MixSource) else [source]
        splits = [part.split for part in sources if isinstance(part, TaskSource | FolderSource | HubSource)]
        return any(text is not None and text.lower().startswith("test") for text in (name, *splits))

    def eval_field(self, name: str) -> str:
        """What an evaluation set is called in messages: ``data.eval``, or ``data.eval.test``."""
        return f"data.eval.{name}" if isinstance(self.eval, dict) else "data.eval"

    @model_validator(mode="after")
    def _one_system_prompt(self) -> "DataConfig":
        if self.system is not None and self.form.has_system:
            raise ValueError("data.template has a system message already: put data.system into it, or leave it out")
        return self
