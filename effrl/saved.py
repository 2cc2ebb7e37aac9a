"""What the parts of a run say that they wrote into a checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A file of a checkpoint, as its writer saw it on its own node."""

    size: int
    """In bytes."""
    digest: str
    host: str = ""
    """The node that it was written on, to name it where the file is not seen."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What a part of a run wrote into a checkpoint."""

    files: Mapping[str, SavedFile]
    """By path below the checkpoint's directory."""
    state: Mapping[str, Any]
    """What is small: JSON-serialisable, kept in the manifest."""
