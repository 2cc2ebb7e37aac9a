"""The loss of tokens that an older policy sampled: the paper's numbers, loops, and the ordinary clip of fresh ones."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effrl.config.loss import Clip, ClippedLoss
from effrl.loss.importance import effective_sample_size, importance_sums
from effrl.loss.policy import policy_loss
from effrl.loss.tokens import Tokens

NO_CAP, FLOOR = 1e9, 0.43

probabilities = st.floats(0.01, 1)
rows = st.lists(st.tuples(probabilities, probabilities, probabilities, st.floats(-2, 2)), min_size=1, max_size=8)
clips = st.sampled_from(["centered", "paper"])


def tokens(values: list[tuple[float, float, float, float]]) -> Tokens:
    """One row; columns are probabilities under the policy, the old and the behaviour policy, and advantages."""
    columns = [torch.tensor(column, dtype=torch.float64) for column in zip(*values, strict=True)]
    new, old, behaviour = (column.log()[None] for column in columns[:3])
    return Tokens(new.requires_grad_(), old, behaviour, columns[3][None], torch.ones_like(new))


def surrogate(
    batch: Tokens, clip: Clip, cap: float = NO_CAP, high: float = 0.2, beyond: str = "truncate"
) -> tuple[float, int]:
    """Sum of the surrogates, and how many tokens were clipped."""
    config = ClippedLoss(clip_low=0.2, clip_high=high, tis_cap=cap, tis_floor=FLOOR, beyond_cap=beyond)  # type: ignore[arg-type]
    found = policy_loss(config, batch, clip)
    found["loss"].backward()
    return -found["policy"].item(), int(found["clipped"].item())


@pytest.mark.parametrize(
    ("new", "old", "behaviour", "advantage", "paper", "paper_moves", "centred", "centred_moves"),
    [
        (0.3, 0.3, 0.2, 1, 1.2, False, 1.5, True),
        (0.3, 0.3, 0.2, -1, -1.5, True, -1.5, True),
        (0.1, 0.1, 0.2, 1, 0.5, True, 0.5, True),
        (0.1, 0.1, 0.2, -1, -0.8, False, -0.5, True),
        (0.4, 0.3, 0.2, 1, 1.2, False, 1.8, False),
    ],
)
def test_one_token_by_hand(
    new: float,
    old: float,
    behaviour: float,
    advantage: float,
    paper: float,
    paper_moves: bool,
    centred: float,
    centred_moves: bool,
) -> None:
    expected: tuple[tuple[Clip, float, bool], ...] = (
        ("paper", paper, paper_moves),
        ("centered", centred, centred_moves),
    )
    for clip, value, moves in expected:
        batch = tokens([(new, old, behaviour, advantage)])
        assert surrogate(batch, clip) == (pytest.approx(value), 0 if moves else 1)  # type: ignore[arg-type]
        assert bool(batch.logprobs.grad) is moves


@given(rows, clips, st.sampled_from([NO_CAP, 1.0, 2.0]), st.sampled_from(["truncate", "mask"]))
def test_is_a_loop_over_tokens(values: list[tuple[float, ...]], clip: Clip, cap: float, beyond: str) -> None:
    expected = 0.0
    for new, old, behaviour, advantage in values:
        weight = old / behaviour
        if beyond == "mask" and not FLOOR <= weight <= cap:
            continue
        weight = min(weight, cap)
        x, c = weight * new / old, weight if clip == "centered" else 1.0
        expected += min(x * advantage, min(max(x, 0.8 * c), 1.3 * c) * advantage)
    assert surrogate(tokens(values), clip, cap, 0.3, beyond)[0] == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(rows, clips, st.sampled_from([NO_CAP, 2.0]))
def test_fresh_tokens_have_the_ordinary_surrogate_to_the_last_bit(
    values: list[tuple[float, ...]], clip: Clip, cap: float
) -> None:
    fresh = [(new, old, old, advantage) for new, old, _, advantage in values]
    one, two = tokens(fresh), tokens(fresh)
    found = surrogate(one, clip, cap)
    ratio = torch.exp(two.logprobs - two.old)
    ordinary = torch.minimum(ratio * two.advantages, ratio.clamp(0.8, 1.2) * two.advantages).sum()
    (-ordinary).backward()
    assert found[0] == ordinary.item()
    assert torch.equal(one.logprobs.grad, two.logprobs.grad)  # type: ignore[arg-type]


@given(rows)
def test_nothing_is_clipped_before_the_first_update_of_a_step(values: list[tuple[float, ...]]) -> None:
    batch = tokens([(old, old, behaviour, advantage) for _, old, behaviour, advantage in values])
    assert surrogate(batch, "centered")[1] == 0


@pytest.mark.parametrize("clip", ["centered", "paper"])
def test_a_cap_bounds_what_a_token_can_weigh(clip: Clip) -> None:
    """w = 1000 and a negative advantage, which no clip bounds."""
    heavy = (0.5, 0.5, 0.0005, -1.0)
    assert surrogate(tokens([heavy]), clip)[0] == pytest.approx(-1000)
    assert surrogate(tokens([heavy]), clip, cap=2.0)[0] == pytest.approx(-2)


# --- effective sample size


@given(rows, st.integers(0, 8))
def test_sums_of_any_cut_give_the_same_effective_sample_size(values: list[tuple[float, ...]], border: int) -> None:
    parts = [part for part in (values[:border], values[border:]) if part]
    sums = [importance_sums(tokens(part)) for part in parts]
    weights = [old / behaviour for _, old, behaviour, _ in values]
    found = effective_sample_size(
        sum(part["weight"].item() for part in sums), sum(part["weight_squared"].item() for part in sums)
    )
    assert found == pytest.approx(sum(weights) ** 2 / sum(weight**2 for weight in weights))
    assert max(part["weight_max"].item() for part in sums) == pytest.approx(max(weights))


def test_effective_sample_size_of_equal_weights_and_of_one_that_rules() -> None:
    assert effective_sample_size(8 * 1.5, 8 * 1.5**2) == pytest.approx(8)
    assert effective_sample_size(1000 + 7, 1000**2 + 7) == pytest.approx(1.014, abs=1e-3)
    assert effective_sample_size(0.0, 0.0) == 0.0


def test_what_stands_outside_the_mask_does_not_count() -> None:
    batch = Tokens(
        logprobs=torch.tensor([[-1.0, -1.0]]),
        old=torch.tensor([[-1.0, 0.0]]),
        behaviour=torch.tensor([[-2.0, -1e4]]),
        advantages=torch.ones(1, 2),
        mask=torch.tensor([[1.0, 0.0]]),
    )
    sums = {name: value.item() for name, value in importance_sums(batch).items()}
    assert sums == pytest.approx({"weight": math.e, "weight_squared": math.e**2, "weight_max": math.e})
