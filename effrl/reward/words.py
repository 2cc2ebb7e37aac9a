"""Answers that are words: mathematics reads them as products of their letters, in which "act" equals "cat"."""

import re
from functools import lru_cache

_WRAPPER = re.compile(r"\\(?:(?:text|math)[a-z]*|emph|[mhf]box|operatorname|bold(?:symbol)?|boxed)\s*\{([^{}]*)\}")
_NESTED = 3
"""Wrappers within each other that are taken off; degenerate answers nest thousands."""
_SPACE = re.compile(r"\\[,;:! ]|\\q?quad(?![a-zA-Z])|~")
_MARKUP = re.compile(r"\\(?:left|right|rm|bf|it|sf|tt)(?![a-zA-Z])|\\[()\[\]]|\\?[{}$\"`\u201c\u201d]|''")

_LETTER = r"[^\W\d_]"
_PROSE = re.compile(rf"(?:{_LETTER}[^\W_]*+|[0-9]++(?!\s*{_LETTER})|[\s,;:.!?&'\u2019()\[\]-])++")
"""Letters, names such as H2O, numbers that count nothing, and the marks of prose; no operator, and no command."""
_WORD = re.compile(rf"(?<!\w)(?!(?:and|or)(?!\w)){_LETTER}(?:{_LETTER}|[0-9])")
_MATHEMATICS = re.compile(rf"(?<!{_LETTER}{{3}})-(?!{_LETTER}{{3}})|\w\(")
"""A minus, as in ``ab-c`` (a hyphen stands at a word of three letters or more, ``X-ray``), or a function's argument."""
_SEPARATOR = re.compile(r"[,;&]|(?<!\w)(?:and|or)(?!\w)")
_AROUND = " .:!?()[]"


@lru_cache(maxsize=4096)  # an answer is compared with all others of its group, in both directions
def spelled(answer: str) -> str | tuple[str, ...] | None:
    r"""What an answer of words says, as text; None where it is mathematics.

    Words are letters alone, two of them or more: ``cat``, ``\text{New York}``, ``xy``. That ``xy`` may be a product
    does not help: so may ``no``, and it is not ``on``. One letter is a variable, and so are letters with spaces
    between them (``x y``); whatever has an operator, a factor or a command (``x \cdot y``, ``2xy``, ``\pi r``) is
    mathematics. Case, LaTeX's wrappers for text, quotes and dollar signs do not count.

    Returns:
        A list without brackets has no order: "Bob and Ann" is its sorted items, ``("ann", "bob")``.

    Example: ``spelled(r"\text{New  York}") == "new york"``.
    """
    text = _unwrapped(answer).casefold()
    if not _PROSE.fullmatch(text) or not _WORD.search(text) or _MATHEMATICS.search(text):
        return None
    items = [item for part in _SEPARATOR.split(text) if (item := part.strip(_AROUND))]
    if len(items) > 1 and not re.search(r"[(\[]", text):
        return tuple(sorted(items))
    return re.sub(r"\s*([,;:()\[\]])\s*", r"\1", text) if len(items) > 1 else items[0]


def _unwrapped(answer: str) -> str:
    """The answer without what LaTeX and quotes put around text, and one space between its words."""
    for _ in range(_NESTED):
        answer = _WRAPPER.sub(r" \1 ", answer)
    return " ".join(_MARKUP.sub(" ", _SPACE.sub(" ", answer)).split())
