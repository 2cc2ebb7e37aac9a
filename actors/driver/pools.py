"""What each stage of a run draws from: named parts of the data, or prompts that the model labels itself."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from actors.driver.asking import PolicyAsks
from effrl.config.schema import Config
from effrl.config.stages import PseudoPool
from effrl.errors import UserError
from effrl.label.easyrl.items import LabelledPool
from effrl.label.easyrl.looks import LookFile
from effrl.label.easyrl.pool_work import PoolWork
from effrl.label.easyrl.rounds import drawn, left, why_last
from effrl.label.easyrl.split import easy_ids
from effrl.label.easyrl.store import read_labelled, write_labelled
from effrl.questions import Label
from effrl.report.progress import Progress, duration
from effrl.run.files import read_state, whole, write_state
from effrl.stages import Stretch
from effrl.types import Prompt

EASY = "easy.json.gz"


@dataclass(frozen=True)
class StagePool:
    """The prompts of a stage."""

    ids: frozenset[str] | None
    """None: all there are."""
    size: int
    gold: frozenset[str] = frozenset()
    """Of a pool that the model labels: the prompts that keep their true label."""
    rounds: Sequence[LabelledPool] = ()
    """What this round and those before it made of such a pool."""
    ends: str | None = None
    """Why no other round follows; None where one may."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What was found, and what that cost."""

    @property
    def told(self) -> str:
        """For people."""
        if not self.rounds:
            return f"{self.size:,} prompts"
        tiers = ("consistent", "reflected", "deferred")
        found = ", ".join(f"{self.metrics[f'prepare/{tier}']:,.0f} {tier}" for tier in tiers)
        return f"{self.size:,} prompts ({len(self.gold):,} with true labels; of the others {found})"


ALL = StagePool(None, 0)
"""Of a run before its first stage."""


@dataclass
class StagePools:
    """Finds the pools of stages, and keeps what was found in the run's directory: a resume reads it there."""

    config: Config
    folder: Path
    prompts: Mapping[str, Prompt]
    """All of the run, by id."""
    labelled: frozenset[str]
    """Ids of those that have a true label: no other can be easy."""
    asks: PolicyAsks
    progress: Progress
    _began: dict[str, tuple[float, int]] = field(default_factory=dict)
    """When this round began to ask for something, and how many prompts an earlier attempt had done by then."""

    async def of(self, stretch: Stretch, policy: str | None, step: int) -> StagePool:
        """The pool of a stage that begins with a step.

        Args:
            policy: fingerprint of the policy that is asked where anybody must be; None where the stage has begun, and
                all is known.

        Raises:
            UserError: nothing is easy, nothing is left, or nothing is owned.
        """
        self.asks.step, pool = step, stretch.stage.pool
        if isinstance(pool, PseudoPool):
            return await self._labelled(stretch, pool, policy)
        if pool.kind == "owned":
            ids = await self._owned(stretch)  # it buys none of others, so that a resume finds the same
            return StagePool(ids, len(ids))
        if not pool.splits:
            return replace(ALL, size=len(self.prompts))
        easy, cost = await self._easy(stretch)
        ids = easy if pool.kind == "easy" else frozenset(self.prompts) - easy
        if not ids:
            raise UserError(f"stage {stretch.name}: no prompt is in pool {pool.kind}: change easy.share")
        return StagePool(ids, len(ids), metrics=cost)

    async def _owned(self, stretch: Stretch) -> frozenset[str]:
        """Ids of the prompts whose label was bought before this stage."""
        standings = await self.asks.owned([*self.prompts])
        ids = frozenset(name for name, found in zip(self.prompts, standings, strict=True) if isinstance(found, Label))
        if not ids:
            raise UserError(f"stage {stretch.name}: no label is owned yet: let a stage before it buy some")
        return ids

    async def _easy(self, stretch: Stretch) -> tuple[frozenset[str], Mapping[str, float]]:
        """Ids of the easy prompts, and what it cost to find them, if that was before this stage."""
        path = self.folder / EASY
        if not path.exists():
            values, cost = await self.asks.ease([*self.prompts.values()], self.config.split.by)
            split, seed = self.config.split, self.config.run.seed
            labelled = [prompt for name, prompt in self.prompts.items() if name in self.labelled]
            found = easy_ids(labelled, len(self.prompts), split, seed, values)
            with whole(path) as draft:
                write_state(draft, {"ids": sorted(found), "before": stretch.name, "cost": cost})
        state = read_state(path)
        return frozenset(state["ids"]), state["cost"] if state["before"] == stretch.name else {}

    async def _labelled(self, stretch: Stretch, pool: PseudoPool, policy: str | None) -> StagePool:
        """What this round selects, with the prompts that keep their true label."""
        gold, cost = await self._gold(stretch, pool, policy)
        others = [prompt for name, prompt in self.prompts.items() if name not in gold]
        before = [read_labelled(self._file(stretch, number)) for number in range(1, stretch.round)]
        path = self._file(stretch, stretch.round)
        if policy is not None and not _is_of(path, policy):
            write_labelled(path, await self._round(stretch, pool, policy, left(others, before), sorted(gold)))
        rounds = [*before, read_labelled(path)]
        now = rounds[-1]
        ids = drawn(gold, rounds, pool) if now.labels or pool.deferred == "buy" else frozenset[str]()
        return StagePool(ids, len(ids), gold, rounds, why_last(len(others), rounds, pool), {**cost, **now.metrics})

    async def _gold(
        self, stretch: Stretch, pool: PseudoPool, policy: str | None
    ) -> tuple[frozenset[str], Mapping[str, float]]:
        """Ids of the prompts that keep their true label, and what it cost to find them.

        Where those are the owned ones, the stage may buy others: its first round, which asks about all the rest, is
        what tells afterwards which they were.
        """
        if pool.gold == "easy":
            return await self._easy(stretch)
        first = self._file(stretch, 1)
        if stretch.round == 1 and policy is not None and not _is_of(first, policy):
            return await self._owned(stretch), {}
        asked = read_labelled(first)
        return frozenset(self.prompts) - asked.labels.keys() - asked.deferred.keys(), {}

    async def _round(
        self, stretch: Stretch, pool: PseudoPool, policy: str, asked: Sequence[Prompt], gold: Sequence[str]
    ) -> LabelledPool:
        """Ask the policy about each prompt, and decide."""
        anchor = [self.prompts[name] for name in gold[: pool.anchor]]
        work = PoolWork(
            asks=self.asks,
            config=pool,
            file=LookFile(self.folder / f"{stretch.name}.looks.jsonl", policy),
            stage=stretch.name,
            seed=self.config.run.seed,
            progress=self._tell,
        )
        self._began = {}
        found = await work(asked, anchor, self.asks.judge)
        return replace(found, metrics={**found.metrics, **await self.asks.precision(self.prompts, found)})

    def _file(self, stretch: Stretch, number: int) -> Path:
        return self.folder / f"{Stretch(stretch.stage, number).name}.labels.jsonl"

    def _tell(self, what: str, done: int, of: int) -> None:
        """Say how far it is, and how long the rest will take."""
        began, before = self._began.setdefault(what, (time.monotonic(), done))
        taken = time.monotonic() - began
        rest = f", {duration(taken / (done - before) * (of - done))} left" if before < done < of else ""
        self.progress.note(f"pool: {what} {done:,} of {of:,}{rest}")


def _is_of(path: Path, policy: str) -> bool:
    """Whether a round was labelled by this policy: a resume from an older checkpoint has another."""
    return path.exists() and read_labelled(path).policy == policy
