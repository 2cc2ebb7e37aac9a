"""The group store: one fate per group, across commits, crashes and resumes."""

import json
from pathlib import Path

import numpy as np
import pytest
from reads import unread

from effrl.batch import Settled
from effrl.run.groups import GroupStore, tally
from effrl.types import Decision, Fate, Group, Judged, Prompt, Rollout, Score, ScoredGroup, Status, Supervision


def settled(name: str, fate: Fate = Fate.TRAINED) -> Settled:
    rollout = Rollout(np.array([1, 2], np.int32), np.zeros(2, np.float32), "1+1=2;#2", "stop", 3, 3)
    group = Group(name, Prompt("p", "1+1="), np.array([5], np.int32), (rollout, rollout))
    judged = Judged(unread(group), Decision.USE, Supervision("gold", "2"))
    scores = (Score(1.0, 1.0, Status.OK, "2"), Score(None, None, Status.TIMEOUT))
    return Settled(ScoredGroup(judged, scores), fate)


def roll(store: GroupStore, step: int, *names: str) -> None:
    store.rolled(step, [settled(name).scored.group for name in names])


def test_a_committed_step_adds_up(tmp_path: Path) -> None:
    store = GroupStore(tmp_path)
    roll(store, 1, "a", "b", "c")
    store.commit(1, [settled("a"), settled("b", Fate.FILTERED), settled("c", Fate.FAILED)])
    assert tally(tmp_path) == (3, {Fate.TRAINED: 1, Fate.FILTERED: 1, Fate.FAILED: 1})
    record = json.loads((tmp_path / "step_000001.jsonl").read_text().splitlines()[0])
    assert record["prompt"] == "1+1=" and record["label_source"] == "gold"
    assert [rollout["status"] for rollout in record["rollouts"]] == ["ok", "timeout"]
    assert record["rollouts"][1]["outcome"] is None


def test_what_was_sampled_ahead_and_given_up_is_counted(tmp_path: Path) -> None:
    store = GroupStore(tmp_path)
    roll(store, 1, "a")
    store.commit(1, [settled("a")])
    store.given_up(2, [settled(name).scored.group for name in ("b", "c")])
    assert tally(tmp_path) == (3, {Fate.TRAINED: 1, Fate.ROLLED_BACK: 2})
    assert json.loads((tmp_path / "rolled_back.jsonl").read_text().splitlines()[0])["tokens"] == 4
    assert GroupStore(tmp_path).roll_back(1) == 0, "a resume does not take them back again"


def test_a_parked_group_has_one_fate_at_a_time(tmp_path: Path) -> None:
    store = GroupStore(tmp_path)
    roll(store, 1, "a", "b")
    store.commit(1, [settled("a"), settled("b", Fate.PARKED)])
    assert tally(tmp_path) == (2, {Fate.TRAINED: 1, Fate.PARKED: 1})
    store.commit(2, [settled("b", Fate.STALE)])
    assert tally(tmp_path) == (2, {Fate.TRAINED: 1, Fate.STALE: 1})
    assert store.roll_back(1) == 0 and tally(tmp_path) == (2, {Fate.TRAINED: 1, Fate.PARKED: 1})


def test_a_killed_step_is_rolled_back(tmp_path: Path) -> None:
    store = GroupStore(tmp_path)
    roll(store, 1, "a")
    store.commit(1, [settled("a")])
    roll(store, 2, "b", "c")
    assert GroupStore(tmp_path).roll_back(after=1) == 2
    assert tally(tmp_path) == (3, {Fate.TRAINED: 1, Fate.ROLLED_BACK: 2})


def test_committed_steps_after_the_checkpoint_are_rolled_back_whole(tmp_path: Path) -> None:
    store = GroupStore(tmp_path)
    for step, name in enumerate("abc", start=1):
        roll(store, step, name)
        store.commit(step, [settled(name)])
    assert store.roll_back(after=1) == 2
    assert store.roll_back(after=1) == 0, "a second resume takes nothing back twice"
    assert tally(tmp_path) == (3, {Fate.TRAINED: 1, Fate.ROLLED_BACK: 2})
    lost = [json.loads(line) for line in (tmp_path / "rolled_back.jsonl").read_text().splitlines()]
    assert [entry["rollouts"][0]["text"] for entry in lost] == ["1+1=2;#2"] * 2, "what was paid for can still be read"


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_torn_line_is_a_group_that_never_was(tmp_path: Path, cut: int) -> None:
    """The write that was cut off by a crash had not returned, so nothing was done with these groups."""
    store = GroupStore(tmp_path)
    roll(store, 1, "a")
    path = tmp_path / "rolled.jsonl"
    path.write_bytes(path.read_bytes() + b'{"id": "b", "step": 1, "prompt_id": "p"}\n'[: min(cut, 39)])
    store = GroupStore(tmp_path)
    store.roll_back(after=0)
    roll(store, 1, "c")
    store.commit(1, [settled("c")])
    assert tally(tmp_path) == (2, {Fate.TRAINED: 1, Fate.ROLLED_BACK: 1})
