"""What held-out prompts say about a policy: avg@k, pass@k and maj@k, and how sure they are."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from effrl.batch import truncated_fraction
from effrl.config.reward import answering
from effrl.config.schema import Config
from effrl.report.show import GroupRecord, RolloutRecord
from effrl.run.groups import rollout_record, text_of
from effrl.types import ReadGroup, Score

Z95 = 1.96
"""Standard errors on each side of a mean that make an interval of 95 %."""


@dataclass(frozen=True, slots=True)
class Graded:
    """One held-out prompt with its samples, read and scored."""

    read: ReadGroup
    label: str | None
    scores: tuple[Score, ...]
    """One per sample; those that have no outcome, since verifier or engine failed, count in no metric."""

    @property
    def outcomes(self) -> list[float]:
        """Outcomes of the samples that could be scored."""
        return [score.outcome for score in self.scores if score.outcome is not None]

    @property
    def vote(self) -> float | None:
        """Outcome of the majority's answer: of its first sample that could be scored.

        Of answers with as many votes it is the one that occurs first. Without any answer it is wrong (0); None where
        the verifier failed.
        """
        winner = 0 if 0 in self.read.clusters else None
        voters = zip(self.scores, self.read.clusters, strict=True)
        return next((score.outcome for score, vote in voters if vote == winner and score.outcome is not None), None)

    @property
    def truncated(self) -> float | None:
        """Share of the samples that hit the token limit; None where the engine finished none."""
        return truncated_fraction(self.read.group.rollouts)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over prompts: ``Estimate(0.65, 0.03, 128)``; not a number where there is nothing to take it of."""

    mean: float
    error: float
    """Standard error of the mean over prompts."""
    prompts: int

    @property
    def margin(self) -> float:
        """Half the width of the 95 % interval, by the normal approximation: too narrow for a handful of prompts."""
        return Z95 * self.error


def estimate(values: Iterable[float | None]) -> Estimate:
    """Mean and standard error of what is known of each prompt."""
    known = [value for value in values if value is not None]
    mean = float(np.mean(known)) if known else math.nan
    error = float(np.std(known, ddof=1)) / math.sqrt(len(known)) if len(known) > 1 else math.nan
    return Estimate(mean, error, len(known))


def best_of(outcomes: Sequence[float], k: int) -> float:
    """The expected best of ``k`` of the outcomes, drawn without replacement: the mean over all subsets of that size.

    For outcomes 0 and 1 it is the unbiased pass@k, 1 - C(n - c, k) / C(n, k) (arXiv 2107.03374, eq. 1). Where fewer
    than ``k`` could be scored, it is the best of those.
    """
    n = len(outcomes)
    k = min(k, n)
    # Sorted, the i-th (from 0) is the best of a subset that has k - 1 of the i before it.
    return sum(math.comb(i, k - 1) * value for i, value in enumerate(sorted(outcomes))) / math.comb(n, k)


def measure(graded: Sequence[Graded], config: Config) -> dict[str, Estimate]:
    """The metrics of one set: ``accuracy`` (avg@k), ``pass@k``, ``maj@k`` and ``truncated``.

    A reward of the user's own tells no answers, so there is nothing to vote on.
    """
    scored = [entry for entry in graded if entry.outcomes]
    k = config.eval.per_prompt
    found = {"accuracy": estimate(float(np.mean(entry.outcomes)) for entry in scored)}
    found |= {
        f"pass@{n}": estimate(best_of(entry.outcomes, n) for entry in scored) for n in config.eval.pass_at or (k,)
    }
    if answering(config.reward) is not None:
        found[f"maj@{k}"] = estimate(entry.vote for entry in scored)
    return {**found, "truncated": estimate(entry.truncated for entry in graded)}


def metrics(sets: Mapping[str, Sequence[Graded]], config: Config) -> dict[str, float]:
    """A row's metrics: ``eval/accuracy`` and so on of the main set, ``eval/NAME/accuracy`` of every other."""
    prefixes = {name: "eval/" if name == config.data.main_set else f"eval/{name}/" for name in sets}
    found = {
        prefixes[name] + metric: value.mean
        for name, graded in sets.items()
        for metric, value in measure(graded, config).items()
    }
    tokens = sum(entry.read.group.tokens for graded in sets.values() for entry in graded)
    return {**found, "eval/tokens": float(tokens)}


def record(graded: Graded) -> GroupRecord:
    """A prompt with its label, and its samples with their verdicts, as :mod:`effrl.report.show` prints it."""
    group, vote = graded.read.group, graded.vote if graded.read.voted is not None else None
    return {
        "id": group.id,
        "step": 0,
        "prompt_id": group.prompt.id,
        "prompt": text_of(group),
        "fate": "evaluated",
        "reason": "" if vote is None else f"the majority's answer scores {vote:.2f}",
        "grounds": {},
        "label_source": "held out",
        "answer": graded.label,
        "rollouts": [
            cast(RolloutRecord, rollout_record(rollout, score))
            for rollout, score in zip(group.rollouts, graded.scores, strict=True)
        ],
    }
