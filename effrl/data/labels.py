"""Labels: one answer or a list of acceptable ones, bare or inside of an object, as texts or numbers."""

import math
import re
from decimal import Decimal
from typing import Any

from effrl.acceptable import SEPARATOR, alternatives, joined
from effrl.data.messages import is_message, message_of
from effrl.data.text import checked_text, kind_of, short
from effrl.errors import Malformed
from effrl.reward.extract import final_answer

_INSIDE = ("target", "ground_truth")
"""Where an object holds the answer; what else it holds (the numbers of a countdown, say) stays in the row."""

_OPENING = re.compile(
    r"(?:\\(?:boxed|fbox)\s*\{?|#+|</?answer>|(?:(?:so|the|my|final)\s+)*answer(?:\s+is)?\s*:?|[\s$*:])*", re.IGNORECASE
)
"""What may stand around the mark of an answer and is no work yet: ``The answer is $\\boxed{``."""


def has_work(label: str) -> bool:
    """Whether a label is a worked solution: its final answer is marked, and something stands before the mark.

    Of several acceptable answers the first one is looked at.

    Example: ``has_work("5+13=18 eggs.\\n#### 18")``, and not ``has_work("#### 18")``.
    """
    first = alternatives(label)[0]
    answer = final_answer(first)
    return answer is not None and not _OPENING.fullmatch(first[: first.rfind(answer)])


def take(holder: Any, key: str | int) -> Any:
    """Remove and return the answer from where it is, or from inside of the object there."""
    value = holder[key]
    inside = next((name for name in _INSIDE if isinstance(value, dict) and name in value), None)
    if inside is None:
        return holder.pop(key)
    label = take(value, inside)
    if not value:
        holder.pop(key)
    return label


def label_of(key: str, value: object) -> str | None:
    """The label as one text (:mod:`effrl.acceptable`); None where there is none.

    Raises:
        Malformed: it is neither a text, a number, a message, nor a list of such.
    """
    if value is None:
        return None
    if not isinstance(value, list):
        return _answer(key, short(key), value)
    if not value:
        raise Malformed(f"{short(key)} is an empty list: write the acceptable answers, or null for no label")
    return joined(_answer(key, f"answer {at} of {short(key)}", item) for at, item in enumerate(value, start=1))


def _answer(key: str, name: str, value: object) -> str:
    match value:
        case str():
            if SEPARATOR in value:
                raise Malformed(f"{name} holds the control character U+001E: write several answers as a list")
            return checked_text(name, value, instead="leave it out or write null where there is no label")
        case bool():
            pass
        case int():
            return str(value)
        case float():
            if not math.isfinite(value):  # 1e999 in the file
                raise Malformed(f"{name} is too large a number: write it as a string")
            return format(Decimal(repr(value)), "f")  # 0.00001 as written, not 1e-05: graders compare text
        case dict() if is_message(value):
            return message_of(name, value)["content"]
        case dict() if value:
            raise Malformed(f"{name} is an object: name the key in it, like label={key}.{next(iter(value))}")
    raise Malformed(f"{name} is {kind_of(value)}: write a string or a number, a list of them, or null for no label")
