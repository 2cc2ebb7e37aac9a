"""Every answer of a group is a pseudo-label, weighed by its votes; doubtful groups are penalised (RESTRAIN).

Ours follows arXiv 2510.02172, whose code is not released. Summed over pseudo-labels j with weights w_j and shares f_j,
GRPO's advantages of a rollout with answer c are

    w_c / sd_c - Σ_j w_j f_j / sd_j,   sd_j = √(f_j (1 - f_j)),

so rewards of w_c / sd_c give the same, less their mean and not divided by any deviation. That holds for the first
update of a step: later, clipping a sum is not summing what was clipped.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, exp, sqrt
from pathlib import Path

from effrl.config.label_free import RestrainLabel
from effrl.errors import UserError
from effrl.label.stateless import Stateless
from effrl.label.vote import NO_VOTE
from effrl.types import Decision, Judged, ReadGroup, Step, Supervision, View


@dataclass(frozen=True)
class RestrainLabeller(Stateless):
    """A :class:`~effrl.protocols.Labeller` without labels."""

    config: RestrainLabel
    reference: Mapping[str, float] | None = None
    """Share of the largest cluster of answers of the initial model, by prompt id; None: all prompts count alike."""

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        return [self._judge(read) for read in groups]

    def _judge(self, read: ReadGroup) -> Judged:
        if read.voted is None:
            return Judged(read, Decision.DROP, reason=NO_VOTE)
        votes, n = read.size(0), len(read.clusters)
        supervision = Supervision("vote", read.voted, 0, self._weight(read.group.prompt.id))
        needed = ceil(3 * n / 16) if self.config.kappa == "auto" else self.config.kappa
        if votes < needed:
            penalised = replace(supervision, values=(0.0,) * n, offset=-self.config.penalty)
            return Judged(read, Decision.USE, penalised, grounds={"votes": votes})
        values = rewards(read, self.config.center, self.config.width)
        return Judged(read, Decision.USE, replace(supervision, values=values), grounds={"votes": votes})

    def _weight(self, prompt_id: str) -> float:
        """How sure the initial model was of the prompt.

        Raises:
            UserError: the reference does not have it.
        """
        if self.reference is None:
            return 1.0
        if prompt_id not in self.reference:
            raise UserError(
                f"{self.config.reference} (label.reference) has no prompt {prompt_id}: make it of all prompts,"
                " effrl labels probe CONFIG --all --out FILE"
            )
        return trust(self.reference[prompt_id], self.config.center, self.config.width)


def trust(share: float, center: float, width: float) -> float:
    """exp(-(share - center)² / 2 width²) of an answer that a share of the group gave."""
    return exp(-((share - center) ** 2) / (2 * width**2))


def rewards(read: ReadGroup, center: float, width: float) -> tuple[float, ...]:
    """[n] w_c / sd_c of each rollout; 0 where there is no answer, and where all have the same."""
    n = len(read.clusters)
    shares = {cluster: read.size(cluster) / n for cluster in read.clusters if cluster is not None}
    total = sum(trust(share, center, width) for share in shares.values())
    worth = {
        cluster: trust(share, center, width) / total / sqrt(share * (1 - share)) if share < 1 else 0.0
        for cluster, share in shares.items()
    }
    return tuple(0.0 if cluster is None else worth[cluster] for cluster in read.clusters)


def read_shares(path: Path) -> dict[str, float]:
    """What ``effrl labels probe --out`` wrote, by prompt id.

    Raises:
        UserError: the file cannot be read, or a line holds something else.
    """
    made = "make it with effrl labels probe CONFIG --all --out FILE"
    try:
        lines = path.read_text().splitlines()
    except OSError as error:
        raise UserError(f"{path} (label.reference) cannot be read, {error.strerror}: {made}") from error
    try:
        rows = [json.loads(line) for line in lines]
        return {str(row["prompt_id"]): float(row["share"]) for row in rows}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} (label.reference) has a line without prompt_id and share: {made}") from error
