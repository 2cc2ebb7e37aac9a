r"""Answers in one notation, before anything compares them: labels, answers and votes alike.

What needs algebra is left to math-verify. What it reads wrongly (repeating decimals, mixed numbers, numbers in words,
signs of Unicode, marks of Markdown) is rewritten by the table of :mod:`effrl.reward.rules` into what it reads well.
"""

import re
from functools import lru_cache

from effrl.reward.rules import RULES, SIGNS

_PAIRS = (
    (r"\(", r"\)"),
    (r"\[", r"\]"),
    ("$$", "$$"),
    ("$", "$"),
    ("**", "**"),
    ("__", "__"),
    ("_", "_"),
    ("``", "''"),
    ("*", "*"),
    ("`", "`"),
    ('"', '"'),
    ("{", "}"),
)
"""What mathematics, markup and quotes put around an answer."""
_BEFORE = re.compile(
    r"^(?:[:=]|\\(?:approx|therefore|Rightarrow|implies)(?![a-zA-Z])|(?i:approximately|about|exactly)\s)\s*"
)
_AFTER = re.compile(r"(?:\s|[,;:.]|\\\\|(?<!\\)\\$)+$")
_PARENTHESES = re.compile(r"\(\s*([-+]?\s*[0-9.]+|[-+]?\s*\\frac\{[0-9]+\}\{[0-9]+\})\s*\)")
_SIGN = re.compile(r"^([-+])\s*(?=[0-9.\\])")
_NESTED = 4
"""Wrappers within each other that are taken off; degenerate answers nest thousands."""


@lru_cache(maxsize=8192)  # the rollouts of a group share their label and mostly their answers
def normal(answer: str) -> str:
    r"""An answer in the notation that is compared, without what stands around its value.

    Example: ``normal(r"$12\,345$.") == "12345"``.
    """
    answer = _bare(answer)
    if answer.isascii() and answer.isdecimal():
        return answer
    answer = answer.translate(SIGNS)
    for rule in RULES:
        answer = rule.apply(answer)
    answer = _bare(answer)
    if inside := _PARENTHESES.fullmatch(answer):
        answer = inside[1]
    return _SIGN.sub(lambda found: found[1].strip("+"), answer)


def _bare(answer: str) -> str:
    """Without marks of mathematics and markup around the whole of it, nor punctuation at its ends."""
    for _ in range(_NESTED):
        before = answer
        answer = _BEFORE.sub("", _AFTER.sub("", answer.strip()))
        answer = next((inside for pair in _PAIRS if (inside := _inside(answer, *pair)) is not None), answer)
        if answer == before:
            break
    return answer


def _inside(answer: str, opening: str, closing: str) -> str | None:
    """What one pair of marks encloses; None where it does not enclose all of the answer."""
    if not answer.startswith(opening) or not answer.endswith(closing) or len(answer) <= len(opening + closing):
        return None
    inside = answer[len(opening) : -len(closing)]
    if inside.endswith("\\") or opening in inside or closing in inside:
        return None
    return inside.strip()
