"""Which option of a multiple-choice question a completion commits to."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from effrl.reward.extract import ANSWER_WORDS

_STATED = "\0"
"""Stands before what a completion marks as its answer, once markup is gone."""

# Markup becomes plain text in this order. Each pattern takes time linear in the text: completions may be degenerate.
_PLAIN: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    (re.compile("\0"), ""),
    (re.compile(r"^.*</think>", re.DOTALL), ""),
    (re.compile("\uff1a"), ":"),
    (re.compile("[\uff08\uff09]"), lambda found: "()"[found.group() == "\uff09"]),
    (re.compile(r"\\(?:text|textbf|textit|textrm|mathbf|mathrm|mathsf|bf|rm)\s*\{([^{}]*)\}"), r"\1"),
    (re.compile(r"\\[bf](?:oxed|box)\s*\{([^{}]*)\}|<answer>([^<]*)</answer>"), "\n\0\\1\\2\n"),
    (re.compile(r"(?<![#\\])(?:####(?!#)|#(?![#\s]))"), "\n\0"),
    (re.compile(r"\\[()\[\]]|[*_`$]"), ""),
    (re.compile(r"[^\S\n]+"), " "),
    (re.compile(r" ?\n[ \n]*"), "\n"),
)

_WORDS = ANSWER_WORDS.replace(" ", r"\ ")  # the pattern below is verbose
_HEADS = rf"""(?ix:
    (?:\b(?:answer|option|choice)|{_WORDS})
        (?:\ to\ (?:the|this)\ \w+|\ (?:correcta|correcte|corretta|correta|finale?))?\s*
        (?:is|was|would\ be|will\ be|should\ be|must\ be|ist|est|es|[\u662f\u4e3a\uc740\ub294\u306f\xe9\xe8]
            |:|=|\u2192|->|-)[\s:]*
        (?:(?:therefore|thus|clearly|definitely|likely|probably|most\ likely|indeed)\s+)*
    | [\u9009\u9078]\s*
    | \bi(?:'ll|\ will|\ would)?\ (?:choose|pick|select|go\ with)\s+
    )(?i:(?:the\s+)?(?:option|choice|answer|letter)\s*(?:is\s+)?:?\s*)?"""


@dataclass(frozen=True, slots=True)
class _Patterns:
    statement: re.Pattern[str]
    """An option that is stated somewhere in a text; one of its groups is the letter."""
    line: re.Pattern[str]
    """A line that is an option, alone or with its text: ``(B)``, ``B. Paris``."""
    small: re.Pattern[str]
    """A line that is nothing but an option, in a small letter perhaps."""
    ending: re.Pattern[str]
    """The end of a line of prose: ``… so it is (B).``"""
    several: re.Pattern[str]
    """What follows an option where another one stands beside it: ``, B`` or `` or (B)``, but not ``, B is wrong``."""


@lru_cache
def _patterns(letters: str) -> _Patterns:
    small = letters.lower()
    end = r"(?!['\u2019-]?\w)"
    letter = rf"(?:[\"'(\[]\s*)?([{letters}]){end}"
    alone = (
        rf"\s*(?i:(?:the\s+)?(?:(?:correct|final|right|best)\s+)?(?:option|choice|answer)\s*(?:is\s*)?:?\s*)?{letter}"
    )
    marked = rf"{_STATED}{alone}(?=\s*(?:[)\].:,;/&\0\n]|$|or\b|and\b))"
    marked_small = rf"{_STATED}\s*[(\[]?([{small}])[)\].]*\s*(?=[\0\n]|$)"
    headed = rf"(?i:{ANSWER_WORDS})\s?:\s?([{small}])(?=[.)\]]*\s*(?:\n|$))"
    told = rf"\b([{letters}])[)\]]?\ is\ (?i:(?:the\ )?(?:only\ )?(?:correct|right|best)\b)"
    beside = r"(?:,\s*(?:or|and)\b|,|/|&|\b(?:or|and|oder|und|ou|et|o|y|или|и)\b|\u6216|\u548c)\s*(?:option\s+)?"
    other = rf"[\"'(\[]*[{letters}]{end}(?!\s+(?:is|was|isn|can|does|would|has|being)\b)"
    return _Patterns(
        statement=re.compile(rf"{marked}|{marked_small}|{_HEADS}(?:{letter}|\(([{small}])\))|{headed}|{told}"),
        line=re.compile(rf"{alone}(?:[)\]\"'.:]+(?:\s.*)?)?\s*"),
        small=re.compile(rf"[(\[]?([{small}])[)\].]*"),
        ending=re.compile(rf"(?:\(([{letters}])\)|\b(?i:is|be|so|thus|hence|therefore),?\s+([{letters}]))[.!]*$"),
        several=re.compile(rf"[)\]\"'.]*\s*{beside}{other}"),
    )


def chosen(text: str, letters: str) -> str | None:
    r"""The letter of the last option that ``text`` states, or None.

    What counts, by rank: a marked answer (``\boxed{B}``, ``#### B``, ``<answer>B</answer>``) or a sentence that states
    one ("the answer is (B)", "I choose B", "B is correct"); without either, an option that is the whole text or its
    last line ("B", "(b)", "B. Paris"), or ends it ("… so it is (B)."). Options side by side ("A or B") are no answer:
    a policy could name them all.

    Example: ``chosen("A is too small. The answer is (B).", "ABCD") == "B"``.
    """
    for pattern, plain in _PLAIN:
        text = pattern.sub(plain, text)
    patterns = _patterns(letters)
    stated = list(patterns.statement.finditer(text))
    if not stated:
        return _at_the_end(text, patterns)
    return None if patterns.several.match(text, stated[-1].end()) else _letter(stated[-1])


def _at_the_end(text: str, patterns: _Patterns) -> str | None:
    """The option with which a text without statements ends; a list of options ends with one too, and states nothing."""
    lines = [stripped for line in text.splitlines() if (stripped := line.strip())]
    if not lines:
        return None
    if len(lines) == 1 and (small := patterns.small.fullmatch(lines[0])):
        return _letter(small)
    if last := patterns.line.fullmatch(lines[-1]):
        options = {_letter(option) for line in lines if (option := patterns.line.fullmatch(line))}
        alone = len(options) == 1 and not patterns.several.match(lines[-1], last.end(1))
        return _letter(last) if alone else None
    ending = patterns.ending.search(lines[-1])
    return _letter(ending) if ending else None


def _letter(found: re.Match[str]) -> str:
    return next(letter.upper() for letter in found.groups() if letter)
