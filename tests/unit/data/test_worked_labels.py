"""Labels with work: which they are, and that the built-in tasks can have them and are graded alike."""

import pytest

from effrl.config.load import source
from effrl.data.labels import has_work
from effrl.data.reader import read
from effrl.data.survey import survey
from effrl.reward.verifiers import task


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("5+13=18 eggs.\n#### 18", True),
        ("We add: $5+13=18$, so the answer is \\boxed{18}.", True),
        ("5-7=-2;-2-3=-5;#-5", True),
        ("#### 18", False),
        ("18", False),
        ("The answer is $\\boxed{18}$", False),
        ("Anna has 18 apples", False),
    ],
)
def test_work_is_what_stands_before_a_marked_answer(label: str, expected: bool) -> None:
    assert has_work(label) is expected


@pytest.mark.parametrize("family", ["chain", "strings", "brackets", "knights", "ladder"])
def test_solutions_are_labels_that_grade_as_their_answers_do(family: str) -> None:
    pairs = zip(
        read(source(f"tasks:{family}?size=12")), read(source(f"tasks:{family}?size=12&labels=solutions")), strict=True
    )
    for bare, worked in pairs:
        assert bare.prompt == worked.prompt and worked.label.endswith(f"#{bare.label}")
        for completion in (worked.label, f"#{bare.label}", "#nothing"):
            verdicts = [task(completion, row.label, row.prompt.meta).outcome for row in (bare, worked)]
            assert verdicts[0] == verdicts[1] == float(completion != "#nothing")


def test_a_survey_counts_them() -> None:
    found = survey(source("tasks:chain?size=20&labels=solutions"), work=True)
    assert found.worked == found.labelled == 20 and found.mostly_worked
    assert not survey(source("tasks:chain?size=20"), work=True).mostly_worked
