"""Long sequences, a part at a time."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    """The items in order, ``size`` of them at a time, and at last what is left."""
    return (items[start : start + size] for start in range(0, len(items), size))
