"""The service of the implicit PRM over ranks that are a table of numbers: what it learns from, and what it says."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reads import step_of

from actors.prm.service import PrmService
from actors.ranks.group import RankGroup
from effrl.advantage.build import advantages
from effrl.batch import Batch, Settled, Stored
from effrl.config.advantage import RlooAdvantage
from effrl.config.process import ImplicitPrm
from effrl.config.rollout import PassBand
from effrl.learn.packing import MicroBatch
from effrl.process.examples import PrmBatch
from effrl.protocols import ProcessRewards
from effrl.run.files import written
from effrl.run.metrics import Stopwatch
from effrl.types import Decision, Fate, Float64, Judged, ScoredGroup
from tests.contracts.process_rewards import ProcessRewardsContract, group

TOKENS = 64


class Table(RankGroup):
    """Two ranks that share a table: the log-ratio of each token, which learns by plain gradient steps."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(("prm-0", "prm-1")), wait_s=5.0)
        self.ratios = np.zeros(TOKENS)
        self.learned: list[bytes] = []
        """Ids of every row that was learned from."""
        self.calls: list[str] = []

    async def each(self, method: str, shares: Sequence[Any], *arguments: Any) -> list[Any]:
        self.calls.append(method)
        if method == "score":
            return [[self._rows(batch) for batch in share] for share in shares]
        seen = [[self._rows(work.batch) for work in share] for share in shares]
        before = self.ratios.copy()
        for work in (work for share in shares for work in share):
            self._learn(work, before, *arguments)
        return [(rows, {"process/loss": 0.5}) for rows in seen]

    async def all(self, method: str, path: Path) -> list[Any]:
        files = [path / "prm" / f"table_{rank}.npy" for rank in range(2)]
        if method == "restore":
            self.ratios = np.load(files[0])
            return [None, None]
        files[0].parent.mkdir()
        for file in files:
            np.save(file, self.ratios)
        return [written(path, [file]) for file in files]

    async def first(self, method: str, texts: Sequence[Sequence[int]]) -> list[list[str]]:
        return [[f"<{token}>" for token in text] for text in texts]

    def _rows(self, batch: MicroBatch) -> list[Any]:
        found = zip(batch.ids, batch.mask, strict=True)
        return [self.ratios[ids[mask > 0]].astype(np.float32) for ids, mask in found]

    def _learn(self, work: PrmBatch, before: Float64, rows: int, rate: float) -> None:
        for place, (ids, mask) in enumerate(zip(work.batch.ids, work.batch.mask, strict=True)):
            if sampled := list(ids[mask > 0]):
                self.learned.append(ids[work.batch.attention[place] > 0].tobytes())
                slope = work.target[place] - 1 / (1 + np.exp(-before[sampled].sum()))
                np.add.at(self.ratios, sampled, 100 * rate * work.weight[place] * slope / rows)


def service(table: Table | None = None, **fields: Any) -> PrmService:
    config = ImplicitPrm.model_validate({"learn": {"lr": 1e-3}, **fields})
    learner: Any = None  # the initial policy is the reference
    return PrmService(table or Table(), config, 64, learner, Stopwatch())


class TestImplicitPrm(ProcessRewardsContract):
    def make(self) -> ProcessRewards:
        return service()


def every_fate() -> Batch:
    """One group of each fate that there is, each with tokens of its own."""
    made = Batch(1, 8, 0.0, advantages(RlooAdvantage()), max_age=0, band=PassBand())
    outcomes = {"trained": [1, 0], "filtered": [1, 1], "unbalanced": [1] * 9 + [0], "failed": [1, 0]}
    scored = {name: group(name, values) for name, values in outcomes.items()}
    scored["failed"] = ScoredGroup(scored["failed"].judged, ())
    made.settled = [Settled(scored[name], Fate(name)) for name in scored]
    for name, fate in (("dropped", Fate.DROPPED), ("parked", Fate.PARKED), ("stale", Fate.STALE)):
        judged = group(name, [1, 0]).judged
        undecided = Judged(judged.read, Decision.DROP)
        made.joined.append(Settled(ScoredGroup(undecided, ()), fate))
    made.joined.append(Settled(group("joined", [1, 0, 0]), Fate.TRAINED))
    made.replayed = [Stored(group("replayed", [0, 1, 1, 0]), 0)]
    return made


def lengths(table: Table) -> list[int]:
    """Sampled tokens of the rows that were learned from, in order; the contract's rollouts have 1, 2, 3, …"""
    return sorted(len(np.frombuffer(ids, np.int32)) - 1 for ids in table.learned)


@pytest.mark.parametrize("loss", ["ce", "dpo"])
@pytest.mark.parametrize("order", ["after", "before", "none"])
async def test_it_learns_from_groups_that_are_trained_on_for_the_first_time(order: Any, loss: Any) -> None:
    table, made = Table(), every_fate()
    found = await service(table, order=order, loss=loss, path="prm").reward(step_of(1), made)
    assert found.groups.keys() == {"trained", "joined", "replayed"}
    assert lengths(table) == ([] if order == "none" else [1, 1, 2, 2, 3])
    passes = {
        ("after", "ce"): ["score", "step"],  # what is replayed
        ("before", "ce"): ["step", "score"],
        ("after", "dpo"): ["score", "step"],  # all of it
        ("before", "dpo"): ["score", "step", "score"],
    }
    assert table.calls == passes.get((order, loss), ["score"])


async def test_people_see_the_first_groups() -> None:
    made = Batch(1, 9, 0.0, advantages(RlooAdvantage()))
    made.add([group(f"g{n}", [1, 0]) for n in range(9)])
    found = await service().reward(step_of(1), made)
    assert list(found.pieces) == ["g0", "g1", "g2", "g3"]
    assert found.pieces["g0"] == [["<1>"], ["<1>", "<2>"]], "one piece for each token"


async def test_a_step_without_signal_asks_nobody() -> None:
    table, made = Table(), Batch(1, 1, 0.0, advantages(RlooAdvantage()))
    made.add([group("a", [1, 1])])
    found = await service(table).reward(step_of(1), made)
    assert not found.groups and not found.metrics and table.calls == []


async def test_a_weight_scales_what_a_group_teaches() -> None:
    found = []
    for weight in (1.0, 0.5):
        table, made = Table(), Batch(1, 1, 0.0, advantages(RlooAdvantage()))
        scored = group("a", [1, 0])
        object.__setattr__(scored.judged.supervision, "weight", weight)
        made.add([scored])
        await service(table).reward(step_of(1), made)
        found.append(table.ratios)
    assert found[0] == pytest.approx(2 * found[1], rel=1e-3) and found[0].any()


async def test_updates_are_of_whole_groups() -> None:
    table, made = Table(), Batch(1, 5, 0.0, advantages(RlooAdvantage()))
    made.add([group(f"g{n}", [1, 0]) for n in range(5)])
    prm = service(table, learn={"updates": 2, "lr": 1e-3, "warmup": 4})
    found = await prm.reward(step_of(1), made)
    assert table.calls == ["step", "step"] and prm.updates == 2
    assert found.metrics["process/lr"] == pytest.approx(0.2e-3), "a schedule of its own"


def test_a_rank_that_writes_nothing_is_named(tmp_path: Path) -> None:
    class Silent(Table):
        async def all(self, method: str, path: Path) -> list[Any]:
            return [*(await super().all(method, path))[:1], {}]

    with pytest.raises(Exception, match="prm-1 wrote nothing"):
        asyncio.run(service(Silent()).save(tmp_path))
