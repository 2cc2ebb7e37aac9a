"""From one record of a file to a row: where prompt, label and id are, and what may be wrong with them."""

import difflib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from effrl.config.data import FileSource, short_form
from effrl.errors import Malformed
from effrl.types import Message, Prompt, Row

_USUAL_PROMPT_KEYS = ("question", "problem", "messages", "instruction", "input", "query", "text", "prompt")
_USUAL_LABEL_KEYS = ("answer", "ground_truth", "final_answer", "target", "solution")
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
    prompt, label, row_id = (_take(value, key) for key in (source.prompt, source.label, source.id))
    if prompt is _ABSENT:
        raise Malformed(_missing_prompt(source, keys))
    content = _content(source.prompt, prompt)
    answer = _label(source.label, None if label is _ABSENT else label)
    name = _id(source.id, None if row_id is _ABSENT else row_id) or f"{stem}:{record.number}"
    return Row(Prompt(name, content, value), answer)


def _take(value: dict[str, Any], key: str) -> Any:
    """Remove and return what a key, or a path of keys with dots, leads to."""
    if key in value or "." not in key:
        return value.pop(key, _ABSENT)
    outer, _, inner = key.partition(".")
    nested = value.get(outer)
    return _take(nested, inner) if isinstance(nested, dict) else _ABSENT


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


def _label_key(source: FileSource, keys: list[str], prompt: str) -> str:
    """The key of the label that was named, or a guess where the default one is not in the row."""
    if source.label != "label" or "label" in keys:
        return source.label
    return next((key for key in _USUAL_LABEL_KEYS if key in keys and key != prompt), source.label)


def _content(key: str, value: object) -> str | tuple[Message, ...]:
    if isinstance(value, str):
        return _text(short(key), value)
    if isinstance(value, list) and value:
        return tuple(_message(f"message {at} of {short(key)}", item) for at, item in enumerate(value, start=1))
    what = "an empty list" if value == [] else kind_of(value)
    raise Malformed(f"{short(key)} is {what}: write a string, or a list of messages with role and content")


def _message(name: str, value: object) -> Message:
    if not isinstance(value, dict):
        raise Malformed(f'{name} is {kind_of(value)}: write {{"role": "user", "content": "…"}}')
    for key in ("role", "content"):
        if key not in value:
            raise Malformed(f"{name} has no {key}: a message has role and content")
        if not isinstance(value[key], str):
            raise Malformed(f"{key} of {name} is {kind_of(value[key])}: write a string")
    # Tables have every key in every message, and null where there is nothing.
    if unknown := sorted(key for key in value.keys() - {"role", "content"} if value[key] is not None):
        raise Malformed(f"{name} has the key {short(unknown[0])}, which nothing reads: keep role and content only")
    return Message(role=_text(f"role of {name}", value["role"]), content=_text(f"content of {name}", value["content"]))


def _label(key: str, value: object) -> str | None:
    match value:
        case None:
            return None
        case str():
            return _text(short(key), value, instead="leave it out or write null where there is no label")
        case bool():
            pass
        case int():
            return str(value)
        case float():
            if not math.isfinite(value):  # 1e999 in the file
                raise Malformed(f"{short(key)} is too large a number: write it as a string")
            return format(Decimal(repr(value)), "f")  # 0.00001 as written, not 1e-05: graders compare text
    raise Malformed(f"{short(key)} is {kind_of(value)}: write a string or a number, or null for no label")


def _id(key: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _text(short(key), value, instead="leave it out to number rows by line")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise Malformed(f"{short(key)} is {kind_of(value)}: write a string or a whole number, or leave it out")


def _text(name: str, value: str, instead: str = "write some text") -> str:
    if not value.strip():
        raise Malformed(f"{name} is empty: {instead}")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, which no tokenizer or database takes
        raise Malformed(f"{name} holds half of a surrogate pair (\\ud800 to \\udfff): repair the text") from None
    return value


def kind_of(value: object) -> str:
    """The type of a JSON value in its own words."""
    kinds: Mapping[type, str] = {str: "a string", list: "a list", dict: "an object", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


def short(text: str) -> str:
    """``text`` quoted on one line, cut where it is long."""
    return json.dumps(text if len(text) <= 60 else f"{text[:57]}…", ensure_ascii=False)
