"""What each stage of a run draws from: named parts of the data, or prompts that the model labels itself."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from actors.driver.asking import PolicyAsks
from effrl.config.schema import Config
from effrl.config.stages import PseudoPool
from effrl.errors import UserError
from effrl.label.easyrl.items import LabelledPool
from effrl.label.easyrl.looks import LookFile
from effrl.label.easyrl.pool_work import PoolWork
from effrl.label.easyrl.reflection import Reflector
from effrl.label.easyrl.rounds import drawn, labels_of, left, why_last
from effrl.label.easyrl.split import easy_ids
from effrl.label.easyrl.store import read_labelled, write_labelled
from effrl.report.progress import Progress, duration
from effrl.run.files import read_state, write_state
from effrl.stages import Stretch
from effrl.types import Prompt

EASY = "easy.json.gz"


@dataclass(frozen=True)
class StagePool:
    """The prompts of a stage."""

    ids: frozenset[str] | None
    """None: all there are."""
    size: int
    easy: frozenset[str] = frozenset()
    """Of a pool that the model labels: the prompts that keep their true label."""
    rounds: Sequence[LabelledPool] = ()
    """What this round and those before it made of such a pool."""
    ends: str | None = None
    """Why no other round follows; None where one may."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """What finding it out cost."""


@dataclass
class StagePools:
    """Finds the pools of stages, and keeps what was found in the run's directory: a resume reads it there."""

    config: Config
    folder: Path
    prompts: Sequence[Prompt]
    asks: PolicyAsks
    progress: Progress
    _began: float = 0.0

    async def of(self, stretch: Stretch, policy: str) -> StagePool:
        """The pool of a stage, whose ``policy`` is asked where anybody must be.

        Raises:
            UserError: nothing is easy, or nothing is left.
        """
        pool = stretch.stage.pool
        if isinstance(pool, PseudoPool):
            return await self._labelled(stretch, pool, policy)
        if pool.kind == "all":
            return StagePool(None, len(self.prompts))
        easy = await self._easy()
        ids = easy if pool.kind == "easy" else frozenset(prompt.id for prompt in self.prompts) - easy
        if not ids:
            raise UserError(f"stage {stretch.name}: no prompt is in pool {pool.kind}: change easy.share")
        return StagePool(ids, len(ids), metrics=self.asks.spent())

    async def _easy(self) -> frozenset[str]:
        """Ids of the easy prompts; the base model is asked once."""
        path = self.folder / EASY
        if not path.exists():
            values = await self.asks.ease(self.prompts, self.config.easy.by)
            found = easy_ids(self.prompts, self.config.easy, self.config.run.seed, values)
            self.folder.mkdir(parents=True, exist_ok=True)
            write_state(path, {"ids": sorted(found)})
        return frozenset(read_state(path)["ids"])

    async def _labelled(self, stretch: Stretch, pool: PseudoPool, policy: str) -> StagePool:
        """What this round selects, with the easy prompts."""
        easy = await self._easy()
        hard = [prompt for prompt in self.prompts if prompt.id not in easy]
        before = [read_labelled(self._file(stretch, number)) for number in range(1, stretch.round)]
        path = self._file(stretch, stretch.round)
        if not path.exists():
            write_labelled(path, await self._round(stretch, pool, policy, left(hard, before), easy))
        rounds = [*before, read_labelled(path)]
        now = rounds[-1]
        ids = drawn(easy, rounds, pool) if now.labels or pool.deferred == "buy" else frozenset[str]()
        return StagePool(ids, len(ids), easy, rounds, why_last(len(hard), rounds, pool), now.metrics)

    async def _round(
        self, stretch: Stretch, pool: PseudoPool, policy: str, asked: Sequence[Prompt], easy: frozenset[str]
    ) -> LabelledPool:
        """Ask the policy about each prompt, and decide."""
        anchor = [prompt for prompt in self.prompts if prompt.id in easy][: pool.anchor]
        work = PoolWork(
            asks=self.asks,
            config=pool,
            reflector=None if pool.reflection is None else Reflector.of(pool.reflection),
            looks=LookFile(self.folder / f"{stretch.name}.looks.jsonl", policy),
            stage=stretch.name,
            seed=self.config.run.seed,
            progress=self._tell,
        )
        self._began = time.monotonic()
        return await work(asked, anchor, self.asks.judge)

    def _file(self, stretch: Stretch, number: int) -> Path:
        return self.folder / f"{Stretch(stretch.stage, number).name}.labels.jsonl"

    def _tell(self, what: str, done: int, of: int) -> None:
        """Say how far it is, and how long the rest will take."""
        taken = time.monotonic() - self._began
        rest = f", {duration(taken / done * (of - done))} left" if 0 < done < of else ""
        self.progress.note(f"pool: {what} {done:,} of {of:,}{rest}")
