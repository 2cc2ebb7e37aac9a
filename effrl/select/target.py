"""What UFO-RL's one forward pass scores: a target text, and which of the tokens it is.

The target is tokenised in its context and found again by character offsets. Tokenised alone it may have another number
of tokens: SentencePiece adds a leading space, and a byte-pair vocabulary may merge the prefix's last space into it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from effrl.reward.extract import final_answer

Target = Literal["final_answer", "full_solution", "pseudo_answer"]
"""The label's final answer (the paper's); the whole label, where it is a solution; or the policy's majority answer."""

PREFIX = "<answer> "
"""What opens the assistant's turn before a final answer in the paper's released code; reasoning is left out."""


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A text whose end is scored.

    Example: ``ScoredText("12+34=<answer> 46", 15)``.
    """

    text: str
    start: int
    """Character at which the target begins."""


def target_of(kind: Target, label: str | None, voted: str | None) -> str | None:
    """The text to score, without blanks around it; None where there is none.

    Args:
        kind: what to score.
        label: the prompt's label, which must be owned; ``pseudo_answer`` does not look at it.
        voted: the majority's answer in a group of rollouts; only ``pseudo_answer`` looks at it.
    """
    source = voted if kind == "pseudo_answer" else label
    if source is None or not source.strip():
        return None
    if kind == "full_solution":
        return source.strip()
    return _without_separators((final_answer(source) or source).strip())


def _without_separators(answer: str) -> str:
    """``1,234`` as ``1234``: models rarely write the comma, and GSM8K's labels do."""
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", answer)


def scored_text(prompt: str, prefix: str, target: str) -> ScoredText:
    """A rendered prompt, the prefix and the target. Nothing follows: an end-of-turn token would be scored too.

    Args:
        prompt: as the chat template renders it, up to where the assistant begins to speak.
    """
    opened = prompt + prefix
    return ScoredText(opened + target, len(opened))


def target_tokens(scored: ScoredText, offsets: Sequence[tuple[int, int]]) -> int:
    """How many of the last tokens belong to the target.

    A token that begins before the target and reaches into it belongs to it: its log-prob cannot be split.

    Args:
        scored: the text.
        offsets: of each token, the first character and the one after the last, as a fast tokenizer tells them;
            tokenised with ``add_special_tokens=False``.

    Raises:
        ValueError: the tokens do not end where the text ends, so the last ones are not the target's.
    """
    if not offsets or offsets[-1][1] != len(scored.text):
        raise ValueError(
            "the tokens do not end where the text does: tokenise it whole, without special tokens and without padding"
        )
    count = 0
    for _, end in reversed(offsets):
        if end <= scored.start:
            break
        count += 1
    return count
