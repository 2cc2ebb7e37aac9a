"""The fields of a config by their dotted names, over all kinds of a section."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

from effrl.config.schema import Config

PLUGIN = "plugin"
"""Tag of what an import path names."""


def _tags_of(schema: object) -> set[str]:
    """Tags of all discriminated unions, which pydantic puts into locations; read off what it validates with."""
    if isinstance(schema, Mapping):
        own = set(schema["choices"]) if schema.get("type") == "tagged-union" else set[str]()
        return own.union(*map(_tags_of, schema.values()))
    return set[str]().union(*map(_tags_of, schema)) if isinstance(schema, list | tuple) else set()


TAGS = _tags_of(Config.__pydantic_core_schema__)


def fields_at(location: Sequence[str]) -> list[str]:
    """Field names that are legal at a location, over all kinds of a union unless it names one by its tag."""
    return sorted({name for model in models_at(location) for name in model.model_fields})


def required_at(location: Sequence[str]) -> list[str]:
    """The first field that a section cannot do without, if it has one; none where a value can stand for the section."""
    models = models_at(location)
    fields = models[0].model_fields.items() if len(models) == 1 else ()
    return [name for name, field in fields if field.is_required()][:1]


def models_at(location: Sequence[str]) -> list[type[BaseModel]]:
    """The sections that a location may be: of a section with kinds, each of them."""
    models: list[type[BaseModel]] = [Config]
    for name in location:
        fields = [model.model_fields[name] for model in models if name in model.model_fields]
        inside = [model for field in fields for model in _models_in(field.annotation)]
        # Neither a field nor a kind: a place in a list or a mapping, where legal is what that holds.
        models = inside or _of_kind(models, name) or models
    return models


def _of_kind(models: Sequence[type[BaseModel]], tag: str) -> list[type[BaseModel]]:
    """The member of a union that has a tag; a plug-in's kind is any text, so it has no names of its own."""
    kinds = [
        (model, get_args(model.model_fields["kind"].annotation)) for model in models if "kind" in model.model_fields
    ]
    return [model for model, names in kinds if tag in (names or (PLUGIN,))]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
