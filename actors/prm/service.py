"""The implicit PRM as the loop sees it: token rewards of what a step learns from (PRIME, arXiv 2502.01456)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actors.ranks.group import RankGroup, in_order
from effrl.batch import Batch, in_parts
from effrl.config.process import ImplicitPrm
from effrl.errors import UserError
from effrl.learn.schedule import learning_rate
from effrl.process.examples import LabelledGroup, labelled, sequences_of, shared_out, targets
from effrl.process.metrics import quality
from effrl.process.rewards import normalised, token_rewards_of
from effrl.protocols import Learner
from effrl.run.metrics import Stopwatch
from effrl.saved import Saved
from effrl.sequences import ProcessReward, TokenRewards
from effrl.types import Float32, Float64, ScoredGroup, Step

SHOWN = 4
"""Groups of a step whose tokens people can look at."""

References = Mapping[str, Sequence[Float32]]
"""The policy's log-probs of each rollout, by group id; of none where another model is the reference."""
LogRatios = dict[str, list[Float32]]
"""[T] of each rollout that has an outcome, by group id."""


@dataclass
class PrmService:
    """The :class:`~effrl.protocols.ProcessRewards` of a run with an implicit PRM.

    It learns from groups that are learned from for the first time: what was dropped, filtered, parked or stale it never
    sees. What it makes of a group is nowhere stored with it: a replayed group is scored anew, by the weights of then.
    """

    group: RankGroup
    config: ImplicitPrm
    pass_tokens: int
    """Most tokens of one forward pass, padding included."""
    learner: Learner
    """Whose log-probs are the reference, where the policy is."""
    clock: Stopwatch
    updates: int = 0
    """Optimizer steps so far."""
    name = "process"

    async def reward(self, step: Step, batch: Batch) -> ProcessReward:
        fresh, replayed = batch.trained, [stored.scored for stored in batch.replayed]
        if not (fresh or replayed):
            return ProcessReward()
        references = await self._references([*fresh, *replayed])
        with self.clock.stage("process"):
            new, old = [labelled(scored) for scored in fresh], [labelled(scored) for scored in replayed]
            found, unseen, metrics = await self._judge(step, new, old, references)
            rewards = {each.group.group.id: self._rewards(each, found[each.group.group.id]) for each in (*new, *old)}
            metrics |= self._quality(new, unseen)
            if self.config.normalise:
                rewards, metrics["process/norm"] = normalised(rewards, floor=self.config.beta)
            return ProcessReward(rewards, metrics, await self._pieces(fresh[:SHOWN]))

    async def save(self, into: Path) -> Saved:
        """Have every rank write what it has of the PRM, its optimizer and its random states.

        Raises:
            RunError: a rank says that it wrote nothing.
        """
        return Saved(await self.group.save(into), {"updates": self.updates, "ranks": len(self.group.ranks)})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        if state["ranks"] != len(self.group.ranks):
            raise UserError(
                f"{path} was written by {state['ranks']} PRM ranks, not {len(self.group.ranks)}: set cluster.prm back"
            )
        await self.group.all("restore", path)
        self.updates = state["updates"]

    async def _judge(
        self, step: Step, fresh: Sequence[LabelledGroup], replayed: Sequence[LabelledGroup], references: References
    ) -> tuple[LogRatios, LogRatios, dict[str, float]]:
        """What rewards are made of; the same of fresh groups before the PRM learned from them; and metrics.

        Preference losses need every reward before the first update. With cross-entropy the forward pass that learns
        also scores (section 3.1): one pass for each rollout, and with several updates later rewards from later weights.
        """
        match self.config.order:
            case "none":
                found = await self._score([*fresh, *replayed], references)
                return found, found, {}
            case "before":
                ahead = await self._score(fresh if self._compares else (), references)
                unseen, metrics = await self._learn(step, fresh, references, ahead)
                return await self._score([*fresh, *replayed], references), unseen, metrics
            case "after":
                ahead = await self._score([*replayed, *(fresh if self._compares else ())], references)
                unseen, metrics = await self._learn(step, fresh, references, ahead)
                return {**unseen, **ahead}, unseen, metrics

    async def _learn(
        self, step: Step, examples: Sequence[LabelledGroup], references: References, ahead: LogRatios
    ) -> tuple[LogRatios, dict[str, float]]:
        """One optimizer step for each share of whole groups; log-ratios before it, and the means of metrics.

        Args:
            ahead: log-ratios before the first of the steps, where the loss compares rewards.
        """
        portions = in_parts(examples, min(self.config.learn.updates, len(examples)))
        rate = learning_rate(self.config.learn, step.place, step.of)
        found: LogRatios = {}
        told = []
        for portion in portions:
            ratios, metrics = await self._update(portion, references, ahead, rate)
            found |= ratios
            told.append(metrics)
        self.updates += len(portions)
        means = {name: float(np.mean([metrics[name] for metrics in told])) for name in (told or [{}])[0]}
        return found, {**means, "process/updates": self.updates, "process/lr": rate}

    async def _update(
        self, examples: Sequence[LabelledGroup], references: References, ahead: LogRatios, rate: float
    ) -> tuple[LogRatios, dict[str, float]]:
        rows = [row for each in examples for row in sequences_of(each, references.get(each.group.group.id))]
        rewards = [self._totals(ahead[each.group.group.id]) for each in examples] if self._compares else None
        wanted = targets(examples, self.config.loss, rewards)
        places, shares = shared_out(rows, wanted, len(self.group.ranks), self.pass_tokens)
        answered = await self.group.each("step", shares, len(rows), rate)
        ratios = in_order(places, [batches for batches, _ in answered])
        return _by_group(examples, ratios), answered[0][1]

    async def _score(self, examples: Sequence[LabelledGroup], references: References) -> LogRatios:
        rows = [row for each in examples for row in sequences_of(each, references.get(each.group.group.id))]
        return _by_group(examples, await self.group.rows("score", rows, self.pass_tokens))

    async def _references(self, groups: Sequence[ScoredGroup]) -> References:
        """The policy's log-probs before it learns from this step, where it is the reference."""
        if self.config.reference == "initial":
            return {}
        views = await self.learner.view([scored.judged.read for scored in groups], frozenset({"logprobs"}))
        return {scored.group.id: view.logprobs or () for scored, view in zip(groups, views, strict=True)}

    def _rewards(self, each: LabelledGroup, ratios: Sequence[Float32]) -> list[TokenRewards]:
        """Of every rollout of a group; those without an outcome have none, and are not learned from."""
        known = dict(zip(each.places, ratios, strict=True))
        rollouts = enumerate(each.group.group.rollouts)
        rows = [known.get(place, np.zeros(len(rollout.token_ids), np.float32)) for place, rollout in rollouts]
        return [token_rewards_of(row, self.config.beta, self.config.granularity) for row in rows]

    def _quality(self, examples: Sequence[LabelledGroup], ratios: LogRatios) -> dict[str, float]:
        rewards = [self._totals(ratios[each.group.group.id]) for each in examples]
        return quality([each.outcomes for each in examples], rewards, [each.lengths for each in examples])

    def _totals(self, ratios: Sequence[Float32]) -> Float64:
        """[K] rewards of rollouts as a whole."""
        return np.array([self.config.beta * row.sum(dtype=np.float64) for row in ratios])

    async def _pieces(self, groups: Sequence[ScoredGroup]) -> dict[str, list[list[str]]]:
        texts = [rollout.token_ids.tolist() for scored in groups for rollout in scored.group.rollouts]
        pieces = iter(await self.group.first("pieces", texts))
        return {scored.group.id: [next(pieces) for _ in scored.group.rollouts] for scored in groups}

    @property
    def _compares(self) -> bool:
        return self.config.loss != "ce"


def _by_group(examples: Sequence[LabelledGroup], rows: Sequence[Float32]) -> LogRatios:
    of = iter(rows)
    return {each.group.group.id: [next(of) for _ in each.places] for each in examples}
