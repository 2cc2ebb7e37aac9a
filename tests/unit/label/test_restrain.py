"""RESTRAIN: the numbers of the method, and the sum over pseudo-labels that they stand for."""

from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from label_free import advantages, judged
from reads import answered

from effrl.config.label_free import RestrainLabel
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.label.restrain import RestrainLabeller, read_shares, rewards, trust

OURS = RestrainLabeller(RestrainLabel())


def letters(answers: str) -> list[str | None]:
    return [None if letter == "_" else letter for letter in answers]


@pytest.mark.parametrize(
    ("answers", "width", "expected"),
    [
        ("aaaabbcd", 0.5, [0.187438] * 4 + [-0.152303] * 2 + [-0.222573] * 2),
        ("aaaabbc_", 0.5, [0.294002] * 4 + [-0.109771] * 2 + [-0.193285, -0.763180]),
        ("aaaaaabb", 0.5, [0.266803] * 6 + [-0.800410] * 2),
        ("aaaaaabb", 0.1, [0.577350] * 6 + [-1.732051] * 2),  # the majority vote
        ("aaaaaaaa", 0.5, [0] * 8),
        ("abcdefgh", 0.5, [-0.5] * 8),  # penalised, and not 0
    ],
)
async def test_advantages_of_the_method(answers: str, width: float, expected: list[float]) -> None:
    found = await advantages(RestrainLabeller(RestrainLabel(width=width)), "none", *letters(answers))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_weights_of_the_method() -> None:
    worth = rewards(answered("p", *"aaaabbcd"), 1.0, 0.5)
    weights = [worth[place] * sqrt(share * (1 - share)) for place, share in ((0, 0.5), (4, 0.25), (6, 0.125))]
    assert weights == pytest.approx([0.444764, 0.238065, 0.158585], abs=1e-6)
    assert [trust(share, 1.0, 0.5) for share in (1, 0.5, 0.25, 0.125)] == pytest.approx(
        [1, 0.606531, 0.324652, 0.216265], abs=1e-6
    )


@given(st.text("abcd_", min_size=2, max_size=12), st.floats(0.2, 2.0))
def test_rewards_stand_for_a_sum_over_pseudo_labels(answers: str, width: float) -> None:
    """Each answer as the truth in turn, GRPO's advantages weighed and summed."""
    present = sorted(set(answers) - {"_"})
    shares = {letter: answers.count(letter) / len(answers) for letter in present}
    total = sum(trust(share, 1.0, width) for share in shares.values())
    expected = np.zeros(len(answers))
    for letter, share in shares.items():
        right = np.array([other == letter for other in answers], float)
        if share < 1:
            expected += trust(share, 1.0, width) / total * (right - right.mean()) / right.std()
    found = np.array(rewards(answered("p", *letters(answers)), 1.0, width))
    np.testing.assert_allclose(found - found.mean(), expected, atol=1e-9)


async def test_no_answer_at_all_is_no_doubt() -> None:
    assert (await judged(OURS, None, None)).reason == "no answer to vote on"


@pytest.mark.parametrize(
    ("answers", "penalised"), [("aabcdefg", False), ("abcdefg_", True), ("aabcdefghijklmno", True)]
)
async def test_doubt_begins_at_three_sixteenths(answers: str, penalised: bool) -> None:
    found = await judged(OURS, *letters(answers))
    assert found.supervision is not None
    assert found.supervision.offset == (-0.5 if penalised else 0)


@pytest.mark.parametrize(("kappa", "penalised"), [(3, False), (4, True)])
async def test_doubt_begins_where_you_say(kappa: int, penalised: bool) -> None:
    found = await judged(RestrainLabeller(RestrainLabel(kappa=kappa, penalty=0.2)), *letters("aaabbcde"))
    assert found.supervision is not None
    assert found.supervision.offset == (-0.2 if penalised else 0)
    assert found.grounds == {"votes": 3}


async def test_prompts_count_by_the_votes_of_the_initial_model(tmp_path: Path) -> None:
    file = tmp_path / "shares.jsonl"
    file.write_text('{"prompt_id": "p", "share": 0.5}\n')
    labeller = RestrainLabeller(RestrainLabel(reference=file), read_shares(file))
    found = await judged(labeller, *"aaab")
    assert found.supervision is not None and found.supervision.weight == pytest.approx(0.606531, abs=1e-6)
    with pytest.raises(UserError, match="has no prompt p: make it of all prompts"):
        await judged(RestrainLabeller(RestrainLabel(reference=file), {}), *"aaab")


@pytest.mark.parametrize("content", [None, "no json", '{"prompt_id": "p"}', "[]"])
def test_a_reference_that_is_none(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "shares.jsonl"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=r"shares\.jsonl \(label\.reference\).*effrl labels probe"):
        read_shares(file)


@pytest.mark.parametrize("advantage", [{}, {"kind": "reinforce_pp"}, {"kind": "gae"}])
def test_its_rewards_are_not_scaled_again(advantage: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"set advantage=\{kind: grpo, std: none\}"):
        Config.model_validate({"data": {"train": "tasks:chain"}, "label": {"kind": "restrain"}, "advantage": advantage})


def test_a_kappa_that_no_group_reaches_is_refused() -> None:
    label, advantage = {"kind": "restrain", "kappa": 9}, {"std": "none"}
    with pytest.raises(ValueError, match=r"label\.kappa \(9\) asks for more votes than"):
        Config.model_validate({"data": {"train": "tasks:chain"}, "label": label, "advantage": advantage})
