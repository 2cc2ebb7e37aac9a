"""The implicit PRM without its engine: losses, rewards and metrics against the numbers of the specification."""

import math
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from reads import unread

from effrl.process.examples import LabelledGroup, best_of_n, labelled, opponents, sequences_of, shared_out, targets
from effrl.process.losses import prm_losses
from effrl.process.metrics import calibration_error, correlation, pairwise_accuracy, quality
from effrl.process.rewards import largest_to_come, normalised, token_rewards_of
from effrl.sequences import TokenRewards
from effrl.types import Decision, Group, Judged, Prompt, Rollout, Score, ScoredGroup, Status, Supervision

BETA = 0.05


def group(outcomes: list[float | None], **supervision: Any) -> ScoredGroup:
    """Rollouts of one, two, … tokens."""
    rollouts = tuple(
        Rollout(np.arange(n + 1, dtype=np.int32), np.zeros(n + 1, np.float32), "", "stop", 0, 0)
        for n, _ in enumerate(outcomes)
    )
    read = unread(Group("g", Prompt("g", "?"), np.array([7, 8], np.int32), rollouts))
    scores = tuple(Score(value, value, Status.TIMEOUT if value is None else Status.OK) for value in outcomes)
    return ScoredGroup(
        Judged(read, Decision.USE, Supervision(**{"source": "gold", "answer": "1", **supervision})), scores
    )


def loss_of(total: float, label: float, shift: float = 0.0, beta: float = BETA) -> tuple[float, float]:
    """The loss of one rollout, and its slope by the summed log-ratio."""
    ratios = torch.tensor([[total / 4, 99.0, 3 * total / 4]], requires_grad=True)
    mask = torch.tensor([[1.0, 0.0, 1.0]])
    loss = prm_losses(ratios, mask, torch.tensor([float(label)]), torch.tensor([float(shift)]), beta)
    loss.sum().backward()
    assert ratios.grad is not None and ratios.grad[0, 1] == 0, "what is not sampled does not matter"
    return float(loss.detach()), float(ratios.grad[0, 0])


# --- losses


@pytest.mark.parametrize(
    ("total", "label", "loss", "slope"),
    [
        (0, 1, math.log(2), -0.025),
        (0, 0, math.log(2), 0.025),
        (0, 0.5, math.log(2), 0),
        (20, 1, 0.313262, -0.013447),
        (20, 0, 1.313262, 0.036553),
        (-20, 0.5, 0.813262, -0.011553),
        (1e5, 0, 5000, 0.05),  # a sigmoid that is rounded to 1 would have an infinite loss
    ],
)
def test_cross_entropy(total: float, label: float, loss: float, slope: float) -> None:
    assert loss_of(total, label) == pytest.approx((loss, slope), abs=1e-6, rel=1e-6)


def test_garbage_beside_the_mask_is_no_number_anywhere() -> None:
    ratios = torch.tensor([[1.0, float("nan")]])
    found = prm_losses(ratios, torch.tensor([[1.0, 0.0]]), torch.ones(1), torch.zeros(1), BETA)
    assert torch.isfinite(found).all()


def test_preferences() -> None:
    """Each against the others' rewards before the update, which have no gradient."""
    outcomes, sums = np.array([1, 0, 0, 1], np.float32), np.array([10.0, -5, 2, 0])
    each = replace(labelled(group([1, 0, 0, 1])), outcomes=outcomes)
    assert opponents(outcomes, BETA * sums) == pytest.approx([-0.075, 0.25, 0.25, -0.075])
    found = targets([each], "dpo", [BETA * sums])
    rows = zip(sums, found.target, found.shift, strict=True)
    losses = [loss_of(float(total), float(label), float(shift))[0] for total, label, shift in rows]
    assert losses == pytest.approx([0.446418, 0.474077, 0.620957, 0.656350], abs=1e-6)
    assert np.mean(losses) == pytest.approx(0.549450, abs=1e-6)
    assert best_of_n(BETA * sums) == pytest.approx([4, 0.0625, 1.6875, 0.5])
    assert best_of_n(outcomes) == pytest.approx([4, 0.5, 0.5, 4])
    assert targets([each], "bon_rm", [BETA * sums]).weight == pytest.approx([4, 0.0625, 1.6875, 0.5])
    assert targets([each], "bon_acc", [BETA * sums]).weight == pytest.approx([4, 0.5, 0.5, 4])
    assert opponents(np.ones(3, np.float32), np.ones(3)).tolist() == [0, 0, 0], "nobody is worse"


# --- what it learns from


def test_labels_are_outcomes_of_what_could_be_scored() -> None:
    found = labelled(group([1, None, 0.25, 0], weight=0.5))
    assert (found.places, found.outcomes.tolist(), found.lengths) == ((0, 2, 3), [1, 0.25, 0], [1, 3, 4])
    wanted = targets([found, found], "ce")
    assert wanted.target.tolist() == [1, 0.25, 0] * 2 and wanted.weight.tolist() == [0.5] * 6


def test_soft_values_stand_in_for_outcomes() -> None:
    found = labelled(group([1, 0, 0], source="vote", cluster=0, values=(0.6, 0.3, 1.4)))
    assert found.outcomes == pytest.approx([0.6, 0.3, 1])


def test_rows_find_their_labels_and_references_on_any_rank() -> None:
    each = labelled(group([1, 0, 0, 1, 0]))
    reference = [np.full(n + 1, -n, np.float32) for n in range(5)]
    rows = sequences_of(each, reference)
    places, shares = shared_out(rows, targets([each], "ce"), ranks=3, tokens=8)
    seen = {}
    for share, batches in zip(places, shares, strict=True):
        for indices, work in zip(share, batches, strict=False):
            for line, row in enumerate(indices):
                assert work.batch.old is not None
                seen[row] = float(work.target[line]), work.batch.old[line][work.batch.mask[line] > 0].tolist()
    assert seen == {n: ([1, 0, 0, 1, 0][n], [-n] * (n + 1)) for n in range(5)}


def test_a_rank_without_rollouts_has_an_idle_batch() -> None:
    each = labelled(group([1, 0]))
    _, shares = shared_out(sequences_of(each, None), targets([each], "ce"), ranks=3, tokens=100)
    assert [share[0].weight.sum() for share in shares].count(0) == 1 and all(len(share) == 1 for share in shares)


# --- rewards


def test_rewards_add_up_to_that_of_the_rollout() -> None:
    ratios = np.array([2.0, -1.0, 0.5], np.float32)
    token, whole = (token_rewards_of(ratios, BETA, kind) for kind in ("token", "whole"))
    assert token.values == pytest.approx([0.1, -0.05, 0.025]) and token.ends is None
    assert whole.values == pytest.approx([0, 0, 0.075]) and whole.ends is not None and whole.ends.tolist() == [0, 0, 1]
    assert [len(token_rewards_of(ratios[:0], BETA, kind).values) for kind in ("token", "whole")] == [0, 0]


def rows_of(*values: list[float]) -> dict[str, list[TokenRewards]]:
    return {"g": [TokenRewards(np.array(row, np.float32)) for row in values]}


def test_one_divisor_for_all_of_a_step() -> None:
    """Sums to come of 0.4, 0.3 and -0.3, -0.1, -0.1; the divisor is 0.4 whatever group a rollout is of."""
    step = rows_of([0.1, 0.3], [-0.2, 0.0, -0.1])
    scaled, divisor = normalised(step, floor=BETA)
    assert divisor == pytest.approx(0.4 + 1e-6) and largest_to_come(scaled) == pytest.approx(1 / (1 + 2.5e-6))
    larger, _ = normalised(rows_of([1, 3], [-2, 0, -1]), floor=BETA)
    for one, other in zip(scaled["g"], larger["g"], strict=True):
        assert one.values == pytest.approx(other.values, abs=1e-5)
    apart = {"a": step["g"][:1], "b": step["g"][1:]}
    assert normalised(apart, BETA)[0]["b"][0].values == pytest.approx(scaled["g"][1].values)


def test_rounding_is_not_blown_up() -> None:
    scaled, divisor = normalised(rows_of([1e-8, -2e-8]), floor=BETA)
    assert divisor >= BETA and largest_to_come(scaled) < 1e-6
    assert largest_to_come(normalised(rows_of([0, 0], []), floor=BETA)[0]) == 0
    assert normalised({}, floor=BETA)[0] == {}


def test_rewards_to_come_are_an_exponential_average() -> None:
    """``q_t = beta log E_ref exp(r / beta)`` over what may follow (arXiv 2412.01981, proposition 3.1): all texts of two
    tokens out of three are written out."""
    rng = np.random.default_rng(0)
    first, second = (rng.dirichlet(np.ones(3), size) for size in ((2,), (2, 3)))
    phi, reference = ({"first": first[n], "second": second[n]} for n in (0, 1))

    def logprob(model: Any, text: tuple[int, ...]) -> np.ndarray:
        return np.log([model["first"][text[0]], model["second"][text[0]][text[1]]])

    for start in range(3):
        ratio = {text: logprob(phi, text) - logprob(reference, text) for text in product((start,), range(3))}
        own = [float(token_rewards_of(found.astype(np.float32), BETA, "token").values[0]) for found in ratio.values()]
        average = sum(
            reference["second"][start][text[1]] * math.exp(BETA * found.sum() / BETA) for text, found in ratio.items()
        )
        assert own == pytest.approx([BETA * math.log(average)] * 3, abs=1e-6)


# --- metrics


def floats(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_pairwise_accuracy() -> None:
    outcomes = np.array([1, 0, 0, 1], np.float32)
    assert pairwise_accuracy([outcomes], [floats(3, 1, 2, 0)]) == 0.5
    assert pairwise_accuracy([outcomes], [floats(3, 1, 0, 2)]) == 1
    assert pairwise_accuracy([np.ones(3, np.float32)], [floats(3, 1, 0)]) == 0.5
    assert pairwise_accuracy([np.array([1, 0], np.float32)], [floats(0, 0)]) == 0.5, "a tie is half right"
    soft = np.array([1, 0.5, 0], np.float32)
    assert pairwise_accuracy([soft], [floats(1, 2, 0)]) == pytest.approx((0.5 + 1) / 2), "1 > 0.5 is wrong: half of 1/2"
    assert pairwise_accuracy([outcomes, soft], [floats(3, 1, 2, 0), floats(1, 2, 0)]) == pytest.approx(0.625)


@given(st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.integers(-3, 3)), min_size=2, max_size=6))
def test_pairwise_accuracy_pair_by_pair(rollouts: list[tuple[float, int]]) -> None:
    right = weight = 0.0
    for i, (label, reward) in enumerate(rollouts):
        for other, less in rollouts[:i]:
            apart = abs(label - other)
            good = (label - other) * (reward - less)
            right += apart * (1 if good > 0 else 0.5 if reward == less else 0)
            weight += apart
    found = pairwise_accuracy([np.array([o for o, _ in rollouts], np.float32)], [floats(*(r for _, r in rollouts))])
    assert found == pytest.approx(right / weight if weight else 0.5)


def test_a_prm_of_length_alone_is_found_out() -> None:
    """Wrong rollouts are the longer ones, but for a few pairs of like lengths, which it cannot tell apart."""
    outcomes, lengths = np.array([1, 1, 0, 0], np.float32), [10, 20, 21, 40]
    by_length = -np.array(lengths, np.float64)
    assert pairwise_accuracy([outcomes], [by_length]) == 1
    other = pairwise_accuracy([outcomes], [floats(0, 1, 2, 0)], [lengths])
    assert other == 0, "of the pair of 20 and 21 tokens alone"
    assert math.isnan(pairwise_accuracy([outcomes], [by_length], [[1, 2, 4, 8]])), "no two are alike"


def test_calibration_and_correlation() -> None:
    said = np.log(floats(0.25, 0.25, 0.25, 0.25) / floats(0.75, 0.75, 0.75, 0.75))
    assert calibration_error(floats(1, 0, 0, 0), said) == pytest.approx(0)
    assert calibration_error(floats(1, 1, 1, 1), said) == pytest.approx(0.75)
    assert correlation(floats(1, 2, 3), floats(2, 4, 6)) == pytest.approx(1)
    assert correlation(floats(1, 1, 1), floats(2, 4, 6)) == 0
    assert quality([], [], []) == {}


def test_quality_names_what_it_measures() -> None:
    each: LabelledGroup = labelled(group([1, 0, 0, 1]))
    found = quality([each.outcomes], [floats(1, -1, -1, 1)], [each.lengths])
    assert found["process/accuracy"] == found["process/accuracy_absolute"] == 1
    assert (found["process/reward_mean"], found["process/reward_spread"]) == (0, 1)
