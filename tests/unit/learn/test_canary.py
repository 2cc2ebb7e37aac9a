"""The canary says "verified" only where the engine is at the new version and visibly no longer at the old one."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.learn.canary import (
    CONCLUSIVE,
    DRILL_TOKENS,
    SEQUENCES,
    TOKENS,
    Reading,
    Tolerance,
    choose,
    largest,
    over_prompts,
    read,
    root_mean_square,
    tolerance,
)
from effrl.sequences import TrainingSequence
from effrl.types import Float32

STRICT, ROUGH = tolerance("float32"), tolerance("bfloat16")
NAN, INF = float("nan"), float("inf")
NOISE = 0.035
"""In nats, of two right implementations in bfloat16, as measured on the built-in model."""


def logprobs(*values: float) -> Float32:
    return np.array(values, np.float32)


OLD, NEW = logprobs(-1.0, -2.0, -3.0), logprobs(-1.0, -2.5, -3.0)


def test_the_new_version_is_served() -> None:
    assert read(OLD, NEW, NEW, STRICT).verified is True
    assert read(OLD, NEW, NEW + np.float32(STRICT.nats / 2), STRICT).verified is True, "two implementations differ"


def test_the_old_version_is_still_served() -> None:
    """A publish that does nothing."""
    assert read(OLD, NEW, OLD, STRICT).verified is False


def test_in_float32_one_token_is_enough_to_fail() -> None:
    """Only part of the weights arrived; a mean would hide it."""
    old, new = np.full(1000, -1.0, np.float32), np.full(1000, -2.0, np.float32)
    served = new.copy()
    served[500] += 2 * STRICT.nats
    assert read(old, new, served, STRICT).verified is False


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
@pytest.mark.parametrize("where", ["served", "new", "both"])
@pytest.mark.parametrize("allowed", [STRICT, ROUGH])
def test_what_is_not_finite_fails(bad: float, where: str, allowed: Tolerance) -> None:
    """Every comparison with NaN is false: a test for ``gap > tolerance`` would let it pass."""
    broken = NEW.copy()
    broken[0] = bad
    new, served = broken if where != "served" else NEW, broken if where != "new" else NEW
    with np.errstate(invalid="ignore"):
        assert read(OLD, new, served, allowed).verified is False


def test_a_broken_old_version_proves_nothing() -> None:
    old = logprobs(NAN, -2.0, -3.0)
    assert read(old, NEW, NEW, STRICT).verified is None


def test_an_update_too_small_to_see_is_inconclusive() -> None:
    """Old and new agree within the tolerance: whatever is served, it looks right."""
    new = OLD + np.float32(STRICT.nats)
    assert read(OLD, new, new, STRICT).verified is None
    assert read(OLD, new, OLD, tolerance("float32", 1e-5)).verified is False, "but a finer tolerance tells"


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
def test_the_zones_of_distance(gap: float, moved: float, verified: bool | None) -> None:
    """In units of the tolerance."""
    assert Reading(gap, moved, 1.0, slope=1.0, error=0.01).verified is verified


@pytest.mark.parametrize(
    ("slope", "error", "verified"),
    [
        (1.0, 0.0, True),
        (0.9, 0.0, True),  # within 1/9, which the learner's own rounding may take away
        (0.88, 0.0, False),
        (0.88, 0.01, True),  # within four standard errors more
        (1.12, 0.0, False),
        (0.0, 0.02, False),
        (0.5, 0.02, False),
        (0.5, 0.09, False),  # neither
        (0.5, 0.10, None),  # both
        (1.0, 0.22, True),
        (1.0, 0.23, None),
        (NAN, NAN, None),
    ],
)
def test_the_zones_of_direction(slope: float, error: float, verified: bool | None) -> None:
    assert Reading(0.5, 4.0, 1.0, slope, error).verified is verified


@given(st.floats(0, 1), st.floats(0, 10), st.floats(-1, 2), st.floats(0, 1))
def test_the_served_version_is_verified_only_when_it_cannot_be_the_old_one(
    gap: float, moved: float, slope: float, error: float
) -> None:
    if Reading(gap, moved, 1.0, slope, error).verified:
        assert gap <= 1 and moved >= CONCLUSIVE and abs(slope) > abs(slope - 1)


# --- the direction


def naive(old: Float32, new: Float32, served: Float32) -> tuple[float, float]:
    """Slope and White's standard error with a correction for few tokens, token by token."""
    d, y = [float(b) - float(a) for a, b in zip(old, new, strict=True)], []
    y = [float(c) - float(a) for a, c in zip(old, served, strict=True)]
    square = sum(value * value for value in d)
    slope = sum(a * b for a, b in zip(d, y, strict=True)) / square
    meat = sum((a * (b - slope * a)) ** 2 for a, b in zip(d, y, strict=True))
    return slope, math.sqrt(meat * len(d) / (len(d) - 1)) / square


def sample(seed: int, tokens: int, move: float, noise: float, share: float = 1.0) -> tuple[Float32, Float32, Float32]:
    """Old, new and served log-probs; both sides round, and of the move a ``share`` is served."""
    random = np.random.default_rng(seed)
    old = -random.exponential(2.0, tokens)
    change = random.normal(0, move, tokens)
    truth = (old, old + change, old + share * change)
    made = [(values + random.normal(0, noise, tokens)).astype(np.float32) for values in truth]
    return made[0], made[1], made[2]


@given(st.integers(0, 2**32), st.integers(2, 60), st.floats(0.1, 3), st.floats(0, 1))
def test_slope_and_error_are_those_of_a_naive_implementation(seed: int, tokens: int, move: float, share: float) -> None:
    values = sample(seed, tokens, move, NOISE, share)
    reading = read(*values, ROUGH)
    assert (reading.slope, reading.error) == pytest.approx(naive(*values), rel=1e-3, abs=1e-5)


def test_the_standard_error_is_that_of_repeated_draws() -> None:
    """Of a thousand canaries the slopes scatter as each says; and nearly all are within four of their errors of 1."""
    readings = [read(*sample(seed, 100, 1.0, NOISE), ROUGH) for seed in range(1000)]
    slopes, errors = np.array([r.slope for r in readings]), np.array([r.error for r in readings])
    assert np.std(slopes) == pytest.approx(errors.mean(), rel=0.2)
    assert (np.abs(slopes - 1) < 4 * errors).mean() > 0.99
    assert all(reading.verified is True for reading in readings)


@pytest.mark.parametrize(
    ("move", "share", "verified"),
    [
        (1.0, 1.0, True),
        (1.0, 0.0, False),
        (1.0, 0.5, False),  # half of the weights
        (1.0, 0.8, False),  # one layer of five
        (0.1, 1.0, None),  # nearer than three tolerances, whatever is served
        (0.1, 0.0, None),
        (NOISE / 10, 1.0, None),
        (NOISE / 10, 0.0, None),
    ],
)
def test_bfloat16(move: float, share: float, verified: bool | None) -> None:
    verdicts = {read(*sample(seed, 400, move, NOISE, share), ROUGH).verified for seed in range(200)}
    assert verdicts == {verified}


def test_below_the_noise_the_slope_says_nothing_about_what_is_served() -> None:
    """It would contradict with many standard errors, since the learner's own noise flattens it: hence the distance."""
    reading = read(*sample(1, 400, NOISE / 10, NOISE), ROUGH)
    assert abs(reading.slope - 1) > 4 * reading.error + 1 / CONCLUSIVE**2 and reading.verified is None


def test_a_constant_difference_of_single_tokens_does_not_fail_bfloat16() -> None:
    """Two right implementations differ by 0.7 nats at one token of 500."""
    old, new, served = sample(1, 500, 1.0, NOISE)
    served[7] += 0.7
    assert read(old, new, served, ROUGH).verified is True


def test_one_token_has_no_direction() -> None:
    assert read(OLD[:1], NEW[1:2], NEW[1:2], STRICT).verified is None


# --- tolerances


def test_sizes_by_hand() -> None:
    assert largest(logprobs(1, -3, 2)) == 3.0
    assert root_mean_square(logprobs(1, -3, 2, 0)) == pytest.approx(math.sqrt(14 / 4))


def test_a_tolerance_of_the_users_own_keeps_what_it_is_compared_with() -> None:
    assert tolerance("bfloat16", 0.5) == Tolerance(0.5, root_mean_square, ROUGH.drill)
    assert (STRICT.nats, STRICT.size) == (1e-4, largest)


# --- what is scored


def sequence(prompt: int, sampled: int) -> TrainingSequence:
    zeros = np.zeros(sampled, np.float32)
    return TrainingSequence(np.arange(prompt + sampled, dtype=np.int32), prompt, zeros, zeros)


def test_it_looks_at_the_first_sequences_of_a_step() -> None:
    sequences = [sequence(prompt, sampled=4) for prompt in range(1, 12)]
    canary = choose(sequences, context=2048)
    assert canary.prompt_lengths == (1, 2, 3, 4, 5, 6, 7, 8) and canary.whole
    assert all(np.array_equal(ids, sequence.ids) for ids, sequence in zip(canary.ids, sequences, strict=False))
    assert len(choose(sequences[:3], 2048).ids) == 3, "a step may have fewer"


def test_long_sequences_are_passed_over_while_there_are_short_ones() -> None:
    sequences = [sequence(10, sampled) for sampled in (300, 90, 140, 60, 70)]
    canary = choose(sequences, context=2048)
    assert [len(ids) for ids in canary.ids] == [100, 150] and canary.whole, "250 of 256 tokens"
    assert [len(ids) for ids in choose(sequences, context=101).ids] == [100, 70, 80], "an engine refuses longer ones"


WINDOW = TOKENS // SEQUENCES


@pytest.mark.parametrize(
    ("prompt", "sampled", "first", "scored"),
    [
        (10, 4096, 0, WINDOW - 10),
        (4000, 96, 4000 - WINDOW // 2, WINDOW // 2),
        (4000, 4000, 4000 - WINDOW // 2, WINDOW // 2),
        (4000, 1, 4001 - WINDOW, 1),
    ],
)
def test_of_long_sequences_it_takes_windows(prompt: int, sampled: int, first: int, scored: int) -> None:
    canary = choose([sequence(prompt, sampled)] * 9, context=8192)
    assert len(canary.ids) == SEQUENCES and not canary.whole
    ids, start = canary.ids[0], canary.prompt_lengths[0]
    assert len(ids) <= WINDOW and (ids[0], len(ids) - start) == (first, scored)
    assert ids[start] == prompt, "where the window says that the sampled tokens begin, they do"


@given(st.integers(1, 70), st.integers(1, 70), st.integers(3, 140))
def test_it_leaves_room_for_the_token_that_an_engine_samples_after_it(prompt: int, sampled: int, context: int) -> None:
    """A sequence that fills the context is refused by the engine, which is asked for one token more."""
    [ids], [start] = (lambda canary: (canary.ids, canary.prompt_lengths))(choose([sequence(prompt, sampled)], context))
    whole = prompt + sampled
    assert len(ids) == (whole if whole < context else min(WINDOW, context - 1))
    assert 1 <= start < len(ids) and ids[start] == prompt


def test_of_prompts_all_tokens_but_the_first_are_scored() -> None:
    """The first has no log-prob: nothing comes before it."""
    prompts = [np.array([5, 6, 7], np.int32), np.array([8, 9], np.int32)]
    canary = over_prompts(prompts)
    assert canary.prompt_lengths == (1, 1) and all(map(np.array_equal, canary.ids, prompts))


def test_of_long_prompts_the_drill_takes_the_end() -> None:
    [ids] = over_prompts([np.arange(1000, dtype=np.int32)]).ids
    assert ids.tolist() == list(range(1000 - DRILL_TOKENS, 1000))
