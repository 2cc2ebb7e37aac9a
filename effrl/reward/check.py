"""Does a reward say what it should? Completions whose verdict is known, made from the labels of some rows.

What a reward function gets wrong is found here, in the same worker processes as in a run, and not after a night on
GPUs: golds that it refuses (the policy cannot learn), and wrong answers that it accepts (the policy learns those).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from effrl.config.reward import AnyReward, answering
from effrl.errors import RunError
from effrl.reward.probes import Case, Probe, cases, probes
from effrl.reward.reading import Grade
from effrl.reward.sandbox.messages import ScoringTask
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
    probes: tuple[Probe, ...]
    trials: tuple[Trial, ...]

    def of(self, probe: Probe) -> list[Trial]:
        return [trial for trial in self.trials if trial.probe is probe]

    def failures(self) -> list[str]:
        """What the reward must not get wrong, and does: one phrase each."""
        found = []
        for probe in self.probes:
            trials = self.of(probe)
            unexpected = sum(trial.unexpected for trial in trials)
            if unexpected > probe.tolerated * len(trials):
                verdict = "right" if probe.expected else "wrong"
                found.append(f"{probe.name}: {unexpected:,} of {len(trials):,} are not {verdict}")
        return found


def check(reward: AnyReward, rows: Sequence[tuple[str, Row]], grade: Grade, form: str | None = None) -> Check:
    """Score completions of every kind for every row.

    Args:
        rows: labelled ones, each with its place.
        grade: scores completions, where a function that hangs can be killed.
        form: how a completion puts its answer, with ``{answer}`` in it; by default the first of :data:`FORMS` with
            which most golds are right.

    Raises:
        RunError: the reward judges nothing at all, or hangs all the time.
    """
    verifier = answering(reward)
    found = cases(verifier, rows)
    used = form or _understood(found[:_TRIAL_ROWS], grade)
    put = partial(used.replace, SLOT)
    tried = probes(verifier)
    written = [
        (probe, case, completion)
        for probe in tried
        for case in found
        if (completion := probe.write(case, put)) is not None
    ]
    scores = grade([_task(case, completion) for _, case, completion in written])
    return Check(used, tried, tuple(Trial(*entry, score) for entry, score in zip(written, scores, strict=True)))


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
