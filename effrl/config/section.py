"""What the sections of a config are made of: strict, frozen models, numbers within bounds, and kinds."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ImportPath = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
"""``package.module:name``; the module is installed, or lies where the run starts."""


def expanded(value: Any) -> Any:
    """A path as text, with ``~`` and ``$NAME`` as a shell writes them out.

    Raises:
        ValueError: there is no such user or variable, or the value is a number.
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError("a path is text: put it into quotes, such as '2026'")
    if not isinstance(value, str | Path):
        return value
    path = os.path.expanduser(os.path.expandvars(value))
    if missing := re.search(r"\$(?:\w+|\{\w+\})", path):
        raise ValueError(f"the variable {missing.group()} is not set: export it, or write the path out")
    if path.startswith("~"):
        raise ValueError(f"there is no user {path.partition('/')[0]}: write the path out, or ./{path} for such a name")
    return path


LocalPath = Annotated[Path, BeforeValidator(expanded)]
"""A path of this machine."""
PathOrName = Annotated[str, BeforeValidator(expanded)]
"""A path of this machine, or a name that means something else."""


class Section(BaseModel):
    """Strict and frozen: an unknown key is an error, and nothing changes after validation."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def kind_or(default: str) -> Callable[[Any], str]:
    """The tag of a section with kinds: its own, ``plugin`` for an import path, or the default where none is given."""

    def tag(value: Any) -> str:
        given = value.get("kind", default) if isinstance(value, dict) else default
        if isinstance(value, Section):
            given = value.kind  # type: ignore[attr-defined]  # every member of such a union has one
        return "plugin" if ":" in str(given) else str(given)

    return tag
