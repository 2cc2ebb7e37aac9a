"""From a recipe's name or a YAML file, and dotted overrides, to a validated :class:`effrl.config.schema.Config`."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from effrl.config.data import SEVERAL_SOURCES, Source, one_or_several
from effrl.config.explain import closest, explain
from effrl.config.notation import Loader
from effrl.config.overrides import override
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
    return validate(override(_read(recipe_or_file), overrides), recipe_or_file)


def text(recipe_or_file: str, overrides: Sequence[str] = ()) -> str:
    """A config as YAML, to be read elsewhere: as it was written, unless something is overridden.

    Raises:
        UserError: as :func:`load` does.
    """
    if not overrides:
        return _text(recipe_or_file)
    return str(yaml.safe_dump(override(_read(recipe_or_file), overrides), sort_keys=False, allow_unicode=True))


def load_overrides(overrides: Sequence[str]) -> Config:
    """A config of overrides alone, for an evaluation: what it is measured on stands in for what to train on.

    Raises:
        UserError: as :func:`load` does; or nothing says what to evaluate on.
    """
    raw = override({}, overrides)
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
        problems = [explain(problem) for problem in error.errors()]
        raise UserError("\n".join(f"{origin}: {problem}" for problem in problems)) from error


def source(text: str) -> Source:
    """A source by its short form; raises as :func:`load` does."""
    return validate({"data": {"train": text}}, text).data.train


def dump(config: Config) -> str:
    """The resolved config as YAML, every default spelled out."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def _read(recipe_or_file: str) -> dict[str, Any]:
    try:
        raw = yaml.load(_text(recipe_or_file), Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{recipe_or_file} is not YAML, mend it: {' '.join(str(error).split())}") from error
    if not isinstance(raw, dict):
        raise UserError(f"{recipe_or_file} must hold sections such as `data:` and `run:`")
    return raw


def _text(recipe_or_file: str) -> str:
    if recipe_or_file in recipes():
        return (_RECIPES / f"{recipe_or_file}.yaml").read_text()
    return _read_file(recipe_or_file)


def _read_file(path: str) -> str:
    try:
        return Path(path).read_text()
    except FileNotFoundError:
        hint = f"did you mean {match!r}?" if (match := closest(path, recipes())) else f"recipes: {', '.join(recipes())}"
        raise UserError(f"{path} is neither a file nor a recipe; {hint}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read {path}: {error}") from error
