"""What is told before math-verify would work it out: dates, numerals of a base, and work that is left undone."""

import re
from decimal import Decimal

_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2}/[0-9]{1,2}/[0-9]{2,4}|[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?")
"""``2024-01-05`` is no difference, and ``10:15`` no quotient."""
_CODE = re.compile(r"[A-Za-z]{1,3}[0-9]+")
"""``B12`` is no product: digits stand before a variable, never after it."""
_BASE = re.compile(r"(-?[0-9A-Za-z]*[0-9][0-9A-Za-z]*)\s*_\s*\{?\s*(?:\\text\{\s*)?([0-9]+|[a-z]+)\s*\}*")
"""``132_5``: math-verify reads the digits alone."""
_INDEXED = re.compile(r"[A-Za-z][0-9]*_.*")

_PLAIN = re.compile(r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)")
_VARIABLES = re.compile(r"(?<![A-Za-z\\{_^])([0-9)])\s?([a-z](?:\s?[a-z]){0,3})(?![A-Za-z{(])")
_NO_VARIABLES = frozenset(
    ("and", "or", "sin", "cos", "tan", "cot", "sec", "csc", "log", "ln", "exp", "pi", "gcd", "lcm", "max", "min", "mod")
)
_PERCENT = re.compile(rf"({_PLAIN.pattern})\s?\\?%")
_COMMA = re.compile(r"-?[0-9]+,[0-9]+")
_FRACTION = re.compile(r"-?\s*(?:\\frac\s*\{?-?[0-9]+\}?\s*\{?-?[0-9]+\}?|[0-9]+\s*/\s*-?[0-9]+)")
_RELATION = re.compile(r"=|\\approx")
_SIGNS = re.compile(r"\\(?:mathbin|mathrel|text|mathrm)\s*\{([^{}]*)\}|[{}$()\[\]\s]|\\[$]")
_OPERATION = re.compile(
    r"[0-9!.%a-z][-+*]+\\?[.0-9a-z]|[*!]|\\(?:times|cdot|div|sum|prod|binom|sqrt|log|ln|exp|sin|cos|tan|int|lim|gcd|lcm|max"
    r"|min|lfloor|lceil|lvert|mathrm|operatorname|pmod|bmod)(?![a-z])"
)
_WHOLES_WORK = re.compile(r"/|\^|\\frac")
_SIDE_BY_SIDE = re.compile(r"[0-9)]\s*\(|\)\s*[0-9]")
"""Products by parentheses: ``6(7)``, ``(6)(7)``."""


def by_text(one: str, other: str) -> bool | None:
    """Whether two answers that are no mathematics are equal; None where neither is such a one."""
    if _DATE.fullmatch(one) or _DATE.fullmatch(other):
        return _digits(one) == _digits(other)
    if _CODE.fullmatch(one) or _CODE.fullmatch(other):
        return one.casefold() == other.casefold()
    bases = _in_base(one), _in_base(other)
    if bases == (None, None):
        return None
    if None not in bases:
        return bases[0] == bases[1]
    numeral, plain = (bases[0], other) if bases[0] is not None else (bases[1], one)
    return numeral is not None and plain.casefold() == numeral[0]


def percentage(one: str, other: str) -> bool:
    r"""Whether one is a percentage, and the other its number or its hundredth: ``12.5\%`` is 12.5 and 0.125."""
    for share, number in ((one, other), (other, one)):
        found = _PERCENT.fullmatch(share)
        if found and _PLAIN.fullmatch(number):
            return Decimal(number) in (Decimal(found[1]), Decimal(found[1]) / 100)
    return False


def _digits(text: str) -> list[str]:
    return re.split(r"([-/:])", re.sub(r"(?<![0-9])0+(?=[0-9])", "", text))


def _in_base(text: str) -> tuple[str, str] | None:
    found = _BASE.fullmatch(text)
    return None if found is None or _INDEXED.fullmatch(text) else (found[1].casefold(), found[2].casefold())


def with_signs(answer: str) -> str:
    r"""An answer whose products of variables have their signs: math-verify takes some letters for units, 6ab for 6.

    Example: ``with_signs("6ab+1") == r"6\cdot a\cdot b+1"``.
    """
    return _VARIABLES.sub(_product, answer)


def _product(found: re.Match[str]) -> str:
    letters = found[2].replace(" ", "")
    if letters in _NO_VARIABLES:
        return found[0]
    return r"\cdot ".join([found[1], *letters])


def comma_for_point(one: str, other: str) -> bool:
    """Whether ``2,74`` and ``2.74`` stand beside each other: alone, the first may as well be a list of two numbers."""
    return any(_COMMA.fullmatch(a) and a.replace(",", ".") == b for a, b in ((one, other), (other, one)))


def leaves_work(answer: str, gold: str) -> bool:
    r"""Whether a number is asked for, and the work is answered that leads to it: ``12+30`` or ``4!+18`` for 42.

    A fraction is an answer where the label is no whole number; what stands after an equals sign is the answer.
    """
    whole = _PLAIN.fullmatch(gold) is not None and float(gold).is_integer()
    if not (_PLAIN.fullmatch(gold) or _FRACTION.fullmatch(gold)):
        return False
    last = _RELATION.split(answer)[-1].strip()
    if _PLAIN.fullmatch(last) or (not whole and _FRACTION.fullmatch(last)):
        return False
    stripped = _SIGNS.sub(r"\1", last).replace(" ", "")
    work = _OPERATION.search(stripped) or _SIDE_BY_SIDE.search(last)
    return bool(work or (whole and _WHOLES_WORK.search(stripped)))
