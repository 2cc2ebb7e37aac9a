r"""Where the final answer of a completion stands.

Strict reading finds what a completion marks as its answer. Lenient reading looks further only where nothing is marked:
for a sentence that states the answer, else for the last formula or number of the text.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

ANSWER_WORDS = (
    r"answer|antwort|réponse|reponse|respuesta|risposta|resposta|odpowiedź|odpověď|antwoord|svar|vastaus|cevap|jawaban"
    r"|ответ|відповідь|απάντηση|答案|答え|答|解答|回答|정답|답|उत्तर|الإجابة|الجواب|đáp án|trả lời|คำตอบ"
)
"""Heads of a line that gives the answer, in several languages: ``Answer: 5``, ``答案: 5``."""

_TOKEN = re.compile(r"\\(?:boxed|fbox)\s*\{|\\.|[{}]", re.DOTALL)
"""A box that opens, an escaped character (``\\{`` is not a brace), or a brace."""
_BARE_BOX = re.compile(r"\\boxed[^\S\n]*(?![\s{])((?:\\[a-zA-Z]+\{[^{}\n]*\}(?:\{[^{}\n]*\})?|[^\s$\\{}])+)(?<![.,;])")
r"""A box without braces, ``\boxed 5``."""
_MARKED = re.compile(r"(?<![#\\])(?:####(?!#)[^\S\n]*|#(?![#\s]))(\S[^\n]*)")
"""``#### x``, or one ``#`` right before the answer; ``# Title`` and ``## Title`` are headings, ``\\#`` is text."""
_TAGGED = re.compile(r"<answer>((?:(?!</?answer>).)*)</answer>", re.DOTALL | re.IGNORECASE)
_HEADED = re.compile(
    rf"^[ \t>#*_-]*(?:(?:the|my)\s)?(?:(?:final|correct|short|exact)\s|最终|正确|最終|最后)?(?:{ANSWER_WORDS})"
    r"(?:\s(?:final|finale|correcta|correcte|corretta|correta)|是|为)?[*_]*[^\S\n]?[:\uff1a][*_]*[^\S\n]*(\S[^\n]*)",
    re.IGNORECASE | re.MULTILINE,
)
_HEAD = re.compile(rf"[*_]*(?:(?:the|final|correct)\s)*(?:{ANSWER_WORDS})[*_]*\s?[:\uff1a][*_]*\s*", re.IGNORECASE)
_PROSE = re.compile(r"[*_]*[^\W\d_]{2,}(?![\w(])")
"""A first word: ``Check``, ``Step 2``; a heading or a comment, where something that is no prose is marked as well."""

_STATEMENT = re.compile(
    rf"(?:\b(?:answer|result|solution|total|sum|product|difference|value)\b|{ANSWER_WORDS})[^\n.:=]{{0,40}}?"
    r"(?:\b(?:is|was|are|equals|be|comes to|ist|es|est|sont|beträgt|lautet|är)\b|[è是为為は는은:\uff1a=])"
    r"[:\uff1a]?\s*((?:[^\n.!?。]|[.!?](?!\s|$))+)",
    re.IGNORECASE,
)
_REASON = re.compile(r",? (?:because|since|as|which|where|not) ")
_FORMULA = re.compile(r"\$\$?((?:[^$\n\\]|\\.)+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]|\*\*([^*\n]+)\*\*")
_NUMBER = re.compile(
    r"\\[dt]?frac\{[^{}]*\}\{[^{}]*\}|(?:(?<![\w)])[-\u2212])?\\?[$€£¥]?(?<![\w.^])(?<!\^\{)[0-9](?:[0-9]|,(?=[0-9]))*(?:\.[0-9]+)?"
    r"(?:[eE][-+]?[0-9]+|\s?/\s?[0-9]+)?(?:\s?\\?%)?"
)
_PROSE_WORD = re.compile(r"(?<![\\a-zA-Z])[^\W\d_]{2,}|\*\*|\$")
_WORDS_OF_PROSE = re.compile(r"(?<![\\a-zA-Z])[^\W\d_]{3,}")


@dataclass(frozen=True, slots=True, order=True)
class _Mark:
    """Where a completion marks an answer."""

    start: int
    end: int
    boxed: bool


def final_answer(text: str, *, lenient: bool = False) -> str | None:
    r"""The answer that a completion commits to, or None.

    What stands before the last ``</think>`` is ignored. A strict answer is the last balanced ``\boxed{x}``, the rest of
    the line after ``#### x`` (as in GSM8K) or ``#x`` (as the tiny model writes), ``<answer>x</answer>``, or a line
    ``Answer: x``; where several occur, the last one. Blank answers do not count, nor do headings and comments
    (``#### Check``) where a marked answer is not prose. A mark inside another one is what counts, save in a box.

    Args:
        lenient: where nothing is marked, take the last sentence such as "the answer is x", else the last formula or
            number of the text.

    Example: ``final_answer("12+34=46;#46") == "46"``.
    """
    text = text.rpartition("</think>")[2]
    prose = None
    for mark in sorted(_marks(text), reverse=True):
        answer = _tidy(text[mark.start : mark.end])
        if answer and (mark.boxed or not _PROSE.match(answer)):
            return answer
        prose = prose or answer
    if not lenient:
        return prose or None
    return _stated(prose or text) or prose or None


def _marks(text: str) -> Iterator[_Mark]:
    """Of marks within each other, the inner one starts later."""
    box = _last_box(text)
    if box is not None:
        yield _Mark(*box, boxed=True)
    yield from (_Mark(*found.span(1), boxed=True) for found in _BARE_BOX.finditer(text))
    for start, end in chain(_marked(text), *(_spans(pattern, text) for pattern in (_TAGGED, _HEADED))):
        if box is None or not box[0] <= start < box[1]:
            yield _Mark(start, end, boxed=False)


def _spans(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    return (found.span(1) for found in pattern.finditer(text))


def _marked(text: str) -> Iterator[tuple[int, int]]:
    # A line may hold several markers, "#45;#46": the last one decides, so the search goes on inside each match.
    found = _MARKED.search(text)
    while found:
        yield found.span(1)
        found = _MARKED.search(text, found.start(1))


def _tidy(answer: str) -> str:
    """Without a head of its own (``#### Answer: 5``) and without what is left of bold Markdown (``**Answer: 5**``)."""
    answer = answer.strip()
    if head := _HEAD.match(answer):
        answer = answer[head.end() :]
    return answer.removesuffix("**").rstrip() if answer.count("**") == 1 else answer


def _stated(text: str) -> str | None:
    """What a text without marks says at last: in a sentence that states an answer, else its last formula or number."""
    statements = _STATEMENT.findall(text)
    if statements:
        said = str(statements[-1]).strip()
        if not _PROSE_WORD.search(said):
            return said.strip(" *,;")
        return _last(_REASON.split(said)[0]) or said.strip(" *,;")
    return _last(text)


def _last(text: str) -> str | None:
    """The last formula of a text, or the last number after it."""
    formulas = [found for found in _FORMULA.finditer(text) if not _WORDS_OF_PROSE.search(_inside(found))]
    after = formulas[-1].end() if formulas else 0
    numbers = _NUMBER.findall(text, after)
    if numbers:
        return str(numbers[-1])
    return _inside(formulas[-1]).strip() if formulas else None


def _inside(formula: re.Match[str]) -> str:
    return next(part for part in formula.groups() if part is not None)


def _last_box(text: str) -> tuple[int, int] | None:
    """Content span of the last box that closes and is not blank. One pass: degenerate completions open thousands."""
    opened: list[tuple[int, bool]] = []
    last: tuple[int, int] | None = None
    for token in _TOKEN.finditer(text):
        is_box = token.group().startswith(("\\boxed", "\\fbox"))
        if is_box or token.group() == "{":
            opened.append((token.end(), is_box))
        elif token.group() == "}" and opened:
            start, closes_box = opened.pop()
            later = last is None or start > last[0]
            if closes_box and later and not text[start : token.start()].isspace() and start < token.start():
                last = (start, token.start())
    return last
