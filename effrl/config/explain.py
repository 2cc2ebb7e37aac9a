"""What is wrong with a config, in one line for each problem: where, what, and what to do."""

import difflib
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from effrl.config.fields import PLUGIN, TAGS, fields_at, required_at


def explain(problem: Any) -> str:
    """One validation problem as one line: where, what, and what to do."""
    location = [str(part) for part in problem["loc"] if part not in TAGS]
    where, given = ".".join(location) or "config", problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            return _unknown_key([str(part) for part in problem["loc"]])
        case "missing":
            required = [*location, *required_at(location)]
            return f"{where} is missing; set it, for example {'.'.join(required)}=…"
        case "model_type" | "model_attributes_type":
            return f"{where} is a section, not a value: set its keys ({', '.join(fields_at(location))}), not {given!r}"
        case "union_tag_not_found":
            return f"{where}.kind is missing; set it, for example {where}.kind=…"
        case "union_tag_invalid":
            return _unknown_kind(where, str(given["kind"]), problem["ctx"]["expected_tags"])
        case "int_parsing" | "int_from_float":
            return f"{where}: write a whole number, such as 1000, 1_000 or 1e3 (got {given!r})"
        case "float_parsing":
            return f"{where}: write a number, such as 0.001 or 1e-3 (got {given!r})"
        case "tuple_type" | "list_type":
            return f"{where}: write a list, like [{{…}}, {{…}}] (got {given!r})"
        case "string_pattern_mismatch":  # import paths are the only pattern in a config
            return f"{where}: {given!r} is no import path; write package.module:function"
    message = problem["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(given, dict | BaseModel) else f" (got {given!r})"
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"


def _unknown_key(location: Sequence[str]) -> str:
    """``location`` holds the tags of kinds, so that no key of another kind is proposed."""
    *parents, key = location
    known = fields_at(parents)
    section = "".join(f"{part}." for part in parents if part not in TAGS)
    match = closest(key, known)
    hint = f"did you mean {section + match!r}?" if match else f"known: {', '.join(known)}"
    return f"unknown key {section + key!r}; {hint}"


def _unknown_kind(where: str, kind: str, tags: str) -> str:
    """The user's own plug-in is no kind of that name: its kind is its import path."""
    kinds = tags.replace("'", "").split(", ")
    named = [kind for kind in kinds if kind != PLUGIN]
    own = " or an import path package.module:function" if PLUGIN in kinds else ""
    match = closest(kind, named)
    hint = f"did you mean {match!r}?" if match else f"known: {', '.join(named)}{own}"
    return f"unknown kind {where}.kind={kind}; {hint}"


def closest(word: str, words: Sequence[str]) -> str | None:
    """The word that was probably meant."""
    matches = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return matches[0] if matches else None
