"""Several acceptable answers in one label: written, split and shown."""

import pytest

from effrl.acceptable import alternatives, joined, listed


@pytest.mark.parametrize("answers", [["18"], ["1/2", "0.5"], ["a", "b", "c"], ["1 | 2", "3"]])
def test_what_is_joined_is_split_again(answers: list[str]) -> None:
    assert alternatives(joined(answers)) == tuple(answers)


def test_a_label_of_one_answer_is_that_answer() -> None:
    assert joined(["18"]) == "18"
    assert joined(["18", "18"]) == "18"


def test_a_label_is_shown_with_bars() -> None:
    assert listed(joined(["1/2", "0.5"])) == "1/2 | 0.5"
    assert listed("18") == "18"
