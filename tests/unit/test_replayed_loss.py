"""The surrogate of replayed tokens: the paper's numbers, loops, and the ordinary clip where nothing is replayed."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from effrl.loss.clipped import clipped
from effrl.loss.replayed import effective_sample_size, importance_sums, replayed
from effrl.loss.tokens import Tokens

probabilities = st.floats(0.01, 1)
rows = st.lists(st.tuples(probabilities, probabilities, probabilities, st.floats(-2, 2)), min_size=1, max_size=8)
either = st.sampled_from(["old", "one"])


def tokens(values: list[tuple[float, float, float, float]]) -> Tokens:
    """One row; columns are probabilities under the policy, the old and the behaviour policy, and advantages."""
    columns = [torch.tensor(column, dtype=torch.float64) for column in zip(*values, strict=True)]
    new, old, behaviour = (column.log()[None] for column in columns[:3])
    return Tokens(new.requires_grad_(), old, behaviour, columns[3][None], torch.ones_like(new))


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
    for center, value, moves in (("one", paper, paper_moves), ("old", centred, centred_moves)):
        batch = tokens([(new, old, behaviour, advantage)])
        surrogate, was_clipped = replayed(batch, 0.2, 0.2, center)  # type: ignore[arg-type]
        surrogate.sum().backward()
        assert surrogate.item() == pytest.approx(value)
        assert bool(was_clipped) is not moves
        assert bool(batch.logprobs.grad) is moves


@given(rows, either, st.sampled_from([None, 0.5, 2.0]))
def test_is_a_loop_over_tokens(values: list[tuple[float, ...]], center: str, cap: float | None) -> None:
    surrogate, _ = replayed(tokens(values), 0.2, 0.3, center, cap)  # type: ignore[arg-type]
    for (new, old, behaviour, advantage), found in zip(values, surrogate[0].tolist(), strict=True):
        weight = min(old / behaviour, cap or math.inf)
        x, c = weight * new / old, weight if center == "old" else 1.0
        expected = min(x * advantage, min(max(x, 0.8 * c), 1.3 * c) * advantage)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(rows, either, st.sampled_from([None, 2.0]))
def test_fresh_tokens_have_the_ordinary_surrogate_to_the_last_bit(
    values: list[tuple[float, ...]], center: str, cap: float | None
) -> None:
    batch = tokens([(new, old, old, advantage) for new, old, _, advantage in values])
    for found, expected in zip(replayed(batch, 0.2, 0.2, center, cap), clipped(batch, 0.2, 0.2), strict=True):  # type: ignore[arg-type]
        assert torch.equal(found, expected)


@given(rows)
def test_centred_is_w_times_the_ordinary_surrogate_in_its_gradient_too(values: list[tuple[float, ...]]) -> None:
    one, two = tokens(values), tokens(values)
    replayed(one, 0.2, 0.2, "old")[0].sum().backward()
    (torch.exp(two.old - two.behaviour) * clipped(two, 0.2, 0.2)[0]).sum().backward()
    torch.testing.assert_close(one.logprobs.grad, two.logprobs.grad)


@given(rows)
def test_nothing_is_clipped_before_the_first_update_of_a_step(values: list[tuple[float, ...]]) -> None:
    batch = tokens([(old, old, behaviour, advantage) for _, old, behaviour, advantage in values])
    assert not replayed(batch, 0.2, 0.2, "old")[1].any()


def test_a_cap_bounds_what_a_token_can_weigh() -> None:
    """w = 1000 and a negative advantage, which no clip bounds."""
    batch = tokens([(0.5, 0.5, 0.0005, -1.0)])
    for center in ("old", "one"):
        assert replayed(batch, 0.2, 0.2, center)[0].item() == pytest.approx(-1000)  # type: ignore[arg-type]
        assert replayed(batch, 0.2, 0.2, center, cap=2.0)[0].item() == pytest.approx(-2)  # type: ignore[arg-type]


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
    assert torch.isfinite(replayed(batch, 0.2, 0.2, "old")[0]).all()
