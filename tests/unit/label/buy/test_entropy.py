"""The entropy of a group's answers, by hand."""

from collections.abc import Sequence

import pytest
from reads import answered, step_of

from effrl.label.buy.entropy import EntropyBuyer, answer_entropy
from effrl.label.halves import Candidate
from effrl.types import View


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [([4, 2, 1, 1], 1.21301), ([3, 3, 2], 1.08220), ([8], 0.0), ([1] * 8, 2.07944), ([], 0.0)],
)
def test_entropy_by_hand(sizes: Sequence[int], expected: float) -> None:
    """Property 18."""
    assert answer_entropy(sizes) == pytest.approx(expected, abs=5e-6)


async def test_who_has_no_answer_does_not_count() -> None:
    """Property 18: [4, 2, 1, 1] with and without others."""
    groups = [answered("a", *"aaaabbcd"), answered("b", *"aaaabbcd", None, None)]
    ranks = await EntropyBuyer().rank(step_of(1), [Candidate(read, View()) for read in groups])
    assert [rank.score for rank in ranks] == pytest.approx([1.21301] * 2, abs=5e-6)
