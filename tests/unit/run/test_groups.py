"""The group store: one fate per group, across commits, crashes and resumes."""

import json
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reads import unread

from effrl.batch import Settled
from effrl.run.groups import GroupStore, rolled_back_file, settled_file, tally
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
    assert (record["weight"], record["offset"], record["confidence"]) == (1.0, 0.0, None)
    assert [rollout["status"] for rollout in record["rollouts"]] == ["ok", "timeout"]
    assert record["rollouts"][1]["outcome"] is None


def test_what_was_sampled_ahead_and_given_up_is_counted(tmp_path: Path) -> None:
    store = GroupStore(tmp_path)
    roll(store, 1, "a")
    store.commit(1, [settled("a")])
    store.given_up(2, [settled(name).scored.group for name in ("b", "c")])
    assert tally(tmp_path) == (3, {Fate.TRAINED: 1, Fate.ROLLED_BACK: 2})
    assert json.loads(rolled_back_file(tmp_path, 2).read_text().splitlines()[0])["tokens"] == 4
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
    lost = [json.loads(rolled_back_file(tmp_path, step).read_text()) for step in (2, 3)]
    assert [entry["rollouts"][0]["text"] for entry in lost] == ["1+1=2;#2"] * 2, "what was paid for can still be read"


def test_a_resume_reads_no_rollouts_of_the_steps_that_stay(tmp_path: Path) -> None:
    """Their files have all that was ever sampled: gigabytes in a long run."""
    store = GroupStore(tmp_path)
    for step, name in ((1, "1/1/a"), (2, "1/2/b"), (3, "1/3/c")):
        roll(store, step, name)
        store.commit(step, [settled(name)])
    store.given_up(2, [settled("1/2/d").scored.group])
    for path in (settled_file(tmp_path, 1), settled_file(tmp_path, 2), rolled_back_file(tmp_path, 2)):
        path.write_text("whoever reads this fails\n")
    assert GroupStore(tmp_path).roll_back(after=2) == 1
    assert not settled_file(tmp_path, 3).exists() and settled_file(tmp_path, 2).exists()


@pytest.mark.parametrize("content", ["", "{", '{"id": "7/1/a"}\n', '{"id": "6/1/a"}\n{"id": "7/1/b"}\n{"id": "8/'])
def test_the_last_attempt_is_that_of_the_last_whole_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "rolled.jsonl").write_text(content)
    assert GroupStore(tmp_path).last_attempt() == (7 if "\n" in content else 0)


@settings(max_examples=40)  # each waits for a disk
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), st.booleans()), min_size=1, max_size=5), st.randoms())
def test_no_group_is_lost_or_counted_twice_whatever_is_resumed(
    attempts: list[tuple[int, int, bool]], random: Random
) -> None:
    """Against a naive second implementation: a set of the groups that have no fate yet, and a list of commits.

    Each attempt goes on from a checkpoint some steps back, which may be older than the one before it went on from, and
    is killed in the middle of a step or not.
    """
    with TemporaryDirectory() as folder:
        directory, committed, rolled, taken_back = Path(folder), dict[int, set[str]](), 0, 0
        for number, (back, steps, killed) in enumerate(attempts, start=1):
            start = max(0, max(committed, default=0) - back)
            store = GroupStore(directory)
            lost = store.roll_back(start)
            committed = {step: names for step, names in committed.items() if step <= start}
            kept = sum(map(len, committed.values()))
            assert taken_back + lost == rolled - kept
            taken_back += lost
            for step in range(start + 1, start + steps + 1):
                names = [f"{number}/{step}/{index}" for index in range(random.randint(0, 2))]
                roll(store, step, *names)
                rolled += len(names)
                if step < start + steps or not killed:
                    store.commit(step, [settled(name) for name in names])
                    committed[step] = set(names)
        GroupStore(directory).roll_back(max(committed, default=0))
        count, fates = tally(directory)
        assert count == rolled == sum(fates.values())
        assert fates[Fate.TRAINED] == sum(map(len, committed.values()))


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
