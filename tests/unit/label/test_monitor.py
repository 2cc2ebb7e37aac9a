"""What the monitor tells of a step, against the same sums by hand, and what never leaves it."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.oracle.grading import Grading, alone
from effrl.config.schema import Config
from effrl.label.cag import advantage_gap, corrective_advantage_gap
from effrl.label.monitor import Compared, Watched, metrics
from effrl.label.oracle.vault import LabelVault
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.pool import Sandbox
from effrl.types import Prompt, Row, Score

MATH = Config.model_validate({"data": {"train": "tasks:chain"}, "reward": {"kind": "math"}}).reward


def group(name: str, answers: str, label: str | None, source: str | None, score: float, **grounds: float) -> Compared:
    """A group with one letter per answer, which is right where it is the label; clusters as votes would have them."""
    order = sorted(set(answers), key=lambda letter: (-answers.count(letter), answers.index(letter)))
    clusters = tuple(order.index(letter) for letter in answers)
    text, cut = tuple(answers), (False,) * len(answers)
    seen = Watched(name, name, {}, text, cut, clusters, source, {"score": score, **grounds})  # type: ignore[arg-type]
    return Compared(seen, tuple(letter == label for letter in answers))


STEP = [
    group("a", "aab", "b", "bought", 4.0, right=1),  # the vote is wrong, and one other is right
    group("b", "aab", "a", "vote", 3.0, right=1),
    group("c", "abb", "a", "vote", 2.0, right=0),
    group("d", "abc", None, None, 1.0, right=0),
]


def test_a_step_by_hand() -> None:
    gap = corrective_advantage_gap(3, 2, 1)
    assert [entry.gap for entry in STEP] == pytest.approx([gap, 0, gap, math.sqrt(3)])
    assert metrics(STEP) == pytest.approx(
        {
            "label/vote_accuracy": 1 / 4,
            "monitor/gate_precision": 1 / 2,
            "monitor/gate_recall": 1,
            "monitor/gate_f1": 2 / 3,
            "monitor/pseudo_accuracy": 3 / 6,
            "monitor/count_recall": (2 / 2 * 0 + 1 / 2 + 1 / 2) / 2,  # of 0: d but not b; of 1: a but not c
            "monitor/count_recall_positive": 1 / 2,
            "monitor/top_overlap_05": 1,
            "monitor/top_overlap_10": 1,
            "monitor/top_overlap_budget": 1,
            "monitor/bought_vote_right": 0,
            "monitor/bought_all_wrong": 0,
            "monitor/gap_captured": 1,
        }
    )


def test_what_was_owned_was_not_ranked() -> None:
    owned = Compared(replace(STEP[0].group, grounds={}), STEP[0].right)
    assert metrics([owned]) == {"label/vote_accuracy": 0}
    assert metrics([]) == {}


def test_a_reward_that_tells_no_answers_has_no_votes_to_be_right() -> None:
    blind = Compared(replace(STEP[0].group, clusters=(None,) * 3, source="gold", grounds={}), STEP[0].right)
    assert metrics([blind]) == {}


def test_equal_gaps_are_equally_good() -> None:
    """Of two groups with the largest gap, either may be at the top."""
    better = Compared(replace(STEP[2].group, source="bought", grounds={"score": 9.0}), STEP[2].right)
    found = metrics([Compared(replace(STEP[0].group, source=None), STEP[0].right), better])
    assert found["monitor/top_overlap_budget"] == found["monitor/gap_captured"] == 1


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=16))
def test_the_gap_by_definition_is_the_closed_form(rollouts: list[tuple[int, bool]]) -> None:
    """Property 1 of the paper's numbers: any group whose right rollouts are not of the majority."""
    votes = [cluster == 0 for cluster, _ in rollouts]
    right = [found and not vote for (_, found), vote in zip(rollouts, votes, strict=True)]
    if sum(votes) in (0, len(votes)):
        assert advantage_gap(votes, votes) == 0
        return
    expected = corrective_advantage_gap(len(votes), sum(votes), sum(right))
    assert advantage_gap(right, votes) == pytest.approx(expected, abs=1e-9) == advantage_gap(votes, right)


def test_grades_are_the_verifier_s_and_are_given_once() -> None:
    vault, calls = LabelVault([Row(Prompt("p", "1+1=?"), "2"), Row(Prompt("q", "?"), None)]), 0
    there = Watched("1/p", "p", {}, ("\\boxed{2}", "\\boxed{3}", "so 2.0: \\boxed{2.0}"), (False,) * 3, (0, 1, 0))
    unknown = replace(there, group_id="1/q", prompt_id="q")
    with Sandbox(alone(MATH), []) as sandbox:

        def verifier(tasks: Sequence[ScoringTask]) -> list[Score]:
            nonlocal calls
            calls += 1
            return sandbox.score(tasks)

        grading = Grading(lambda: verifier)
        graded, nothing = grading.grade(vault, [there, unknown])
        assert graded == Compared(there, (True, False, True)) and nothing is None
        assert grading.grade(vault, [there]) == [graded] and calls == 1
        told = replace(there, group_id="2/p", right=(False, False, True), completions=())
        assert grading.grade(vault, [told]) == [Compared(told, (False, False, True))], (
            "the reward has scored it already"
        )
        grading.grade(vault, [replace(there, group_id="1/p")])
        assert calls == 2, "only the last call's groups are remembered"
