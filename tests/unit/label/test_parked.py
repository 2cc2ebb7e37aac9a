"""Groups that wait for their label: what is on disk, what comes back, and what a resume finds."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from reads import answered, step_of

from effrl.label.parked import ParkedGroups
from effrl.label.verdicts import question_of, settled_by
from effrl.run.archive import read_groups
from effrl.types import Decision, Judged, ReadGroup
from tests.plugins.oracles import Inbox

GROUPS = [answered("a", "1", "1", "2"), answered("b", "3", None, "3"), answered("c", "5", "6")]


class Run:
    """A run's oracle and its parked groups; both may be opened again."""

    def __init__(self, folder: Path, wait_s: float = 0.0) -> None:
        self.oracle = Inbox(folder / "ledger.sqlite", None)
        self.folder, self.wait_s = folder, wait_s
        self.parked = self.start()

    def start(self) -> ParkedGroups:
        return ParkedGroups(self.oracle, self.folder / "parked", self.wait_s)

    async def step(self, number: int, groups: Sequence[ReadGroup]) -> list[Judged]:
        """Ask for every label, and keep what must wait."""
        replies = await self.oracle.buy(step_of(number), [question_of(read) for read in groups])
        judged = [settled_by(reply, read, "bought") for reply, read in zip(replies, groups, strict=True)]
        return await self.parked.keep(step_of(number), judged)

    async def come(self, number: int = 9) -> list[tuple[str, str | None]]:
        """Prompts that come back at a step, and their labels."""
        return [(j.group.prompt.id, label_of(j)) for j in await self.parked.answered(step_of(number))]


def label_of(judged: Judged) -> str | None:
    return judged.supervision.answer if judged.supervision else None


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


async def test_a_parked_group_is_on_disk_whole_before_anything_else_happens_to_it(run: Run) -> None:
    judged = await run.step(1, GROUPS)
    assert [entry.decision for entry in judged] == [Decision.PARK] * 3
    kept = {one.group.prompt.id: one.judged for path in run.parked.directory.iterdir() for one in read_groups(path)}
    assert kept.keys() == {"a", "b", "c"}
    for read in GROUPS:
        found = kept[read.group.prompt.id].read
        assert (found.answers, found.clusters) == (read.answers, read.clusters)
        for before, after in zip(read.group.rollouts, found.group.rollouts, strict=True):
            assert np.array_equal(before.token_ids, after.token_ids) and before.logprobs.dtype == after.logprobs.dtype


async def test_groups_come_back_in_the_order_of_their_answers_and_once(run: Run) -> None:
    await run.step(1, GROUPS)
    assert await run.come() == []
    run.oracle.answer("train/1/c", "5")
    run.oracle.answer("train/1/a", "1")
    assert await run.come() == [("c", "5"), ("a", "1")]
    assert await run.come() == []
    run.oracle.answer("train/1/b", "3")
    assert await run.come() == [("b", "3")]


async def test_a_group_whose_question_nobody_can_answer_is_dropped(run: Run) -> None:
    await run.step(1, GROUPS[:1])
    run.oracle.answer("train/1/a", None)
    [judged] = await run.parked.answered(step_of(2))
    assert judged.decision is Decision.DROP and judged.reason.startswith("no label: ")


async def test_a_prompt_that_is_drawn_again_waits_for_the_same_answer(run: Run) -> None:
    await run.step(1, GROUPS[:1])
    await run.step(4, GROUPS[:1])
    assert len(await run.oracle.open()) == 1
    run.oracle.answer("train/1/a", "1")
    assert await run.come() == [("a", "1")] * 2


async def test_a_resume_is_told_again_what_came_since_its_checkpoint(run: Run, tmp_path: Path) -> None:
    await run.step(1, GROUPS[:2])
    run.oracle.answer("train/1/a", "1")
    assert await run.come(2) == [("a", "1")]
    saved = tmp_path / "saved"
    saved.mkdir()
    await run.parked.save(saved)
    await run.step(3, GROUPS[2:])
    run.oracle.answer("train/1/b", "3")
    run.oracle.answer("train/3/c", "5")
    assert await run.come(4) == [("b", "3"), ("c", "5")]
    run.parked = run.start()
    await run.parked.load(saved, {})
    assert await run.come(3) == [("b", "3")], "nobody waits for c: its group was taken back"
    assert (await run.oracle.owned(step_of(4), ["c"]))[0] is not None, "and its label is owned"


async def test_a_step_may_wait_for_its_labels(tmp_path: Path) -> None:
    run = Run(tmp_path, wait_s=30.0)
    await run.parked.keep(step_of(1), [])

    async def people() -> None:
        await asyncio.sleep(0.05)
        for name in "abc":
            run.oracle.answer(f"train/2/{name}", "5")

    judged, _ = await asyncio.gather(run.step(2, GROUPS), people())
    assert [label_of(entry) for entry in judged] == ["5"] * 3
    assert await run.come(3) == [], "they went on with their own step"


async def test_a_wish_to_stop_ends_the_wait(tmp_path: Path) -> None:
    run = Run(tmp_path, wait_s=600.0)
    run.parked.stopping = lambda: True
    assert [entry.decision for entry in await run.step(1, GROUPS)] == [Decision.PARK] * 3


async def test_what_does_not_come_in_time_is_parked_and_what_comes_for_others_is_not_lost(tmp_path: Path) -> None:
    run = Run(tmp_path, wait_s=0.2)
    await run.step(1, GROUPS[:2])
    run.oracle.answer("train/1/b", "3")
    judged = await run.step(2, [*GROUPS[:1], *GROUPS[2:]])
    assert [entry.decision for entry in judged] == [Decision.PARK] * 2
    assert await run.come(3) == [("b", "3")]
    run.oracle.answer("train/1/a", "1")
    assert await run.come(4) == [("a", "1")] * 2


async def test_at_the_end_open_questions_are_taken_back_and_cost_nothing(run: Run, tmp_path: Path) -> None:
    await run.step(1, GROUPS)
    run.oracle.answer("train/1/b", "3")
    await run.come()
    await run.parked.close()
    assert await run.oracle.open() == [] and run.oracle.ledger.spent() == 1
    assert len(list(run.parked.directory.iterdir())) == 2, "b has its label"
    assert await run.come() == [("a", None), ("c", None)], "a run that is made longer drops them"
