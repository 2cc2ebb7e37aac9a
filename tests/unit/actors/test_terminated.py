"""SIGTERM: the step in flight is given up where it can be, the last commit is saved, and a resume repeats the step."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from reads import step_of

from actors import role
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.label.parked import ParkedGroups
from effrl.questions import Answer
from effrl.run import metrics
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory
from effrl.run.groups import tally
from effrl.run.resume import StartPoint, resume_point
from tests.unit.actors.driven import Notice, attempt, comparable
from tests.unit.actors.test_labels_resumed import LABELLERS, config, groups, label_of, learned, write_data

NOTICES = {Notice(1): 0, Notice(3): 2, Notice(4, labelled=True): 4, Notice(6): 5, Notice(7): 6}
"""When SIGTERM comes, and the step that the newest checkpoint is of then; 0 for none."""


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output


async def stopped_and_resumed(run: RunDirectory, settings: Config, base: Path) -> str:
    """Attempts that are told to end, each of which leaves the checkpoint that it should; then one that is not."""
    start = StartPoint(base)
    for notice, saved in NOTICES.items():
        await attempt(settings, run, start, notice=notice)
        assert [0, *Checkpoints(run.checkpoints, 9).steps()][-1] == saved
        start = resume_point(run, settings, base)
        assert start.step == saved
    return await attempt(settings, run, start)


@pytest.mark.parametrize(
    ("label", "select"),
    [("gold", "uniform"), ("care", "tests.plugins.selectors:AskingEachStep"), ("plug-in", "uniform")],
)
async def test_the_last_commit_is_saved_as_it_was(label: str, select: str, tmp_path: Path) -> None:
    """With prompts in an order, or asked about before each step; with replay; no checkpoint but those of SIGTERM."""
    usual = config(write_data(tmp_path / "rows.jsonl", label_of), LABELLERS[label], save_every=100)
    settings = Config.model_validate({**usual.model_dump(mode="json"), "select": {"kind": select}})
    whole, cut = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "cut")
    weights = await attempt(settings, whole, StartPoint(tmp_path))
    assert await stopped_and_resumed(cut, settings, tmp_path) == weights
    assert comparable(metrics.read(cut.metrics)) == comparable(metrics.read(whole.metrics))
    assert groups(cut) == groups(whole)
    assert len(learned(cut)) == len(learned(whole))
    rolled, fates = tally(cut.groups)
    assert rolled == sum(fates.values())


class Told:
    """An oracle that tells what it is given, from a cursor on."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []

    async def answered(self, after: int) -> tuple[int, Sequence[Answer]]:
        return len(self.answers), self.answers[after:]


async def test_who_waited_before_the_step_waits_again(tmp_path: Path) -> None:
    oracle = Told()
    parked = ParkedGroups(oracle, tmp_path, 0.0)  # type: ignore[arg-type]
    parked._waiting = {"q1": ["a"], "q2": ["b"]}
    await parked.answered(step_of(1))
    parked._waiting["q3"] = ["c"]  # the step parks a group, and ends
    oracle.answers = [Answer("q2", "p", None, reason="nobody knows")]
    with pytest.raises(UserError, match="missing"):  # the group is in no file here
        await parked.answered(step_of(2))
    assert "q2" not in parked._waiting
    parked.take_back()
    assert (parked._cursor, parked._waiting) == (0, {"q1": ["a"], "q2": ["b"], "q3": ["c"]})
