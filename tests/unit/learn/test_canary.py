"""The canary says "verified" only where the engine is at the new version and visibly no longer at the old one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.learn.canary import CONCLUSIVE, Reading, choose, over_prompts, read
from effrl.types import Float32, TrainingSequence

TOLERANCE = 1e-4
NAN, INF = float("nan"), float("inf")


def logprobs(*values: float) -> Float32:
    return np.array(values, np.float32)


OLD, NEW = logprobs(-1.0, -2.0, -3.0), logprobs(-1.0, -2.5, -3.0)


def test_the_new_version_is_served() -> None:
    assert read(OLD, NEW, NEW, TOLERANCE).verified is True
    assert read(OLD, NEW, NEW + np.float32(TOLERANCE / 2), TOLERANCE).verified is True, "two implementations differ"


def test_the_old_version_is_still_served() -> None:
    """A publish that does nothing."""
    assert read(OLD, NEW, OLD, TOLERANCE).verified is False


def test_one_token_is_enough_to_fail() -> None:
    """Only part of the weights arrived; a mean would hide it."""
    old, new = np.full(1000, -1.0, np.float32), np.full(1000, -2.0, np.float32)
    served = new.copy()
    served[500] += 2 * TOLERANCE
    assert read(old, new, served, TOLERANCE).verified is False


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("where", ["served", "new", "both"])
def test_what_is_not_finite_fails(bad: float, where: str) -> None:
    """Every comparison with NaN is false: a test for ``gap > tolerance`` would let it pass."""
    broken = NEW.copy()
    broken[0] = bad
    new, served = broken if where != "served" else NEW, broken if where != "new" else NEW
    with np.errstate(invalid="ignore"):
        assert read(OLD, new, served, TOLERANCE).verified is False


def test_a_broken_old_version_proves_nothing() -> None:
    old = logprobs(NAN, -2.0, -3.0)
    assert read(old, NEW, NEW, TOLERANCE).verified is None


def test_an_update_too_small_to_see_is_inconclusive() -> None:
    """Old and new agree within the tolerance: whatever is served, it looks right."""
    new = OLD + np.float32(TOLERANCE)
    assert read(OLD, new, new, TOLERANCE).verified is None
    assert read(OLD, new, OLD, TOLERANCE / 10).verified is False, "but a finer tolerance tells"


@pytest.mark.parametrize(
    ("gap", "moved", "verified"),
    [
        (0.0, 3.0, True),
        (1.0, 3.0, True),
        (1.0, 2.99, None),
        (0.0, 0.0, None),
        (1.01, 3.0, False),
        (1.01, 0.0, False),  # failed, not inconclusive
        (NAN, 3.0, False),
        (NAN, NAN, False),
        (0.0, NAN, None),
    ],
)
def test_the_zones(gap: float, moved: float, verified: bool | None) -> None:
    """In units of the tolerance."""
    assert Reading(gap, moved, 1.0).verified is verified


@given(st.floats(0, 1), st.floats(0, 10))
def test_the_served_version_is_verified_only_when_it_cannot_be_the_old_one(gap: float, moved: float) -> None:
    if Reading(gap, moved, 1.0).verified:
        assert gap <= 1 and moved >= CONCLUSIVE


def sequence(prompt: int, sampled: int) -> TrainingSequence:
    zeros = np.zeros(sampled, np.float32)
    return TrainingSequence(np.arange(prompt + sampled, dtype=np.int32), prompt, zeros, zeros)


def test_it_looks_at_the_first_sequences_of_a_step() -> None:
    sequences = [sequence(prompt, sampled=4) for prompt in range(1, 12)]
    canary = choose(sequences)
    assert canary.prompt_lengths == (1, 2, 3, 4, 5, 6, 7, 8)
    assert all(ids is sequence.ids for ids, sequence in zip(canary.ids, sequences, strict=False))
    assert len(choose(sequences[:3]).ids) == 3, "a step may have fewer"


def test_of_prompts_all_tokens_but_the_first_are_scored() -> None:
    """The first has no log-prob: nothing comes before it."""
    prompts = [np.array([5, 6, 7], np.int32), np.array([8, 9], np.int32)]
    canary = over_prompts(prompts)
    assert canary.prompt_lengths == (1, 1) and all(map(np.array_equal, canary.ids, prompts))
