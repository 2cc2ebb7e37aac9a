"""From a recipe's name or a YAML file, and dotted overrides, to a validated :class:`effrl.config.schema.Config`."""

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from effrl.config.data import SEVERAL_SOURCES, Source, one_or_several
from effrl.config.schema import Config
from effrl.errors import UserError

_RECIPES = resources.files("effrl") / "recipes"


def recipes() -> list[str]:
    """Names of the built-in recipes."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _RECIPES.iterdir() if entry.name.endswith(".yaml"))


def load(recipe_or_file: str, overrides: Sequence[str] = ()) -> Config:
    """Read, override and validate a config.

    Raises:
        UserError: the file is missing or not YAML, or a value does not fit; one line per problem, each with a remedy.
    """
    return validate(_override(_read(recipe_or_file), overrides), recipe_or_file)


def load_overrides(overrides: Sequence[str]) -> Config:
    """A config of overrides alone, for an evaluation: what it is measured on stands in for what to train on.

    Raises:
        UserError: as :func:`load` does; or nothing says what to evaluate on.
    """
    raw = _override({}, overrides)
    data = raw.get("data")
    if not isinstance(data, dict) or not data.get("eval"):
        raise UserError(
            "say what to evaluate on: a recipe's name, a YAML file, or data.eval=…, such as"
            ' data.eval="rows.jsonl?label=answer" or "data.eval={dev: dev.jsonl, test: test.jsonl}"'
        )
    sets = data["eval"]
    several = one_or_several(sets) == SEVERAL_SOURCES
    data.setdefault("train", next(iter(sets.values())) if several else sets)
    return validate(raw, "effrl eval")


def validate(raw: Mapping[str, Any], origin: str) -> Config:
    """Validate a mapping; ``origin`` names it in messages."""
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        problems = [_explain(problem) for problem in error.errors()]
        raise UserError("\n".join(f"{origin}: {problem}" for problem in problems)) from error


def source(text: str) -> Source:
    """A source by its short form; raises as :func:`load` does."""
    return validate({"data": {"train": text}}, text).data.train


def dump(config: Config) -> str:
    """The resolved config as YAML, every default spelled out."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def _read(recipe_or_file: str) -> dict[str, Any]:
    if recipe_or_file in recipes():
        text = (_RECIPES / f"{recipe_or_file}.yaml").read_text()
    else:
        text = _read_file(recipe_or_file)
    try:
        raw = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{recipe_or_file} is not YAML, mend it: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{recipe_or_file} must hold sections such as `data:` and `run:`")
    return raw


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        hint = (
            f"did you mean {match!r}?" if (match := _closest(path, recipes())) else f"recipes: {', '.join(recipes())}"
        )
        raise UserError(f"{path} is neither a file nor a recipe; {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error


def _override(raw: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply ``section.key=value`` in order; values are parsed as YAML."""
    for override in overrides:
        path, separator, text = override.partition("=")
        if not separator or not path:
            raise UserError(f"{override!r} is not an override; write section.key=value, such as learn.lr=1e-4")
        *parents, leaf = path.split(".")
        node = raw
        for parent in parents:
            child = node.setdefault(parent, {})
            if not isinstance(child, dict):
                raise UserError(f"{override!r}: {parent} is a plain value, it has no key {leaf!r}")
            node = child
        node[leaf] = _value(text)
    return raw


def _value(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError):
        if text.startswith(("[", "{")):  # as a plain text it would be a file of a strange name
            raise UserError(
                f"{text} is not YAML: quote what is inside, like ['a.jsonl?label=answer', 'b.jsonl']"
            ) from None
        return text


class _Loader(yaml.SafeLoader):  # type: ignore[misc]  # yaml is untyped
    """YAML without dates: no field is one, and ``run.dir=2026-01-31`` names a directory."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith(":timestamp")]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _explain(problem: Any) -> str:
    """One validation problem as one line: where, what, and what to do."""
    location = [str(part) for part in problem["loc"] if part not in _TAGS]
    where, given = ".".join(location) or "config", problem["input"]
    match problem["type"]:
        case "extra_forbidden":
            return _unknown_key([str(part) for part in problem["loc"]])
        case "missing":
            required = [*location, *_required_at(location)]
            return f"{where} is missing; set it, for example {'.'.join(required)}=…"
        case "model_type" | "model_attributes_type":
            return f"{where} is a section, not a value: set its keys ({', '.join(_fields_at(location))}), not {given!r}"
        case "union_tag_not_found":
            return f"{where}.kind is missing; set it, for example {where}.kind=…"
        case "union_tag_invalid":
            return _unknown_kind(where, str(given["kind"]), problem["ctx"]["expected_tags"])
        case "string_pattern_mismatch":  # import paths are the only pattern in a config
            return f"{where}: {given!r} is no import path; write package.module:function"
    message = problem["msg"].removeprefix("Value error, ")
    shown = "" if isinstance(given, dict | BaseModel) else f" (got {given!r})"
    return f"{where}: {message[0].lower()}{message[1:]}{shown}"


def _unknown_key(location: Sequence[str]) -> str:
    """``location`` holds the tags of kinds, so that no key of another kind is proposed."""
    *parents, key = location
    known = _fields_at(parents)
    section = "".join(f"{part}." for part in parents if part not in _TAGS)
    match = _closest(key, known)
    hint = f"did you mean {section + match!r}?" if match else f"known: {', '.join(known)}"
    return f"unknown key {section + key!r}; {hint}"


def _unknown_kind(where: str, kind: str, tags: str) -> str:
    """The user's own plug-in is no kind of that name: its kind is its import path."""
    kinds = tags.replace("'", "").split(", ")
    named = [kind for kind in kinds if kind != _PLUGIN]
    own = " or an import path package.module:function" if _PLUGIN in kinds else ""
    match = _closest(kind, named)
    hint = f"did you mean {match!r}?" if match else f"known: {', '.join(named)}{own}"
    return f"unknown kind {where}.kind={kind}; {hint}"


_PLUGIN = "plugin"


def _tags_of(schema: object) -> set[str]:
    """Tags of all discriminated unions, which pydantic puts into locations; read off what it validates with."""
    if isinstance(schema, Mapping):
        own = set(schema["choices"]) if schema.get("type") == "tagged-union" else set[str]()
        return own.union(*map(_tags_of, schema.values()))
    return set[str]().union(*map(_tags_of, schema)) if isinstance(schema, list | tuple) else set()


_TAGS = _tags_of(Config.__pydantic_core_schema__)


def _fields_at(location: Sequence[str]) -> list[str]:
    """Field names that are legal at a location, over all kinds of a union unless it names one by its tag."""
    return sorted({name for model in _models_at(location) for name in model.model_fields})


def _required_at(location: Sequence[str]) -> list[str]:
    """The first field that a section cannot do without, if it has one; none where a value can stand for the section."""
    models = _models_at(location)
    fields = models[0].model_fields.items() if len(models) == 1 else ()
    return [name for name, field in fields if field.is_required()][:1]


def _models_at(location: Sequence[str]) -> list[type[BaseModel]]:
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
    return [model for model, names in kinds if tag in (names or (_PLUGIN,))]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]


def _closest(word: str, words: Sequence[str]) -> str | None:
    matches = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return matches[0] if matches else None
