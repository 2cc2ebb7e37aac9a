"""Data sources as a stream of rows: a file of any length is never loaded as a whole.

Whatever is wrong with a row is a :class:`~effrl.errors.UserError` of one line, ``path:LINE: what is wrong and what to
do``. :func:`survey` reads a source once before a run starts, so that row 900,000 cannot end it hours later.
"""

import difflib
import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Never, assert_never
from urllib.parse import urlencode

from effrl.config import JsonlSource, TaskSource
from effrl.errors import UserError
from effrl.tasks import gym
from effrl.tasks.source import FAMILIES, level_range, problems
from effrl.types import Message, Prompt, Row

_BOM = b"\xef\xbb\xbf"
_USUAL_PROMPT_KEYS = ("question", "problem", "messages", "instruction", "input", "query", "text", "prompt")


@dataclass(frozen=True, slots=True)
class Survey:
    """What one pass over a source found: ``Survey(7473, 7473, 985, "train:4012")``."""

    rows: int
    labelled: int
    """Rows with a label."""
    longest_bytes: int
    """Length of the longest prompt, in UTF-8 bytes: an upper bound of its tokens, near enough to warn early."""
    longest_id: str


def survey(source: TaskSource | JsonlSource) -> Survey:
    """Read ``source`` once, to the end.

    Raises:
        UserError: a row is malformed, or there are no rows.
    """
    rows, labelled, longest, longest_id = 0, 0, -1, ""
    for row in read(source):
        rows += 1
        labelled += row.label is not None
        if (length := _length(row.prompt)) > longest:
            longest, longest_id = length, row.prompt.id
    if rows == 0:
        raise UserError(f"{source.kind} source without rows: nothing to read")
    return Survey(rows, labelled, longest, longest_id)


def read(source: TaskSource | JsonlSource) -> Iterator[Row]:
    """The rows of ``source`` in order, one at a time; only their ids are kept, to find those that are used twice.

    Raises (while iterating):
        UserError: the file cannot be read or is empty, or a row is malformed.
    """
    match source:
        case TaskSource():
            return _read_tasks(source)
        case JsonlSource():
            return _read_jsonl(source)
        case _:
            assert_never(source)


def _length(prompt: Prompt) -> int:
    if isinstance(prompt.content, str):
        return len(prompt.content.encode())
    return sum(len(message["content"].encode()) for message in prompt.content)


def _read_tasks(source: TaskSource) -> Iterator[Row]:
    try:
        for text, meta, answer in _task_rows(source):
            digest = hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
            yield Row(Prompt(f"{source.name}/{digest}", text, {"family": source.name, **meta}), answer)
    except ValueError as error:
        raise UserError(f"{error}; lower size") from None


def _task_rows(source: TaskSource) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Text, public meta and answer of each problem."""
    name, split, size, seed = source.name, source.split, source.size, source.seed
    if name in gym.NAMES:
        for item in gym.problems(name, split, size, seed):
            yield item.prompt, item.meta, item.answer
        return
    kinds = source.kinds or FAMILIES[name].KINDS
    for problem in problems(name, split, size, seed, level_range(name, source.levels), kinds):
        yield problem.prompt, {"level": problem.level, "kind": problem.kind}, problem.answer


class _Malformed(Exception):
    """What is wrong with one row; the reader adds the path and the line."""


def _read_jsonl(source: JsonlSource) -> Iterator[Row]:
    keys = (source.prompt, source.label, source.id)
    if len(set(keys)) < len(keys):  # a label that doubles as prompt or id would reach the policy or the logs unbought
        raise UserError(f"{source.path}: prompt, label and id must be three different keys, not {', '.join(keys)}")
    seen: dict[str, int] = {}
    for number, line in _lines(source.path):
        try:
            row = _row(source, number, _object(line))
            if (first := seen.setdefault(row.prompt.id, number)) != number:
                raise _Malformed(f"id {_short(row.prompt.id)} was used on line {first} already: make ids unique")
        except _Malformed as error:
            raise UserError(f"{source.path}:{number}: {error}") from None
        yield row
    if not seen:
        raise UserError(f"{source.path}: the file is empty; write one JSON object per line")


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that are not blank, from 1. Bytes, so that a wrong encoding has a line number too."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                content = (line.removeprefix(_BOM) if number == 1 else line).rstrip(b"\r\n")
                if content.strip():
                    yield number, content
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; check the path, which is relative to {Path.cwd()}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: this is a directory; name one JSON Lines file in it") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line.decode(), parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise _Malformed(f"not UTF-8 (byte {error.start + 1} of the line): convert the file to UTF-8") from None
    except json.JSONDecodeError as error:
        raise _Malformed(
            f"not JSON ({error.msg.removesuffix(' at')} at column {error.colno}): write one JSON object per line"
        ) from None
    except RecursionError:
        raise _Malformed("not readable JSON (nested too deeply): write one flat JSON object per line") from None
    except ValueError as error:  # an integer with thousands of digits, for one
        raise _Malformed(f"not readable JSON ({error}): write such values as strings") from None
    if not isinstance(value, dict):
        raise _Malformed(f'not an object but {_kind(value)}: write one JSON object per line, like {{"prompt": "…"}}')
    return value


def _no_constant(name: str) -> Never:
    raise _Malformed(f"{name} is not JSON: write null, or a string")


def _row(source: JsonlSource, number: int, value: dict[str, Any]) -> Row:
    if source.prompt not in value:
        raise _Malformed(_missing_prompt(source, list(value)))
    content = _content(source.prompt, value.pop(source.prompt))
    label = _label(source.label, value.pop(source.label, None))
    row_id = _id(source.id, value.pop(source.id, None)) or f"{source.path.stem}:{number}"
    return Row(Prompt(row_id, content, value), label)


def _missing_prompt(source: JsonlSource, keys: list[str]) -> str:
    """Say which keys the row has, and spell out the source that would read it."""
    if not keys:
        return f"no {_short(source.prompt)}, the row is an empty object: give it a prompt"
    listed = ", ".join(_short(key) for key in keys[:10]) + (", …" if len(keys) > 10 else "")
    usual = (key for key in _USUAL_PROMPT_KEYS if key in keys)
    candidates = [key for key in keys if key not in (source.label, source.id)] or keys
    guess = next(iter(difflib.get_close_matches(source.prompt, candidates, n=1)), None) or next(usual, candidates[0])
    options = {"prompt": guess}
    options |= {"label": source.label} if source.label != "label" else {}
    options |= {"id": source.id} if source.id != "id" else {}
    hint = f"{source.path}?{urlencode(options)}"
    return f'no key {_short(source.prompt)}, the row has {listed}: name the prompt\'s key, like data.train="{hint}"'


def _content(key: str, value: object) -> str | tuple[Message, ...]:
    if isinstance(value, str):
        return _text(_short(key), value)
    if isinstance(value, list) and value:
        return tuple(_message(f"message {at} of {_short(key)}", item) for at, item in enumerate(value, start=1))
    what = "an empty list" if value == [] else _kind(value)
    raise _Malformed(f"{_short(key)} is {what}: write a string, or a list of messages with role and content")


def _message(name: str, value: object) -> Message:
    if not isinstance(value, dict):
        raise _Malformed(f'{name} is {_kind(value)}: write {{"role": "user", "content": "…"}}')
    for key in ("role", "content"):
        if key not in value:
            raise _Malformed(f"{name} has no {key}: a message has role and content")
        if not isinstance(value[key], str):
            raise _Malformed(f"{key} of {name} is {_kind(value[key])}: write a string")
    if unknown := sorted(value.keys() - {"role", "content"}):
        raise _Malformed(f"{name} has the key {_short(unknown[0])}, which nothing reads: keep role and content only")
    return Message(role=_text(f"role of {name}", value["role"]), content=_text(f"content of {name}", value["content"]))


def _label(key: str, value: object) -> str | None:
    match value:
        case None:
            return None
        case str():
            return _text(_short(key), value, instead="leave it out or write null where there is no label")
        case bool():
            pass
        case int():
            return str(value)
        case float():
            if not math.isfinite(value):  # 1e999 in the file
                raise _Malformed(f"{_short(key)} is too large a number: write it as a string")
            return format(Decimal(repr(value)), "f")  # 0.00001 as written, not 1e-05: graders compare text
    raise _Malformed(f"{_short(key)} is {_kind(value)}: write a string or a number, or null for no label")


def _id(key: str, value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _text(_short(key), value, instead="leave it out to number rows by line")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise _Malformed(f"{_short(key)} is {_kind(value)}: write a string or a whole number, or leave it out")


def _text(name: str, value: str, instead: str = "write some text") -> str:
    if not value.strip():
        raise _Malformed(f"{name} is empty: {instead}")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, which no tokenizer or database takes
        raise _Malformed(f"{name} holds half of a surrogate pair (\\ud800 to \\udfff): repair the text") from None
    return value


def _kind(value: object) -> str:
    """The type of a JSON value in its own words."""
    kinds: Mapping[type, str] = {str: "a string", list: "a list", dict: "an object", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


def _short(text: str) -> str:
    """``text`` quoted on one line, cut where it is long."""
    return json.dumps(text if len(text) <= 60 else f"{text[:57]}…", ensure_ascii=False)
