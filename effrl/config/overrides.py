"""Dotted overrides: ``section.key=value``, where the value is YAML unless the field takes text."""

from collections.abc import Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from effrl.config.fields import models_at
from effrl.config.notation import Loader
from effrl.config.template import SLOT
from effrl.errors import UserError


def override(raw: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply overrides to a mapping, in order.

    Raises:
        UserError: one is none, or reaches into a plain value.
    """
    for text in overrides:
        path, separator, value = text.partition("=")
        if not separator or not path:
            raise UserError(f"{text!r} is not an override; write section.key=value, such as learn.lr=1e-4")
        *parents, leaf = path.split(".")
        node = raw
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise UserError(f"{text!r}: {parent} is a plain value, it has no key {leaf!r}")
            node = child
        node[leaf] = _value(value, _shapes_at(parents, leaf))
    return raw


def _value(text: str, shapes: frozenset[type]) -> Any:
    """What a text means to a field of these shapes.

    A field that takes text gets it as it was typed, unless the text means something else that the field takes too: a
    list, null. Quotes around the whole text are YAML's, so that ``"a\\nb"`` has two lines.
    """
    try:
        parsed = yaml.load(text, Loader)
    except (yaml.YAMLError, ValueError):
        text_alone = str in shapes and dict not in shapes  # then a bracket may be the first word's
        if text.startswith("[{" if text_alone else ("[", "{")):
            example = f'[{{role: user, content: "{SLOT}"}}]' if text_alone else "['a.jsonl?label=answer', 'b.jsonl']"
            raise UserError(f"{text} is not YAML: quote what is inside, like {example}") from None
        return text
    if isinstance(parsed, str):
        return parsed if text.strip()[0] in "\"'" else text
    if parsed is None and text.strip() not in ("", "null"):  # a comment, or ~, the home directory
        return text if not shapes or str in shapes else None
    return text if str in shapes and type(parsed) not in shapes else parsed


def _shapes_at(parents: Sequence[str], leaf: str) -> frozenset[type]:
    """The types of values that a field takes; none known of a key that is no field."""
    fields = [model.model_fields[leaf] for model in models_at(parents) if leaf in model.model_fields]
    return frozenset[type]().union(*map(_shapes_of, fields))


def _shapes_of(annotation: Any) -> frozenset[type]:
    if isinstance(annotation, FieldInfo):
        return _shapes_of(annotation.annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _shapes_of(arguments[0])
    if origin in (Union, UnionType):
        return frozenset[type]().union(*map(_shapes_of, arguments))
    if origin is Literal:
        return frozenset(map(type, arguments))
    if origin in (list, tuple):  # of which one value may stand alone
        inside = frozenset[type]().union(*map(_shapes_of, arguments))
        return frozenset({list}) | inside - {dict, type(None)}
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):  # some have a short form, which is text
        return frozenset({dict, list, str})
    return {Path: frozenset({str}), float: frozenset({float, int})}.get(annotation, frozenset({origin or annotation}))
