"""What labels showed, and what is remembered of it."""

from random import Random

import numpy as np
from reads import answered
from seen import record, seen

from effrl.batch import Settled
from effrl.label.care.records import ProbeMemory, record_of, stratified, uniform
from effrl.label.care.storage import load_records, save_records
from effrl.types import Decision, Fate, Judged, Score, ScoredGroup, Status, Supervision


def settled(answers: str, right: str) -> Settled:
    """A group whose rollouts answered by these letters; those with a capital in ``right`` passed, ``x`` failed."""
    read = answered("a", *answers)
    scores = tuple(
        Score(None, None, Status.TIMEOUT) if mark == "x" else Score(float(mark == "1"), float(mark == "1"), Status.OK)
        for mark in right
    )
    judged = Judged(read, Decision.USE, Supervision("bought", "?"))
    return Settled(ScoredGroup(judged, scores), Fate.TRAINED)


def test_a_right_vote_leaves_no_others() -> None:
    found = record_of(settled("aaabbcca", "11100001"), seen([4, 2, 2]))
    assert (found.vote_right, found.others_right) == (True, 0)


def test_a_wrong_vote_counts_the_clusters_that_are_right() -> None:
    found = record_of(settled("aaabbccd", "00011110"), seen([3, 2, 2, 1]))
    assert (found.vote_right, found.others_right) == (False, 4), "two ways of writing the answer, not found equal"


def test_one_right_member_makes_a_cluster_right() -> None:
    found = record_of(settled("aaabbccd", "00001000"), seen([3, 2, 2, 1]))
    assert found.others_right == 2
    assert record_of(settled("aaabbccd", "01000000"), seen([3, 2, 2, 1])).vote_right


def test_what_could_not_be_scored_is_not_right() -> None:
    found = record_of(settled("aaabbccd", "xxx00000"), seen([3, 2, 2, 1]))
    assert not found.right.any() and not found.vote_right


def test_memory_forgets_the_oldest() -> None:
    """Property 17."""
    memory, records = ProbeMemory(30), [record([4, 3, 1], seed=number) for number in range(39)]
    for step in range(3):
        memory.add(records[13 * step : 13 * (step + 1)])
        assert len(memory.records) == min(30, 13 * (step + 1))
    assert memory.records == records[9:]


def test_a_stratified_draw_has_all_of_what_is_rare() -> None:
    """Property 17."""
    records = [record([4, 3, 1], 0, seed=number) for number in range(100)]
    rare = [record([4, 3, 1], 1, seed=100), record([4, 3, 1], 1, seed=101), record([4, 3, 1], 3, seed=102)]
    drawn = stratified([*records, *rare], 16, Random(1))
    assert len(drawn) == 16 and len({id(entry) for entry in drawn}) == 16
    assert all(any(entry is found for found in drawn) for entry in rare)


def test_draws_are_without_replacement_and_take_all_of_few() -> None:
    records = [record([4, 3, 1], seed=number) for number in range(20)]
    drawn = uniform(records, 16, Random(1))
    assert len({id(entry) for entry in drawn}) == 16
    assert len(uniform(records[:5], 16, Random(1))) == len(stratified(records[:5], 16, Random(1))) == 5
    assert uniform([], 16, Random(1)) == stratified([], 16, Random(1)) == []
    assert {id(e) for s in range(40) for e in uniform(records, 4, Random(s))} == {id(e) for e in records}


def test_a_checkpoint_brings_records_back(tmp_path) -> None:  # type: ignore[no-untyped-def]
    records = [record([4, 3, 1], 3, seed=1), record([5, 1], 0, True, seed=2)]
    waiting = {"1/train/ä/1": seen([2, 2], seed=3)}
    files = save_records(tmp_path, records, waiting)
    assert sorted(files) == ["records.safetensors", "waiting.safetensors"]
    loaded, waited = load_records(tmp_path)
    assert [(entry.vote_right, entry.others_right) for entry in loaded] == [(False, 3), (True, 0)]
    assert list(waited) == list(waiting)
    for one, other in zip([*loaded, *[]], records, strict=True):
        assert np.array_equal(one.right, other.right) and np.array_equal(one.features.last, other.features.last)
        assert np.array_equal(one.features.admissible, other.features.admissible)
    assert save_records(tmp_path / "none", [], {}) == {}
