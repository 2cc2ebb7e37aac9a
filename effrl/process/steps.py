"""Solutions in steps: where a step ends, what it is worth to a process reward model, and what its worst one says.

A step's reward is the sum of the rewards of its tokens, and a solution is worth as much as its worst step: by this
score arXiv 2412.01981 picks the best of several solutions. The paper leaves open what a step is; here it is what stands
between separators. What has no text but separators and blanks, such as an empty line or the end-of-sequence token after
the last newline, is no step of its own: it belongs to the step before it, or else a solution could be worth no more
than its worst newline.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from effrl.types import Float32, Float64

UNFINISHED = "\N{REPLACEMENT CHARACTER}"
"""What a decoder writes for bytes that are no whole character."""
BYTES = 4
"""Of the longest character in UTF-8: a tail of more tokens than that is never going to be one."""


def pieces_of(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> list[str]:
    """The text that each token adds to a completion: [T] strings that make its text, one after the other.

    A token is decoded beside those just before it, as many tokenizers write a word's blank only where a word stands
    before it. A character of several tokens is added by the last of them.

    Args:
        ids: [T] tokens.
        decode: from tokens to text; tokens without a text, such as that of the end, have none.
    """
    pieces: list[str] = []
    start, known = 0, 0  # what gives the next token its surroundings; tokens whose text is told
    for end in range(1, len(ids) + 1):
        before, text = decode(ids[start:known]), decode(ids[start:end])
        if text.endswith(UNFINISHED) and end - known < BYTES and end < len(ids):
            pieces.append("")
            continue
        pieces.append(text[len(before) :])
        start, known = known, end
    return pieces


def step_ends(pieces: Sequence[str], separator: str = "\n") -> NDArray[np.bool_]:
    """The tokens at which a step ends: [T], the last token always among them.

    A step ends with the token that completes its separator, whether that spans several tokens or has text on both
    sides in one.

    Args:
        pieces: [T] text of each token (:func:`pieces_of`).
        separator: text between steps, not empty.
    """
    stops: list[int] = []
    for stop in _complete(pieces, separator):
        if "".join(pieces[stops[-1] if stops else 0 : stop]).replace(separator, "").strip():
            stops.append(stop)
        elif stops:  # too little to be a step: the one before it ends here; before the first, it begins the first
            stops[-1] = stop
    ends = np.zeros(len(pieces), np.bool_)
    ends[[stop - 1 for stop in stops]] = True
    ends[-1:] = True  # of blanks alone too
    return ends


def _complete(pieces: Sequence[str], separator: str) -> list[int]:
    """How many tokens have made a separator complete, for each of them, and how many there are: rising."""
    text = "".join(pieces)
    places: list[int] = []
    while (place := text.find(separator, places[-1] if places else 0)) >= 0:
        places.append(place + len(separator))
    lengths = np.cumsum([len(piece) for piece in pieces])
    tokens = np.searchsorted(lengths, places) + 1  # the first by which so many characters are there
    return sorted({*tokens.tolist(), len(pieces)})


def step_rewards(values: Float32, ends: NDArray[np.bool_]) -> Float64:
    """Rewards [S] of the steps, in double precision: sums over their tokens.

    Args:
        values: [T] rewards of the tokens.
        ends: [T] as :func:`step_ends` gives them.
    """
    sums = np.cumsum(values, dtype=np.float64)[ends]
    return np.diff(sums, prepend=0.0)


def solution_score(values: Float32, pieces: Sequence[str], separator: str = "\n") -> float:
    """What a solution is worth: the reward of its worst step; minus infinity where it has no text.

    Example: rewards [0.5, -0.2, 0.1] of the tokens ``1+1``, a newline and ``#2`` make the steps 0.3 and 0.1: the score
    is 0.1.

    Args:
        values: [T] rewards of the tokens.
        pieces: [T] text of each token (:func:`pieces_of`).
        separator: text between steps.
    """
    if not any(piece.strip() for piece in pieces):
        return -math.inf
    return float(step_rewards(values, step_ends(pieces, separator)).min())
