"""Numbers that are written in words: ``forty-six``, ``1.5 million``."""

# ruff: noqa: SIM905 (a line of words reads better than twenty lines)

from decimal import Decimal

_UNDER_TWENTY = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
    " eighteen nineteen"
).split()
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_SMALL = {word: value for value, word in enumerate(_UNDER_TWENTY)} | {
    word: 10 * value for value, word in enumerate(_TENS, start=2)
}
SCALES = {"hundred": 10**2, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}


def number_of_words(text: str) -> int | None:
    """The whole number that English words say; None where they say anything else.

    Example: ``number_of_words("minus one hundred and five") == -105``.
    """
    words = text.casefold().replace("-", " ").split()
    negative = words[:1] in (["minus"], ["negative"])
    words = [word for word in words[negative:] if word != "and"]
    if not words or not all(word in _SMALL or word in SCALES for word in words) or words[0] in SCALES:
        return None
    total, part, smallest = 0, 0, 10**15
    for word in words:
        if word == "hundred":
            if not 0 < part < 10:
                return None
            part *= 100
        elif word in SCALES:
            if not part or SCALES[word] >= smallest:
                return None
            smallest = SCALES[word]
            total, part = total + part * smallest, 0
        elif not _fits(part, _SMALL[word]):
            return None
        else:
            part += _SMALL[word]
    return -(total + part) if negative else total + part


def _fits(before: int, value: int) -> bool:
    """Whether a number below a hundred may follow: ``twenty one``, and neither ``one two`` nor ``twenty eleven``."""
    last = before % 100
    return last == 0 or (last >= 20 and last % 10 == 0 and 0 < value < 10)


def scaled(number: str, scale: str) -> str:
    """A number times a scale: ``scaled("1.5", "million") == "1500000"``."""
    value = (Decimal(number) * SCALES[scale]).normalize()
    return format(value, "f")
