"""What ``effrl reward check`` puts before a reward: completions whose verdict is known, made from labelled rows."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from effrl.acceptable import alternatives
from effrl.config.reward import AnyVerifier
from effrl.reward.choice import chosen
from effrl.reward.extract import final_answer
from effrl.reward.words import spelled
from effrl.types import Row

_NUMBER = re.compile(r"-?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?")
_DRESSED = re.compile(
    r"(?:[\s$*{(\u20ac\u00a3\u00a5]|\\\$|\\[(\[]|\\text\{)*"
    rf"({_NUMBER.pattern})"
    r"(?:[\s$*})%\u00b0]|\\[%)\],;! ]|\^\{?\\circ\}?|\\text\{[^{}]*\}|(?<=\s)[a-zA-Z]+)*"
)
r"""A number with what may stand around it: ``$42$``, ``\$42``, ``42 apples``, ``42\%``."""
_WORD = re.compile(r"(?<![\w\\])[^\W\d_]{2,}")
r"""Letters side by side that are no LaTeX command."""
_EXPRESSION = re.compile(
    r"\(*[0-9]+(?:\.[0-9]+)?\)*(?:\s*(?:[-+*/\u00d7\u00f7\u2212]|\\times|\\cdot|\\div)\s*\(*[0-9]+(?:\.[0-9]+)?\)*)+"
)
_MORE_THAN_A_FRACTION = re.compile(r"[-+*\u00d7\u00f7\u2212\\]|/.*/")


@dataclass(frozen=True, slots=True)
class Case:
    """A row, and what completions are made of."""

    place: str
    """Where it stands: ``train.jsonl:17``."""
    id: str
    label: str
    gold: str
    """The label's answer alone; of several acceptable ones, the first."""
    also: tuple[str, ...]
    """The other acceptable answers."""
    other: str | None
    """Another row's gold; None where all are equal."""
    wrong: str
    """The gold with its last letter or digit replaced by the next one; of options, the next one."""
    prompt: str
    meta: Mapping[str, Any]

    @property
    def number(self) -> str | None:
        """The plain number that the gold is, whatever stands around it; None where it is something else."""
        return _plain_number(self.gold)


Put = Callable[[str], str]
"""Puts an answer the way the reward reads it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One kind of completion."""

    name: str
    expected: bool | None
    """Should the reward call it right? None: that is a matter of taste, but one should know."""
    write: Callable[[Case, Put], str | None]
    """The completion; None where a case has none of this kind."""
    tolerated: float = 1.0
    """Largest share of unexpected verdicts with which the reward passes."""


PROBES: tuple[Probe, ...] = (
    Probe("gold", True, lambda case, put: put(case.gold), tolerated=0.0),
    Probe(
        "another acceptable answer", True, lambda case, put: put(case.also[-1]) if case.also else None, tolerated=0.0
    ),
    Probe(
        "label as it stands",
        True,
        lambda case, put: None if case.also or case.label.strip() == case.gold else case.label,
    ),
    # Two rows may have the same answer in forms that only the reward knows to be equal, such as 1/2 and 0.5.
    Probe("gold of another row", False, lambda case, put: put(case.other) if case.other else None, tolerated=0.05),
    Probe("empty", False, lambda case, put: "", tolerated=0.0),
    Probe("the prompt again", False, lambda case, put: case.prompt),
    Probe(
        "the prompt's sum as the answer", False, lambda case, put: _if_number(case, put, _sum_of(case)), tolerated=0.0
    ),
    Probe("a sum that makes the gold", False, lambda case, put: _if_number(case, put, _as_a_sum), tolerated=0.0),
    Probe("off by one digit or letter", False, lambda case, put: put(case.wrong)),
    Probe("anagram", False, lambda case, put: _if_words(case, put, _anagram), tolerated=0.0),
    Probe("sign flipped", False, lambda case, put: _if_number(case, put, _flipped)),
    Probe("gold, then a wrong answer", False, lambda case, put: f"{put(case.gold)}\n{put(case.wrong)}"),
    Probe("gold or a wrong answer", False, lambda case, put: put(f"{case.gold} or {case.wrong}")),
    Probe("a wrong answer, then gold", None, lambda case, put: f"{put(case.wrong)}\n{put(case.gold)}"),
    Probe("gold with spaces", True, lambda case, put: put(f" {case.gold} ")),
)
"""What is true of every reward."""

VALUES: tuple[Probe, ...] = (
    Probe("gold with a unit", True, lambda case, put: _if_bare(case, put, lambda number: f"{number} apples")),
    Probe("gold in dollars", True, lambda case, put: _if_bare(case, put, lambda number: f"\\${number}")),
    Probe("gold with a percent sign", True, lambda case, put: _if_bare(case, put, lambda number: f"{number}\\%")),
    Probe("gold in degrees", True, lambda case, put: _if_bare(case, put, lambda number: f"{number}^\\circ")),
    Probe("gold with decimals", True, lambda case, put: _if_number(case, put, _with_decimals)),
    Probe("gold with thousands separators", True, lambda case, put: _if_number(case, put, _with_separators)),
    Probe("gold as LaTeX text", True, lambda case, put: put(f"\\text{{{case.gold}}}")),
)
"""Other ways to write a value; whether they are right is a matter of taste where labels are text."""

MARKS: tuple[Probe, ...] = (
    Probe("Answer: gold", True, lambda case, put: f"Answer: {case.gold}"),
    Probe("\u7b54\u6848\uff1agold", True, lambda case, put: f"\u7b54\u6848\uff1a{case.gold}"),
    Probe("Antwort: gold", True, lambda case, put: f"Antwort: {case.gold}"),
    Probe("<answer>gold</answer>", True, lambda case, put: f"<answer>{case.gold}</answer>"),
    Probe(
        "gold after a wrong thought",
        True,
        lambda case, put: f"<think>{put(case.wrong)}</think>\n{put(case.gold)}",
    ),
    Probe("gold in a thought alone", False, lambda case, put: f"<think>{put(case.gold)}</think>"),
)
"""Other places of an answer; a matter of taste where a reward has places of its own."""


def probes(verifier: AnyVerifier | None) -> tuple[Probe, ...]:
    """The completions to try on a reward, by what compares its answers; None is a function of the user's own."""
    values = VALUES if verifier and verifier.labels == "value" else _matters_of_taste(VALUES)
    marks = MARKS if verifier and verifier.reads_marks else _matters_of_taste(MARKS)
    return (*PROBES, *values, *marks)


def _matters_of_taste(of: Sequence[Probe]) -> tuple[Probe, ...]:
    return tuple(replace(probe, expected=None) for probe in of)


def cases(verifier: AnyVerifier | None, rows: Sequence[tuple[str, Row]]) -> list[Case]:
    """A case of every labelled row with its place."""
    options = verifier.options if verifier else ""
    golds = [_golds(options, row.label or "") for _, row in rows]
    return [
        Case(
            place,
            row.prompt.id,
            row.label or "",
            gold=found[0],
            also=found[1:],
            other=_other(golds, number),
            wrong=_wrong(options, found),
            prompt=_text(row),
            meta=row.prompt.meta,
        )
        for number, ((place, row), found) in enumerate(zip(rows, golds, strict=True))
    ]


def _golds(options: str, label: str) -> tuple[str, ...]:
    """The answers that a label accepts, as they are put."""
    return tuple(
        (chosen(answer, options) if options else None) or final_answer(answer) or answer.strip()
        for answer in alternatives(label)
    )


def _other(golds: Sequence[tuple[str, ...]], place: int) -> str | None:
    """The next row's gold that differs from all that are right here, going round."""
    right = {_value(gold) for gold in golds[place]}
    following = (*golds[place + 1 :], *golds[:place])
    return next((gold for gold, *_ in following if _value(gold) not in right), None)


def _value(answer: str) -> Decimal | str:
    number = _plain_number(answer)
    return " ".join(answer.split()) if number is None else Decimal(number.replace(",", ""))


def _plain_number(answer: str) -> str | None:
    found = _DRESSED.fullmatch(answer)
    return found.group(1) if found else None


def _text(row: Row) -> str:
    content = row.prompt.content
    return content if isinstance(content, str) else content[-1]["content"]


def _wrong(options: str, right: Sequence[str]) -> str:
    """An answer next to the gold that is none of the acceptable ones."""
    gold = right[0]
    if gold and gold in options:
        following = options[options.index(gold) + 1 :] + options
        return next((option for option in following if option not in right), gold)
    wrong = _off_by_one(gold)
    while wrong in right:
        wrong = _off_by_one(wrong)
    return wrong


def _off_by_one(answer: str) -> str:
    """``18`` becomes ``19``, ``cat`` ``cau``; an answer without letters and digits gets one more."""
    place = next((n for n in reversed(range(len(answer))) if answer[n].isascii() and answer[n].isalnum()), None)
    if place is None:
        return f"{answer}1"
    last = {"9": "0", "z": "a", "Z": "A"}.get(answer[place], chr(ord(answer[place]) + 1))
    return f"{answer[:place]}{last}{answer[place + 1 :]}"


def _if_number(case: Case, put: Put, change: Callable[[str], str | None]) -> str | None:
    changed = None if case.number is None else change(case.number)
    return None if changed is None or changed == case.gold else put(changed)


def _if_bare(case: Case, put: Put, change: Callable[[str], str | None]) -> str | None:
    """Only where the gold is a number and no quantity: 42 apples are not 42 dollars."""
    return _if_number(case, put, change) if _NUMBER.fullmatch(case.gold) else None


def _sum_of(case: Case) -> Callable[[str], str | None]:
    """The longest calculation of the prompt, ``12+30`` in "What is 12+30?"; a bare fraction is a number."""
    found = max(_EXPRESSION.findall(case.prompt), key=len, default="").strip()
    return lambda number: found if _MORE_THAN_A_FRACTION.search(found) else None


def _as_a_sum(number: str) -> str:
    return f"{Decimal(number.replace(',', '')) - 1}+1"


def _if_words(case: Case, put: Put, change: Callable[[str], str | None]) -> str | None:
    changed = None if spelled(case.gold) is None else change(case.gold)
    return None if changed is None else put(changed)


def _anagram(answer: str) -> str | None:
    """``cat`` becomes ``act``: two letters of its last word change places. None where all of them are equal."""
    for word in reversed(list(_WORD.finditer(answer))):
        for place in range(word.start(), word.end() - 1):
            first, second = answer[place], answer[place + 1]
            if first.casefold() != second.casefold():
                return f"{answer[:place]}{second}{first}{answer[place + 2 :]}"
    return None


def _flipped(number: str) -> str | None:
    if not number.strip("-0,."):
        return None
    return number[1:] if number.startswith("-") else f"-{number}"


def _with_decimals(number: str) -> str | None:
    return None if "." in number else f"{number}.0"


def _with_separators(number: str) -> str:
    return f"{Decimal(number.replace(',', '')):,}"
