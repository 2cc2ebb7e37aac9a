"""Labels that no answer can equal: what was left of a data set's conversion, and not an answer.

A reward calls such a label right where a completion repeats it letter by letter, and in no other case. A policy learns
nothing from its prompt.
"""

import re

from effrl.acceptable import alternatives
from effrl.config.reward import AnyVerifier
from effrl.reward.choice import chosen
from effrl.reward.extract import final_answer

_MISSING = {"None", "none", "nan", "NaN", "null", "NULL", "N/A", "n/a", "<NA>", "NaT", "[]", "{}"}
"""What programs write for a value that is not there."""
_WRAPPED = re.compile(r"\\(?:text|mbox|mathrm|textbf)\s*\{[^{}]*\}")
_COMMAND = re.compile(r"\\[a-zA-Z]+")
_WORD = re.compile(r"[^\W\d_]{2,}")
_FORMULA = re.compile(r"[0-9]|\$|\\[a-z(\[]")
_OPEN_END = re.compile(r"[/^_=]\s*\$*$")

_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
"""A brace, or an escaped character, such as a brace that is meant to be seen."""
_PAIRS = {
    r"\left": (re.compile(r"\\left(?![a-zA-Z])"), re.compile(r"\\right(?![a-zA-Z])")),
    r"\begin": (re.compile(r"\\begin(?![a-zA-Z])"), re.compile(r"\\end(?![a-zA-Z])")),
}

_SENTENCE = 8
"""Words of prose with a formula in it; an answer such as "3 hours, 20 minutes and 5 seconds" has fewer."""
_EQUATED = 4
"""Words of prose with an equation in it: "We have 3 apples, so 3+9=12"."""


def trouble(verifier: AnyVerifier | None, label: str) -> str | None:
    """Why no answer can equal a label, or one of its alternatives; None where nothing is wrong with it.

    Args:
        verifier: what compares answers with labels; None for a function of the user's own, of which nothing is known.

    Example: ``trouble(ChoiceVerifier(), "Paris") == "it is none of the options ABCD"``.
    """
    if verifier is None or verifier.labels == "made":
        return None
    return next(filter(None, (_trouble(verifier, answer) for answer in alternatives(label))), None)


def _trouble(verifier: AnyVerifier, label: str) -> str | None:
    if verifier.labels == "option":
        return None if chosen(label, verifier.options) else f"it is none of the options {verifier.options}"
    if label.strip() in _MISSING:
        return f"{label.strip()} is what programs write where there is no value"
    return _unreadable(label) if verifier.labels == "value" else None


def _unreadable(label: str) -> str | None:
    """What is wrong with a label as mathematics."""
    answer = final_answer(label)
    if answer is None and _is_prose(label):
        return "it is prose with no final answer marked: end it with #### and the answer"
    answer = answer or label
    if not any(sign.isalnum() for sign in answer) and not _names_a_value(answer):
        return "there is neither a letter nor a digit in it"
    if _unbalanced(answer):
        return "it has braces that do not match"
    for name, (opening, closing) in _PAIRS.items():
        if len(opening.findall(answer)) != len(closing.findall(answer)):
            return f"it has a {name} without its other end"
    return "it ends with an operator" if _OPEN_END.search(answer) else None


def _is_prose(label: str) -> bool:
    words = len(_WORD.findall(_COMMAND.sub(" ", _WRAPPED.sub(" ", label))))
    return words >= (_EQUATED if "=" in label else _SENTENCE) and bool(_FORMULA.search(label))


def _names_a_value(answer: str) -> bool:
    """Infinity and the empty set are values without a letter or a digit."""
    return any(sign in answer for sign in "\u221e\u2205")


def _unbalanced(answer: str) -> bool:
    depth = 0
    for token in _BRACE.findall(answer):
        depth += {"{": 1, "}": -1}.get(token, 0)
        if depth < 0:
            return True
    return depth != 0
