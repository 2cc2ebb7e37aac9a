"""Whose turn it is among sources with weights: as even as whole rows allow, and the same every time."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import TypeVar

T = TypeVar("T")


def turn(weights: Sequence[float], drawn: Sequence[int], among: Collection[int]) -> int:
    """The part of ``among`` that is furthest behind its share; the first of several.

    Example: weights 2 and 1 take turns 0 0 1 0 0 1 …
    """
    return min(among, key=lambda part: ((drawn[part] + 1) / weights[part], part))


def interleave(streams: Sequence[tuple[float, Iterable[T]]]) -> Iterator[T]:
    """Everything of every stream, once: in turns by weight, as long as there is something left of each."""
    weights = [weight for weight, _ in streams]
    left = {part: iter(stream) for part, (_, stream) in enumerate(streams)}
    drawn = [0] * len(streams)
    while left:
        part = turn(weights, drawn, left)
        try:
            item = next(left[part])
        except StopIteration:
            del left[part]
            continue
        drawn[part] += 1
        yield item
