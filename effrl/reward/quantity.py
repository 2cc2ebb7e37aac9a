r"""Units and currencies around a value: ``15 dollars`` and ``\$15`` are 15, and ``5 cm`` is not ``5 m``."""

# ruff: noqa: SIM905 (a line of words reads better than twenty lines)

import re
from typing import NamedTuple

_SYNONYMS = {
    "dollar": "$ usd dollars bucks",
    "euro": "€ eur euros",
    "pound": "£ gbp pounds lb lbs",
    "yen": "¥ jpy",
    "rupee": "₹ inr rupees",
    "degree": "° degrees deg",
    "centimeter": "cm centimeters centimetre centimetres",
    "millimeter": "mm millimeters millimetre millimetres",
    "kilometer": "km kms kilometers kilometre kilometres",
    "meter": "m meters metre metres",
    "inch": "in inches",
    "foot": "ft feet",
    "yard": "yd yards",
    "mile": "mi miles",
    "gram": "g grams",
    "kilogram": "kg kgs kilograms",
    "milligram": "mg milligrams",
    "ounce": "oz ounces",
    "liter": "l liters litre litres",
    "milliliter": "ml milliliters millilitre millilitres",
    "second": "s sec secs seconds",
    "minute": "min mins minutes",
    "hour": "h hr hrs hours",
    "day": "days",
    "cent": "¢ cents",
    "square": "sq",
    "am": "",
    "pm": "",
    "mph": "mi/h",
    "kph": "km/h kmh",
    "m/s": "",
}
_CANONICAL = {form: unit for unit, forms in _SYNONYMS.items() for form in (unit, *forms.split())}

_NO_UNITS = frozenset(
    "and or if then else base mod choose plus minus over by divided squared cubed pi sqrt sin cos tan log ln exp inf"
    " factorial infinity half third quarter is are equal equals not than more less least most between hundred thousand"
    " million billion trillion percent where when with".split()
)
"""Words after a number that change its value, or make a sentence of it."""
_MOST_WORDS = 4
_POWERS = frozenset({"square", "cubic"})

_CURRENCY = r"(?:(?:US|A|C)?\\?([$€£¥₹])|(USD|EUR|GBP)\s)"
"""A sign or a code before a value."""
_BEFORE = re.compile(rf"([-+]?)\s*{_CURRENCY}\s*([-+]?(?=[0-9.]).*)", re.DOTALL)
_DEGREES = r"\s*\^\s*\{?\s*\\circ\s*\}?|\s*\\degrees?"
_TEXT = r"\s*\\(?:text|mathrm|textrm|mathit|textit|mbox|operatorname)\s*\{([^{}]*)\}"
_WORDS = r"(\s*[^\W\d_]+\.?(?:(?:\s+|\s*/\s*|-)[^\W\d_]+\.?)*|\s*[€£¥₹¢]|\s*\\?\$)"
_EXPONENT = r"(?:\s*\^\s*\{?\s*([23])\s*\}?)?"
_AFTER = re.compile(
    rf"(.*?[0-9}})])(?:({_DEGREES})(?:{_TEXT}|\s*[CF])?|{_TEXT}{_EXPONENT}|{_WORDS}{_EXPONENT})\s*\.?", re.DOTALL
)
_VALUE = re.compile(
    r"(?:(?:\\[a-z]+|[a-zA-Z]{1,3})(?:_\{?\w\}?)?\s*=\s*)?(?:[-+0-9.,:/{}()^*\s]|\\(?:d|t)?frac|\\sqrt|\\pi|\\times|\\cdot|\\pm|\\?%)+"
)
"""What a unit can stand behind: numbers, and no variables."""


class Quantity(NamedTuple):
    r"""A value and its unit: ``Quantity("15", ("dollar",))``; no words where there is none."""

    value: str
    unit: tuple[str, ...] = ()

    def in_unit_of(self, other: "Quantity") -> bool:
        """Whether the units agree: they share a word and a power. One without a unit agrees with all."""
        if not self.unit or not other.unit:
            return True
        one, two = set(self.unit), set(other.unit)
        return one & _POWERS == two & _POWERS and not (one - _POWERS).isdisjoint(two - _POWERS)


def quantity(answer: str) -> Quantity:
    r"""An answer without its unit or currency; itself where it is none that has one.

    Units are words, or stand in ``\text{…}``. A single bare letter is a variable, and so are letters right after a
    digit unless they are a usual unit (``5cm``).

    Example: ``quantity("15 dollars") == Quantity("15", ("dollar",))``.
    """
    if found := _BEFORE.fullmatch(answer):
        sign, symbol, code, rest = found.groups()
        inner = quantity(rest)
        return Quantity(sign + inner.value, (_canonical(symbol or code), *inner.unit))
    found = _AFTER.fullmatch(answer)
    if found is None or not _VALUE.fullmatch(found[1]):
        return Quantity(answer)
    value, degrees, of_degrees, text, _, words, _ = found.groups()
    if degrees is not None:
        return Quantity(value, ("degree", *_unit(of_degrees or "")))
    unit = _unit(text if text is not None else words)
    exponent = found[5] or found[7]
    named = text is not None or _is_unit(words) or (exponent is not None and unit == ("meter",))
    if not unit or not named or _NO_UNITS.intersection(unit):
        return Quantity(answer)
    return Quantity(value.rstrip(), (*unit, *({"2": ("square",), "3": ("cubic",)}[exponent] if exponent else ())))


def _unit(text: str) -> tuple[str, ...]:
    """The words of a unit, each in its usual form."""
    words = [text.strip()] if text.strip().casefold() in _CANONICAL else re.split(r"[\s-]+", text.strip())
    return tuple(_canonical(word) for word in words if word.strip(".,;"))


def _canonical(word: str) -> str:
    word = word.casefold().strip(".,;")
    if word in _CANONICAL:
        return _CANONICAL[word]
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


def _is_unit(words: str) -> bool:
    """Whether bare words after a number are a unit, and not variables or a sentence."""
    apart, parts = words[0].isspace(), words.split()
    if len(parts) > _MOST_WORDS:
        return False
    known = words.strip().rstrip(".").casefold() in _CANONICAL
    if not apart or len(parts) == 1:
        usual = len(parts[0]) > 1 or not parts[0].isalpha() or parts[0] == "L"
        return usual and (known or (apart and len(parts[0]) > 2))
    return all(len(part) > 1 for part in parts)
