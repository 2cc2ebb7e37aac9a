"""Texts of a row: what none may hold, and how they are quoted in messages."""

import json
import re
from collections.abc import Mapping

from effrl.errors import Malformed

_EATEN = {
    "\f": ("a form feed", ("rac", "orall", "rown", r"box(?=\{)")),
    "\b": ("a backspace", ("oxed", "ox", "oldsymbol", "egin", "eta", "inom", "mod", "ar", "ig[lr]?", "ullet", "f")),
    "\t": ("a tab", (r"ext(?:bf|it|rm|tt|sf)?(?=\{)", "imes", "heta", "frac", "binom", "riangle", "ilde", "herefore")),
    "\r": ("a carriage return", ("ight", "ightarrow", r"m(?=\{)")),
    "\n": ("a line break", ("abla", "otin")),
}
"""What JSON makes of a backslash and a letter, and what follows the letter in commands of LaTeX. None of it is a word,
so that no text that anybody meant is taken for one of them."""
_EATEN_COMMAND = re.compile("|".join(rf"{mark}(?:{'|'.join(rest)})(?![^\W\d_])" for mark, (_, rest) in _EATEN.items()))


def checked_text(name: str, value: str, instead: str = "write some text") -> str:
    """A text that says something, and nothing that is certainly a mistake.

    Args:
        name: of the text, for messages.
        instead: what to do about an empty one.

    Raises:
        Malformed: it is empty, or cannot be what was meant.
    """
    if not value.strip():
        raise Malformed(f"{name} is empty: {instead}")
    try:
        value.encode()
    except UnicodeEncodeError:  # JSON can spell half of a surrogate pair, which no tokenizer or database takes
        raise Malformed(f"{name} holds half of a surrogate pair (\\ud800 to \\udfff): repair the text") from None
    if eaten := _EATEN_COMMAND.search(value):
        mark, rest = eaten.group()[0], eaten.group()[1:]
        letter = json.dumps(mark)[2]
        raise Malformed(
            f"{name} holds {_EATEN[mark][0]} and {short(rest)} where \\{letter}{rest} was meant, which JSON reads so:"
            f" write \\\\{letter}{rest}"
        )
    return value


def kind_of(value: object) -> str:
    """The type of a JSON value in its own words."""
    kinds: Mapping[type, str] = {str: "a string", list: "a list", dict: "an object", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")


def short(text: str) -> str:
    """``text`` quoted on one line, cut where it is long."""
    return json.dumps(text if len(text) <= 60 else f"{text[:57]}…", ensure_ascii=False)
