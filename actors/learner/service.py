"""The learner as the loop sees it: batches in, policy versions out; and what the present policy makes of texts."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from actors.learner.actor import RowView
from actors.learner.group import LearnerGroup
from actors.learner.objective import Rules, rules_of
from actors.learner.old import OldLogprobs
from effrl.batch import Batch
from effrl.config.schema import Config
from effrl.errors import RunError
from effrl.learn.canary import choose
from effrl.learn.packing import cut, size_of, unweighted
from effrl.learn.schedule import learning_rate
from effrl.run.metrics import Stopwatch
from effrl.saved import Saved
from effrl.sequences import Portion, TrainingSequence
from effrl.types import Canary, Continuation, Float32, Group, ReadGroup, Step, Update, View, Want


@dataclass
class LearnerService:
    """Takes optimizer steps; knows the policy version, which goes up by one per batch, however many updates it has."""

    group: LearnerGroup
    config: Config
    version: int
    clock: Stopwatch
    context: int
    """Longest sequence that an engine takes, in tokens."""
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while one version works: what looks ahead runs beside the loop, and must not see half of an update."""
    _old: OldLogprobs = field(default_factory=OldLogprobs)
    name = "learner"

    async def save(self, into: Path) -> Saved:
        """Have every rank write what it has of the policy, its optimizer and its random states.

        Raises:
            RunError: a rank says that it wrote nothing.
        """
        return Saved(await self.group.save(into), {"version": self.version, "ranks": len(self.group.ranks)})

    async def load(self, path: Path, state: Mapping[str, Any]) -> None:
        await self.group.all("restore", path)
        self.version = state["version"]

    async def view(self, groups: Sequence[ReadGroup], wants: frozenset[Want]) -> list[View]:
        if not wants:
            return [View() for _ in groups]
        texts = [text for read in groups for text in _texts(read.group)]
        known = self._old.of(self.version, texts) if wants <= {"logprobs"} else None
        rows = await self._looked_at(texts, wants) if known is None else [(logprobs, None) for logprobs in known]
        of = iter(rows)
        return [_view([next(of) for _ in read.group.rollouts], wants) for read in groups]

    async def _looked_at(self, texts: Sequence[Continuation], wants: frozenset[Want]) -> list[RowView]:
        """One forward pass; its log-probs are remembered until the policy moves."""
        with self.clock.stage("view"):
            async with self._turn:
                rows = await self._rows(texts, self.config.rollout.temperature, not wants <= {"logprobs"})
                self._old.note(self.version, texts, [logprobs for logprobs, _ in rows])
        return rows

    async def logprobs(self, texts: Sequence[Continuation]) -> tuple[int, list[Float32]]:
        async with self._turn:
            return self.version, [logprobs for logprobs, _ in await self._rows(texts, temperature=1.0, states=False)]

    async def step(self, step: Step, batch: Batch) -> Update:
        portions = batch.updates(self.config.learn.updates)
        updates = [self._passing(portion) for portion in portions]
        staleness = self.version - min(rollout.version_min for rollout in batch.rollouts())
        if not 0 <= staleness <= self.config.rollout.max_staleness:
            raise RunError(
                f"step {step.number} was sampled {staleness} versions ago,"
                f" and rollout.max_staleness is {self.config.rollout.max_staleness}"
            )
        if not any(updates):
            return Update(step.number, self.version, False, {"policy/staleness_max": staleness})
        async with self._turn:
            with self.clock.stage("learn"):
                canary = choose(updates[0], self.context)
                metrics, before = await self._learn_and_watch(step, portions, canary)
            self.version += 1
        metrics = {**metrics, "policy/staleness_max": staleness}
        return Update(step.number, self.version, True, metrics, canary, before)

    def _passing(self, portion: Portion) -> list[TrainingSequence]:
        """What goes through the model; what is silent does so for the KL term alone."""
        return [*portion.learned, *(portion.silent if self.config.loss.scores_silent else ())]

    async def _learn_and_watch(
        self, step: Step, portions: Sequence[Portion], canary: Canary
    ) -> tuple[dict[str, float], Float32]:
        """Metrics, and the canary's log-probs before the step: of its own forward pass, if that scores them.

        It does not, where the canary is of windows, or of samples at another temperature than an engine scores at.
        """
        if not canary.whole or self.config.rollout.temperature != 1.0:
            before = await self.group.first("logprobs", canary)
            return await self._learn(step, portions, None), before
        metrics = await self._learn(step, portions, canary)
        seen = {place: found for rank in await self.group.all("watched") for place, found in rank.items()}
        return metrics, np.concatenate([seen[place] for place in range(len(canary.ids))])

    async def _learn(self, step: Step, portions: Sequence[Portion], canary: Canary | None) -> dict[str, float]:
        ranks = len(self.group.ranks)
        first, *later = [self._passing(portion) for portion in portions]
        passing = [first, *self._old.given(self.version, later)]
        cuts = [cut(sequences, ranks, self.config.pass_tokens) for sequences in passing]
        shares = list(zip(*cuts, strict=True))  # per rank: its micro-batches of each update
        sizes = [size_of(portion, self.config.loss, self.config.rollout.max_tokens) for portion in portions]
        rules = self._rules(step)
        metrics = await self.group.scatter("step", shares, sizes, rules, canary)
        tokens = sum(size.tokens for size in sizes)
        return {**metrics, "learn/tokens": tokens, "learn/updates": len(portions), "learn/lr": rules.learning_rate}

    def _rules(self, step: Step) -> Rules:
        rate = learning_rate(self.config.learn, step.place, step.of)
        return rules_of(self.config, rate)

    async def _rows(self, texts: Sequence[Continuation], temperature: float, states: bool) -> list[RowView]:
        """What the ranks make of each text, in order."""
        rows = [unweighted(text.ids, text.start) for text in texts]
        return await self.group.rows("view", rows, self.config.pass_tokens, temperature, states)


def _texts(group: Group) -> Iterator[Continuation]:
    for rollout in group.rollouts:
        yield Continuation(np.concatenate([group.prompt_ids, rollout.token_ids]), len(group.prompt_ids))


def _view(rows: Sequence[RowView], wants: frozenset[Want]) -> View:
    """Of one group, from its rollouts; the prompt's state is the same in all of them."""
    states = [states for _, states in rows if states is not None]
    return View(
        logprobs=tuple(logprobs for logprobs, _ in rows) if "logprobs" in wants else None,
        prompt=states[0][0] if "prompt" in wants else None,
        last=np.stack([state[1] for state in states]) if "last" in wants else None,
    )
