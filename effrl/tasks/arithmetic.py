"""One worked operation, and integers as answers: what the two arithmetic families share."""

import re

_INTEGER = re.compile(r"-?[0-9]{1,18}")


def apply(left: int, operator: str, right: int) -> tuple[str, int]:
    """The worked step and its value: ``apply(3, "-", 5) == ("3-5=-2", -2)``; ``~`` takes the left from the right."""
    if operator == "~":
        left, operator, right = right, "-", left
    value = {"+": left + right, "-": left - right, "*": left * right}[operator]
    return f"{left}{operator}{right}={value}", value


def canonical(answer: str) -> str | None:
    """The one way to write an integer answer (``+07`` is not an answer, ``007`` is 7); None where it is none."""
    return str(int(answer)) if _INTEGER.fullmatch(answer) else None
