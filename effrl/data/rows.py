"""From one record of a file to a row: where prompt, label and id are, and what may be wrong with them."""

import difflib
import re
from dataclasses import dataclass
from typing import Any

from effrl.config.data import FileSource, short_form
from effrl.data import labels
from effrl.data.messages import content_of
from effrl.data.text import checked_text, kind_of, short
from effrl.errors import Malformed
from effrl.types import Prompt, Row

_USUAL_PROMPT_KEYS = ("question", "problem", "messages", "instruction", "input", "query", "text", "prompt")
_USUAL_LABEL_KEYS = (
    "label",
    "answer",
    "ground_truth",
    "final_answer",
    "target",
    "solution",
    "Label",
    "labels",
    "Answer",
)
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a file, or one row of a table: ``Record("rows.jsonl:3", 3, {"prompt": "1+1=", "label": 2})``."""

    place: str
    """For messages."""
    number: int
    """From 1; row ids are made of it."""
    value: dict[str, Any] | Malformed


def row_of(source: FileSource, stem: str, record: Record) -> Row:
    """The row that a record holds. Takes the record apart: what is neither prompt, label nor id becomes its meta.

    Args:
        stem: what the ids of rows without one begin with.

    Raises:
        Malformed: it holds none.
    """
    value = record.value
    if isinstance(value, Malformed):
        raise value
    keys = list(value)
    # The label first: it may be the last message of the prompt.
    found = _find(value, source.label)
    label = labels.take(*found) if found else None
    row_id, prompt = _take(value, source.id), _take(value, source.prompt)
    if prompt is _ABSENT:
        raise Malformed(_missing_prompt(source, keys))
    content = content_of(source.prompt, prompt)
    answer = labels.label_of(source.label, label)
    name = _id(source.id, None if row_id is _ABSENT else row_id) or f"{stem}:{record.number}"
    return Row(Prompt(name, content, value), answer)


def _take(value: dict[str, Any], key: str) -> Any:
    """Remove and return what a key, or a path of keys with dots, leads to."""
    if (found := _find(value, key)) is None:
        return _ABSENT
    holder, place = found
    return holder.pop(place)


def _find(value: Any, key: str) -> tuple[Any, str | int] | None:
    """What holds that to which a key or a path leads, and its key or place there: ``messages.-1`` is the last one."""
    if isinstance(value, dict) and key in value:
        return value, key
    if isinstance(value, list) and re.fullmatch(r"-?\d{1,4}", key) and -len(value) <= int(key) < len(value):
        return value, int(key)
    outer, dot, inner = key.partition(".")
    found = _find(value, outer) if dot else None
    return _find(found[0][found[1]], inner) if found else None


def _missing_prompt(source: FileSource, keys: list[str]) -> str:
    """Say which keys the row has, and spell out the source that would read it."""
    if not keys:
        return f"no {short(source.prompt)}, the row is an empty object: give it a prompt"
    listed = ", ".join(short(key) for key in keys[:10]) + (", …" if len(keys) > 10 else "")
    usual = (key for key in _USUAL_PROMPT_KEYS if key in keys)
    candidates = [key for key in keys if key not in (source.label, source.id)] or keys
    guess = next(iter(difflib.get_close_matches(source.prompt, candidates, n=1)), None) or next(usual, candidates[0])
    hint = short_form(source.model_copy(update={"prompt": guess, "label": _label_key(source, keys, guess)}))
    return f'no key {short(source.prompt)}, the row has {listed}: name the prompt\'s key, like data.train="{hint}"'


def likely_label(row: Row) -> str | None:
    """A key of a row without a label that may be its key: ``answer``, or ``reward_model.ground_truth`` as in verl."""
    meta = row.prompt.meta
    if found := next((key for key in _USUAL_LABEL_KEYS if meta.get(key) is not None), None):
        return found
    inside = {outer: value for outer, value in meta.items() if isinstance(value, dict)}
    return next((f"{outer}.{key}" for outer in inside for key in _USUAL_LABEL_KEYS if key in inside[outer]), None)


def _label_key(source: FileSource, keys: list[str], prompt: str) -> str:
    """The key of the label that was named, or a guess where the default one is not in the row."""
    if source.label != "label" or "label" in keys:
        return source.label
    return next((key for key in _USUAL_LABEL_KEYS if key in keys and key != prompt), source.label)


def _id(key: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return checked_text(short(key), value, instead="leave it out to number rows by line")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Malformed(f"{short(key)} is {kind_of(value)}: write a string or a whole number, or leave it out")
