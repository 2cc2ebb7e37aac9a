"""The replay store: who stays, who is drawn, against the released code's bookkeeping; and a round trip."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.batch import Settled, fate_of
from effrl.config.replay import fresh_at, fresh_of
from effrl.errors import UserError
from effrl.replay.store import ReplayStore
from effrl.reward.reading import LOST
from effrl.run.archive import read_groups, write_groups
from effrl.types import (
    Decision,
    Fate,
    Group,
    Judged,
    Prompt,
    ReadGroup,
    Rollout,
    Score,
    ScoredGroup,
    Status,
    Supervision,
)


def group(name: str, outcomes: tuple[float | None, ...] = (1.0, 0.0), step: int = 0) -> ScoredGroup:
    """A group of prompt ``name`` with tokens and log-probs of its own."""
    numbers = np.random.default_rng([*name.encode(), step])
    rollouts = tuple(
        Rollout(
            np.arange(n + 1, dtype=np.int32), numbers.normal(size=n + 1).astype(np.float32), f"#{n}", "stop", step, step
        )
        for n in range(len(outcomes))
    )
    answers = tuple(str(outcome) if outcome is not None else None for outcome in outcomes)
    read = ReadGroup(
        Group(f"{step}/{name}", Prompt(name, "1+1=", {"level": 2}), np.array([7, 8], np.int32), rollouts),
        answers,
        tuple(None if answer is None else 0 for answer in answers),
    )
    scores = tuple(
        Score(None, None, Status.TIMEOUT, detail="slow")
        if outcome is None
        else Score(outcome, outcome - 0.1, Status.OK, "2")
        for outcome in outcomes
    )
    return ScoredGroup(Judged(read, Decision.USE, Supervision("vote", "2", 0, 0.5)), scores)


def settled(names: str, step: int) -> list[Settled]:
    """One group per letter; a capital letter's rollouts are all right, so it has no signal."""
    made = [group(name.lower(), (1.0, 1.0) if name.isupper() else (1.0, 0.0), step) for name in names]
    return [Settled(scored, fate_of(scored)) for scored in made]


def stored(store: ReplayStore) -> str:
    return "".join(entry.prompt_id for entry in store.groups)


# --- who stays


def test_the_example_of_a_store_of_four() -> None:
    """B = 4, half of it fresh, C = 4: two old groups are kept beside what a step brings."""
    store = ReplayStore(capacity=4, fresh=2, seed=1)
    store.add(1, settled("aBcd", 1))
    assert stored(store) == "acd"
    store.add(2, settled("efgh", 2))
    assert stored(store) == "cdefgh"
    assert {entry.prompt_id for entry in store.draw(3, 99)} == set("cdefgh")
    store.add(3, settled("ij", 3))
    assert stored(store) == "ghij"


def test_of_a_prompts_groups_the_newest_stays_and_one_without_signal_clears() -> None:
    store = ReplayStore(capacity=10, fresh=2, seed=1)
    store.add(1, settled("abc", 1))
    store.add(2, settled("aB", 2))
    assert [(entry.prompt_id, entry.step) for entry in store.groups] == [("c", 1), ("a", 2)]


def test_dropped_and_failed_groups_say_nothing_about_older_ones() -> None:
    store = ReplayStore(capacity=10, fresh=2, seed=1)
    store.add(1, settled("ab", 1))
    failed = group("a", (None, None, 1.0), 2)
    dropped = ScoredGroup(Judged(group("b").judged.read, Decision.DROP), ())
    assert [fate_of(failed), fate_of(dropped)] == [Fate.FAILED, Fate.DROPPED]
    store.add(2, [Settled(failed, Fate.FAILED), Settled(dropped, Fate.DROPPED)])
    assert stored(store) == "ab"


def test_a_store_no_larger_than_a_step_keeps_the_last_step_alone() -> None:
    for capacity in (1, 2):
        store = ReplayStore(capacity, fresh=2, seed=1)
        store.add(1, settled("ab", 1))
        store.add(2, settled("cd", 2))
        assert stored(store) == "cd"


class ReleasedCode:
    """The bookkeeping as the paper's code does it: all groups enter, and are sifted when the store is next used."""

    def __init__(self, capacity: int, fresh: int) -> None:
        self.capacity, self.fresh = capacity, fresh
        self.items: list[tuple[str, int, bool]] = []

    def sifted(self) -> list[tuple[str, int]]:
        newest = {name: position for position, (name, _, _) in enumerate(self.items)}
        return [
            (name, step)
            for position, (name, step, signal) in enumerate(self.items)
            if newest[name] == position and signal
        ]

    def push(self, step: int, names: str) -> None:
        keep = self.capacity - self.fresh
        pool = [(name, made, True) for name, made in self.sifted()]
        self.items = (pool[-keep:] if keep > 0 else []) + [(name.lower(), step, name.islower()) for name in names]


batches = st.lists(
    st.text("abcdefghABCDEFGH", max_size=6).map(lambda text: "".join({c.lower(): c for c in text}.values()))
)


@given(batches, st.integers(1, 12), st.integers(1, 6))
def test_keeps_what_the_released_code_would(steps: list[str], capacity: int, fresh: int) -> None:
    store, other = ReplayStore(capacity, fresh, seed=1), ReleasedCode(capacity, fresh)
    for step, names in enumerate(steps, 1):
        assert [(entry.prompt_id, entry.step) for entry in store.draw(step, 99)] == other.sifted()
        store.add(step, settled(names, step))
        other.push(step, names)
        assert len(store.groups) <= max(0, capacity - fresh) + len(names)
        assert all(entry.scored.scores[0].outcome != entry.scored.scores[1].outcome for entry in store.groups)


# --- who is drawn


def test_draws_are_distinct_uniform_and_in_order_of_age() -> None:
    counts = dict.fromkeys("abcdefgh", 0)
    store = ReplayStore(capacity=8, fresh=2, seed=1)
    store.add(1, settled("abcdefgh", 1))
    for step in range(2, 1002):
        drawn = [entry.prompt_id for entry in store.draw(step, 3)]
        assert drawn == sorted(set(drawn)) and len(drawn) == 3
        for name in drawn:
            counts[name] += 1
    assert all(abs(count - 375) < 4 * np.sqrt(1000 * 0.375 * 0.625) for count in counts.values())


def test_an_empty_store_and_too_few_groups_give_what_there_is() -> None:
    store = ReplayStore(capacity=8, fresh=2, seed=1)
    assert store.draw(1, 4) == []
    store.add(1, settled("aBC", 1))
    assert [entry.prompt_id for entry in store.draw(2, 4)] == ["a"]
    assert store.draw(2, 0) == []


def test_a_group_may_be_replayed_again_and_its_uses_are_counted() -> None:
    store = ReplayStore(capacity=8, fresh=2, seed=1)
    store.add(1, settled("ab", 1))
    assert [entry.uses for entry in store.draw(2, 2)] == [1, 1]
    drawn = store.draw(3, 2)
    assert [entry.uses for entry in drawn] == [2, 2]


def test_a_step_never_replays_its_own_groups() -> None:
    store = ReplayStore(capacity=8, fresh=2, seed=1)
    store.add(3, settled("ab", 3))
    with pytest.raises(ValueError, match="its own groups"):
        store.draw(3, 1)
    with pytest.raises(ValueError, match="-1"):
        store.draw(4, -1)


def test_replayed_groups_keep_the_log_probs_of_their_policy() -> None:
    store, fresh = ReplayStore(capacity=8, fresh=2, seed=1), settled("a", 1)
    store.add(1, fresh)
    assert store.draw(2, 1)[0].scored is fresh[0].scored


@pytest.mark.parametrize(
    ("prompts", "fresh", "expected"),
    [(512, 0.5, 256), (5, 0.5, 2), (4, 0.1, 1), (10, 0.7, 7), (100, 0.29, 29), (8, 1.0, 8)],
)
def test_fresh_groups_of_a_step(prompts: int, fresh: float, expected: int) -> None:
    assert fresh_of(prompts, fresh) == expected


def test_the_first_round_is_fresh() -> None:
    assert [fresh_at(step, 512, 0.5, warmup=2) for step in range(1, 6)] == [512, 512, 256, 256, 256]
    assert fresh_at(1, 512, 0.5, warmup=0) == 256


# --- on disk


def same(one: ScoredGroup, two: ScoredGroup) -> bool:
    """Equal, arrays included (``==`` of frozen dataclasses cannot compare those)."""

    def bare(scored: ScoredGroup) -> tuple[object, ...]:
        read, made = scored.judged.read, scored.group
        rollouts = [
            (r.token_ids.tobytes(), r.logprobs.tobytes(), r.text, r.finish_reason, r.version_min, r.version_max)
            for r in made.rollouts
        ]
        judged = (scored.judged.decision, scored.judged.supervision, scored.judged.reason)
        return (
            made.id,
            made.prompt,
            made.prompt_ids.tobytes(),
            made.purpose,
            rollouts,
            read.answers,
            read.clusters,
            judged,
            scored.scores,
        )

    return bare(one) == bare(two)


def test_groups_come_back_bit_for_bit(tmp_path: Path) -> None:
    turns = ({"role": "system", "content": "ä"}, {"role": "user", "content": "1+1?"})
    talk = group("talk", (None, 0.5, 1.0))
    talk = replace(
        talk,
        judged=replace(
            talk.judged, read=replace(talk.judged.read, group=replace(talk.group, prompt=Prompt("t", turns)))
        ),
    )
    dropped = ScoredGroup(Judged(group("d").judged.read, Decision.DROP, reason="no majority"), ())
    made = group("f", (1.0, 0.0))
    rollouts = (made.group.rollouts[0], Rollout.lost(3))
    read = replace(made.judged.read, group=replace(made.group, rollouts=rollouts))
    failed = ScoredGroup(replace(made.judged, read=read), (made.scores[0], LOST))
    soft = Supervision("consistent", "2", 0, weight=0.5, values=(0.1, 0.3), offset=-0.1, confidence=0.7)
    weighed = ScoredGroup(replace(made.judged, supervision=soft), made.scores)
    groups = [group("a"), talk, dropped, failed, weighed]
    write_groups(tmp_path / "groups.npz", groups)
    found = read_groups(tmp_path / "groups.npz")
    assert len(found) == 5
    assert all(map(same, found, groups))
    assert [type(s.status) for s in found[1].scores] == [Status] * 3
    assert found[0].group.rollouts[1].logprobs.dtype == np.float32


def test_a_store_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    def go_on(store: ReplayStore, steps: range) -> list[tuple[str, int, int]]:
        drawn = []
        for step in steps:
            drawn += [(entry.prompt_id, entry.step, entry.uses) for entry in store.draw(step, 3)]
            store.add(step, settled("".join(random.Random(step).sample("abcdefghijklmn", 4)), step))
        return drawn

    store = ReplayStore(capacity=8, fresh=4, seed=1)
    go_on(store, range(1, 5))
    store.save(tmp_path / "replay")
    resumed = ReplayStore(capacity=8, fresh=4, seed=1)
    resumed.add(9, settled("xyz", 9))
    resumed.load(tmp_path / "replay")
    assert all(same(one.scored, two.scored) for one, two in zip(store.groups, resumed.groups, strict=True))
    assert go_on(resumed, range(5, 12)) == go_on(store, range(5, 12))


def test_an_empty_store_has_a_checkpoint_too(tmp_path: Path) -> None:
    ReplayStore(8, 4, 1).save(tmp_path)
    resumed = ReplayStore(8, 4, 1)
    resumed.load(tmp_path)
    assert resumed.groups == ()


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    store = ReplayStore(8, 4, 1)
    with pytest.raises(UserError, match=r"groups\.npz is missing"):
        store.load(tmp_path)
    store.add(1, settled("ab", 1))
    store.save(tmp_path)
    whole = (tmp_path / "groups.npz").read_bytes()
    for damaged in (b"", whole[:100], whole[:-30], b"no archive"):
        (tmp_path / "groups.npz").write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged"):
            store.load(tmp_path)
    (tmp_path / "groups.npz").write_bytes(whole)
    for damaged in ("[[1, 0]]", "[1, 2]", "["):
        (tmp_path / "replay.json").write_text(damaged)
        with pytest.raises(UserError, match=r"replay\.json is missing or damaged"):
            store.load(tmp_path)
