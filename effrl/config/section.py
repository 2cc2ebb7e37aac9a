"""What the sections of a config are made of: strict, frozen models, numbers within bounds, and kinds."""

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
ImportPath = Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]
"""``package.module:name``; the module is installed, or lies where the run starts."""


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
