"""The corrective advantage gap: the closed form against its definition, and the spec's properties."""

from math import isclose, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.label.cag import corrective_advantage_gap


def by_definition(n: int, votes: int, right: int) -> float:
    """The distance of two advantage vectors, written out: the first rollouts vote, the last are right."""
    pseudo = np.array([1.0] * votes + [0.0] * (n - votes))
    true = np.array([0.0] * (n - right) + [1.0] * right)
    return float(np.linalg.norm(_advantages(true) - _advantages(pseudo)))


def _advantages(rewards: np.ndarray) -> np.ndarray:
    spread = rewards.std()
    return np.zeros_like(rewards) if spread < 1e-8 else (rewards - rewards.mean()) / spread


@given(st.integers(2, 32).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n - 1))), st.data())
def test_the_closed_form_is_the_definition(sizes: tuple[int, int], data: st.DataObject) -> None:
    n, votes = sizes
    right = data.draw(st.integers(0, n - votes))
    assert isclose(corrective_advantage_gap(n, votes, right), by_definition(n, votes, right), abs_tol=1e-9)


def test_range() -> None:
    """Between √n and 2√n where a wrong vote is not unanimous; the largest where everybody votes or is right."""
    assert corrective_advantage_gap(8, 4, 4) == 2 * sqrt(8)
    assert corrective_advantage_gap(8, 5, 3) == pytest.approx(2 * sqrt(8))
    assert corrective_advantage_gap(8, 5, 0) == sqrt(8)
    assert corrective_advantage_gap(8, 3, 4) == pytest.approx(5.3286, abs=5e-5), "right in two ways, nobody knew it"
    assert sqrt(8) < corrective_advantage_gap(8, 5, 1) < 2 * sqrt(8)


@pytest.mark.parametrize(("votes", "right"), [(8, 0), (0, 0), (0, 4), (4, 5), (6, 3), (2, -1), (9, 0)])
def test_unanimous_and_impossible_groups_cost_nothing(votes: int, right: int) -> None:
    assert corrective_advantage_gap(8, votes, right) == 0.0
