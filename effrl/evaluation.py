"""What held-out prompts say about a policy: avg@k, pass@k, maj@k and best@k, and how sure they are."""

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
    prm: tuple[float, ...] | None = None
    """A process reward model's score of each sample (:func:`effrl.process.steps.solution_score`), if it was asked."""

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
        return self._worth(0 if 0 in self.read.clusters else None)

    @property
    def ranked(self) -> list[float]:
        """Outcomes of the samples that could be scored, those that the process reward model prefers first.

        Of samples that it finds equal the one that was sampled first comes first.
        """
        prm = self._judgement
        order = sorted(range(len(prm)), key=lambda place: -prm[place])
        return [outcome for place in order if (outcome := self.scores[place].outcome) is not None]

    @property
    def weighted_vote(self) -> float | None:
        """Outcome of the answer whose votes weigh most: each vote weighs the sigmoid of its sample's score.

        With the cross-entropy loss that is the model's chance of being right. In all else as :attr:`vote`.
        """
        weights: dict[int, float] = {}
        for cluster, score in zip(self.read.clusters, self._judgement, strict=True):
            if cluster is not None:
                weights[cluster] = weights.get(cluster, 0.0) + _sigmoid(score)
        return self._worth(max(weights, key=lambda cluster: weights[cluster], default=None))

    @property
    def _judgement(self) -> tuple[float, ...]:
        assert self.prm is not None, "a process reward model was asked"
        return self.prm

    def _worth(self, cluster: int | None) -> float | None:
        """Outcome of an answer, or of having none: of its first sample that could be scored."""
        samples = zip(self.scores, self.read.clusters, strict=True)
        return next((score.outcome for score, found in samples if found == cluster and score.outcome is not None), None)

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


def first_of(ranked: Sequence[float], k: int) -> float:
    """The expected outcome of the best placed of ``k`` samples, drawn without replacement: the mean over all subsets.

    Where fewer than ``k`` could be scored, it is the first of those.

    Args:
        ranked: outcomes, those first that would be picked.
    """
    n = len(ranked)
    k = min(k, n)
    # The i-th (from 0) is the first of a subset whose other k - 1 are of the n - 1 - i after it.
    return sum(math.comb(n - 1 - i, k - 1) * value for i, value in enumerate(ranked)) / math.comb(n, k)


def best_of(outcomes: Sequence[float], k: int) -> float:
    """The expected best of ``k`` of the outcomes: what whoever always picks a right sample would have.

    For outcomes 0 and 1 it is the unbiased pass@k, 1 - C(n - c, k) / C(n, k) (arXiv 2107.03374, eq. 1).
    """
    return first_of(sorted(outcomes, reverse=True), k)


def measure(graded: Sequence[Graded], config: Config) -> dict[str, Estimate]:
    """The metrics of one set: ``accuracy`` (avg@k), ``pass@k``, ``maj@k`` and ``truncated``; and of a PRM's picks.

    A reward of the user's own tells no answers, so there is nothing to vote on.
    """
    scored = [entry for entry in graded if entry.outcomes]
    judged = bool(scored) and all(entry.prm is not None for entry in scored)
    k, votes = config.eval.per_prompt, answering(config.reward) is not None
    sizes = dict.fromkeys(config.eval.pass_at or (k,)) | (dict.fromkeys((k,)) if judged else {})
    found = {"accuracy": estimate(float(np.mean(entry.outcomes)) for entry in scored)}
    found |= {f"pass@{n}": estimate(best_of(entry.outcomes, n) for entry in scored) for n in sizes}
    if judged:
        found |= {f"best@{n}": estimate(first_of(entry.ranked, n) for entry in scored) for n in sizes}
    if votes:
        found[f"maj@{k}"] = estimate(entry.vote for entry in scored)
    if judged and votes:
        found |= _against_votes(scored, k)
    return {**found, "truncated": estimate(entry.truncated for entry in graded)}


def _against_votes(scored: Sequence[Graded], k: int) -> dict[str, Estimate]:
    """The weighted vote, and what picks gain over the plain one: taken prompt by prompt that is surer than either, as
    most prompts are right in both ways or wrong in both."""
    gains = [None if entry.vote is None else first_of(entry.ranked, k) - entry.vote for entry in scored]
    return {f"weighted@{k}": estimate(entry.weighted_vote for entry in scored), "best-maj": estimate(gains)}


def _sigmoid(value: float) -> float:
    return 0.5 * (1 + math.tanh(value / 2))  # which does not overflow, and is 0 of minus infinity


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
    group = graded.read.group
    return {
        "id": group.id,
        "step": 0,
        "prompt_id": group.prompt.id,
        "prompt": text_of(group),
        "fate": "evaluated",
        "reason": _reason(graded),
        "grounds": {},
        "label_source": "held out",
        "answer": graded.label,
        "rollouts": [
            cast(RolloutRecord, {**rollout_record(rollout, score), **prm})
            for rollout, score, prm in zip(group.rollouts, graded.scores, _prm_records(graded), strict=True)
        ],
    }


def _reason(graded: Graded) -> str:
    vote = graded.vote if graded.read.voted is not None else None
    reasons = [] if vote is None else [f"the majority's answer scores {vote:.2f}"]
    if graded.prm is not None and graded.outcomes:
        reasons.append(f"the PRM's pick scores {graded.ranked[0]:.2f}")
    return ", ".join(reasons)


def _prm_records(graded: Graded) -> list[dict[str, float | None]]:
    """What is kept of the scores: JSON knows no infinity, so that of a sample without text is None."""
    if graded.prm is None:
        return [{} for _ in graded.scores]
    return [{"prm": score if math.isfinite(score) else None} for score in graded.prm]
