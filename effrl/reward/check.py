"""Does a reward say what it should? Completions whose verdict is known, made from the labels of some rows.

What a reward function gets wrong is found here, in the same worker processes as in a run, and not after a night on
GPUs: golds that it refuses (the policy cannot learn), and wrong answers that it accepts (the policy learns those).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from effrl.config.reward import AnyReward, answering
from effrl.errors import RunError
from effrl.reward.choice import chosen
from effrl.reward.extract import final_answer
from effrl.reward.reading import Grade
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.words import spelled
from effrl.types import Row, Score

SLOT = "{answer}"
FORMS = (
    f"\\boxed{{{SLOT}}}",
    f"#### {SLOT}",
    f"#{SLOT}",
    f"The answer is {SLOT}",
    f"Answer: {SLOT}",
    f"<answer>{SLOT}</answer>",
    SLOT,
)
"""How a completion may put its answer; which of them a reward understands is found out."""

_TRIAL_ROWS = 4
"""Rows on which the forms are tried."""
_NUMBER = re.compile(r"-?[0-9][0-9,]*(?:\.[0-9]+)?")
_WORD = re.compile(r"(?<![\w\\])[^\W\d_]{2,}")
r"""Letters side by side that are no LaTeX command."""


@dataclass(frozen=True, slots=True)
class Case:
    """A row, and what completions are made of: ``Case("train:1", "…#### 18", "18", "3", "19", "What is …", {})``."""

    id: str
    label: str
    gold: str
    """The label's answer alone."""
    other: str | None
    """Another row's gold; None where all are equal."""
    wrong: str
    """The gold with its last letter or digit replaced by the next one; of options, the next one."""
    prompt: str
    meta: Mapping[str, Any]


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
    Probe("label as it stands", True, lambda case, put: case.label if case.label.strip() != case.gold else None),
    # Two rows may have the same answer in forms that only the reward knows to be equal, such as 1/2 and 0.5.
    Probe("gold of another row", False, lambda case, put: put(case.other) if case.other else None, tolerated=0.05),
    Probe("empty", False, lambda case, put: "", tolerated=0.0),
    Probe("the prompt again", False, lambda case, put: case.prompt),
    Probe("off by one digit or letter", False, lambda case, put: put(case.wrong)),
    Probe("anagram", False, lambda case, put: _if_words(case, put, _anagram), tolerated=0.0),
    Probe("sign flipped", False, lambda case, put: _if_number(case, put, _flipped)),
    Probe("gold, then a wrong answer", False, lambda case, put: f"{put(case.gold)}\n{put(case.wrong)}"),
    Probe("gold or a wrong answer", False, lambda case, put: put(f"{case.gold} or {case.wrong}")),
    Probe("a wrong answer, then gold", None, lambda case, put: f"{put(case.wrong)}\n{put(case.gold)}"),
    Probe("gold with spaces", True, lambda case, put: put(f" {case.gold} ")),
    Probe("gold with a unit", None, lambda case, put: _if_number(case, put, lambda gold: f"{gold} apples")),
    Probe("gold in dollars", None, lambda case, put: _if_number(case, put, lambda gold: f"\\${gold}")),
    Probe("gold with decimals", None, lambda case, put: _if_number(case, put, _with_decimals)),
    Probe("gold with thousands separators", None, lambda case, put: _if_number(case, put, _with_separators)),
    Probe("gold as LaTeX text", None, lambda case, put: put(f"\\text{{{case.gold}}}")),
)


@dataclass(frozen=True, slots=True)
class Trial:
    """One completion and its score."""

    probe: Probe
    case: Case
    completion: str
    score: Score

    @property
    def right(self) -> bool:
        """Whether the reward calls it right: an outcome above one half."""
        return self.score.outcome is not None and self.score.outcome > 0.5

    @property
    def unexpected(self) -> bool:
        """Whether the verdict is not what it should be; no verdict at all never is."""
        return not self.score.status.scored or self.probe.expected not in (None, self.right)


@dataclass(frozen=True, slots=True)
class Check:
    """What was found out about a reward."""

    form: str
    """How answers were put."""
    trials: tuple[Trial, ...]

    def of(self, probe: Probe) -> list[Trial]:
        return [trial for trial in self.trials if trial.probe is probe]

    def failures(self) -> list[str]:
        """What the reward must not get wrong, and does: one phrase each."""
        found = []
        for probe in PROBES:
            trials = self.of(probe)
            unexpected = sum(trial.unexpected for trial in trials)
            if unexpected > probe.tolerated * len(trials):
                verdict = "right" if probe.expected else "wrong"
                found.append(f"{probe.name}: {unexpected:,} of {len(trials):,} are not {verdict}")
        return found


def check(reward: AnyReward, rows: Sequence[Row], grade: Grade, form: str | None = None) -> Check:
    """Score completions of every kind for every row.

    Args:
        grade: scores completions, where a function that hangs can be killed.
        form: how a completion puts its answer, with ``{answer}`` in it; by default the first of :data:`FORMS` with
            which most golds are right.

    Raises:
        RunError: the reward judges nothing at all, or hangs all the time.
    """
    cases = _cases(reward, rows)
    used = form or _understood(cases[:_TRIAL_ROWS], grade)
    put = partial(used.replace, SLOT)
    written = [
        (probe, case, completion)
        for probe in PROBES
        for case in cases
        if (completion := probe.write(case, put)) is not None
    ]
    scores = grade([_task(case, completion) for _, case, completion in written])
    return Check(used, tuple(Trial(*entry, score) for entry, score in zip(written, scores, strict=True)))


def _understood(cases: Sequence[Case], grade: Grade) -> str:
    """The form with which most golds are right."""
    written = [(form, case) for form in FORMS for case in cases]
    scores = grade([_task(case, form.replace(SLOT, case.gold)) for form, case in written])
    if not any(score.status.scored for score in scores):
        raise RunError(
            f"the reward judges nothing ({scores[0].detail}): mend it, or say how a completion puts its answer,"
            f" --form 'Answer: {SLOT}'"
        )
    right = {
        form: sum(score.outcome or 0.0 for (used, _), score in zip(written, scores, strict=True) if used == form)
        for form in FORMS
    }
    return max(FORMS, key=lambda form: right[form])


def _task(case: Case, completion: str) -> ScoringTask:
    return ScoringTask(completion, case.label, case.meta, truncated=False, prompt_id=case.id)


def _cases(reward: AnyReward, rows: Sequence[Row]) -> list[Case]:
    labels = [row.label or "" for row in rows]
    golds = [_gold(reward, label) for label in labels]
    return [
        Case(row.prompt.id, label, gold, _other(golds, place), _wrong(reward, gold), _text(row), row.prompt.meta)
        for place, (row, label, gold) in enumerate(zip(rows, labels, golds, strict=True))
    ]


def _gold(reward: AnyReward, label: str) -> str:
    options = _options(reward)
    option = chosen(label, options) if options else None
    return option or final_answer(label) or label.strip()


def _other(golds: Sequence[str], place: int) -> str | None:
    """The next gold that differs, going round."""
    following = (*golds[place + 1 :], *golds[:place])
    return next((gold for gold in following if _value(gold) != _value(golds[place])), None)


def _value(answer: str) -> Decimal | str:
    return Decimal(answer.replace(",", "")) if _NUMBER.fullmatch(answer) else " ".join(answer.split())


def _text(row: Row) -> str:
    content = row.prompt.content
    return content if isinstance(content, str) else content[-1]["content"]


def _wrong(reward: AnyReward, gold: str) -> str:
    options = _options(reward)
    if options and gold in options:
        return options[(options.index(gold) + 1) % len(options)]
    return _off_by_one(gold)


def _options(reward: AnyReward) -> str:
    verifier = answering(reward)
    return verifier.options if verifier else ""


def _off_by_one(answer: str) -> str:
    """``18`` becomes ``19``, ``cat`` ``cau``; an answer without letters and digits gets one more."""
    place = next((n for n in reversed(range(len(answer))) if answer[n].isascii() and answer[n].isalnum()), None)
    if place is None:
        return f"{answer}1"
    last = {"9": "0", "z": "a", "Z": "A"}.get(answer[place], chr(ord(answer[place]) + 1))
    return f"{answer[:place]}{last}{answer[place + 1 :]}"


def _if_number(case: Case, put: Put, change: Callable[[str], str | None]) -> str | None:
    changed = change(case.gold) if _NUMBER.fullmatch(case.gold) else None
    return None if changed is None or changed == case.gold else put(changed)


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
