"""EMPO: the numbers of the method."""

import numpy as np
import pytest
from label_free import advantages, judged
from reads import answered

from effrl.config.schema import Config
from effrl.label.empo import EmpoLabeller, semantic_entropy
from effrl.types import Decision

OPEN, GATED = EmpoLabeller((0.0, 1.01)), EmpoLabeller((0.0, 0.75))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        ("aaaabbcd", [0.900098] * 4 + [-0.540059] * 2 + [-1.260137] * 2),
        ("aaaaaabb", [0.54006] * 6 + [-1.62018] * 2),  # two clusters: the vote's own advantages
        ("aaaabbbb", [0] * 8),  # where the vote prefers the first
        ("aabbccdd", [0] * 8),
        ("aaabbbcc", [0.540052] * 6 + [-1.620157] * 2),
        ("aaaabbc_", [0.860452] * 4 + [-0.391114] * 2 + [-1.016898, -1.642681]),
    ],
)
async def test_advantages_of_the_method(answers: str, expected: list[float]) -> None:
    found = await advantages(OPEN, "sample", *(None if letter == "_" else letter for letter in answers))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("answers", "entropy", "reason"),
    [
        ("aaaabbcd", 1.213008, ""),
        ("aabbccdd", 1.386294, ""),
        ("aabcdefg", 1.906155, "its answers differ too much"),
        ("aaaaaaaa", 0.0, "its answers differ too little"),
    ],
)
async def test_the_gate(answers: str, entropy: float, reason: str) -> None:
    """0.75 ln 8 is 1.559581."""
    found = await judged(GATED, *answers)
    assert found.grounds["entropy"] == pytest.approx(entropy, abs=1e-6)
    assert (found.decision, found.reason) == (Decision.DROP if reason else Decision.USE, reason)


async def test_no_answer_at_all_is_no_vote() -> None:
    assert (await judged(OPEN, None, None)).reason == "no answer to vote on"


def test_a_missing_answer_is_one_of_its_own() -> None:
    assert semantic_entropy(answered("p", "a", "a", None, None)) == semantic_entropy(answered("p", "a", "a", "b", "c"))


def test_a_gate_that_lets_nothing_pass_is_refused() -> None:
    with pytest.raises(ValueError, match="lets no group pass"):
        Config.model_validate({"data": {"train": "tasks:chain"}, "label": {"kind": "empo", "gate": [0.5, 0.5]}})
