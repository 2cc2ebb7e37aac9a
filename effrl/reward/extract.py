"""Where the final answer of a completion stands. Strict: prose is never searched for something like a number."""

import re

_TOKEN = re.compile(r"\\boxed\s*\{|\\.|[{}]", re.DOTALL)
"""A box that opens, an escaped character (``\\{`` is not a brace), or a brace."""

_MARKED = re.compile(r"(?<![#\\])(?:####(?!#)[^\S\n]*|#(?![#\s]))(\S[^\n]*)")
"""``#### x``, or one ``#`` right before the answer; ``# Title`` and ``## Title`` are headings, ``\\#`` is text."""


def final_answer(text: str) -> str | None:
    r"""The answer that a completion commits to, or None.

    It is the last balanced ``\boxed{x}``, or the rest of the line after the last ``#### x`` (as in GSM8K) or ``#x``
    (as the tiny model writes); where both kinds occur, the later one. Blank answers do not count. A marker inside a
    box is part of the box.

    Example: ``final_answer("12+34=46;#46") == "46"``.
    """
    box = _last_box(text)
    if box is None:
        return _last_marked(text)
    start, end = box
    return _last_marked(text[end:]) or text[start:end].strip()


def _last_box(text: str) -> tuple[int, int] | None:
    """Content span of the last box that closes and is not blank. One pass: degenerate completions open thousands."""
    opened: list[tuple[int, bool]] = []
    last: tuple[int, int] | None = None
    for token in _TOKEN.finditer(text):
        is_box = token.group().startswith(r"\boxed")
        if is_box or token.group() == "{":
            opened.append((token.end(), is_box))
        elif token.group() == "}" and opened:
            start, closes_box = opened.pop()
            later = last is None or start > last[0]
            if closes_box and later and not text[start : token.start()].isspace() and start < token.start():
                last = (start, token.start())
    return last


def _last_marked(text: str) -> str | None:
    # A line may hold several markers, "#45;#46": the last one decides, so the search goes on inside each match.
    answer = None
    match = _MARKED.search(text)
    while match:
        answer = match.group(1).strip()
        match = _MARKED.search(text, match.start(1))
    return answer
