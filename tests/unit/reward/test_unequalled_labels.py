"""Labels that no answer can equal, and those that look odd and are answers all the same."""

import pytest

from effrl.acceptable import joined
from effrl.config.reward import ChoiceReward, ExactReward, MathReward, RegexReward, TaskReward
from effrl.reward.labels import trouble

BRACES = "it has braces that do not match"
MISSING = "is what programs write where there is no value"
PROSE = "it is prose with no final answer marked: end it with #### and the answer"
NOTHING = "there is neither a letter nor a digit in it"


@pytest.mark.parametrize(
    ("label", "problem"),
    [
        ("None", f"None {MISSING}"),
        ("nan", f"nan {MISSING}"),
        (" NaN ", f"NaN {MISSING}"),
        ("null", f"null {MISSING}"),
        ("<NA>", f"<NA> {MISSING}"),
        ("[]", f"[] {MISSING}"),
        ("We have 3 apples, and get nine more, so $3+9=12$.", PROSE),
        ("He sold 48 clips in April and 24 clips in May, that is 72 clips.", PROSE),
        ("The area is $\\pi r^2$, so that the answer to the question is $4\\pi$.", PROSE),
        ("First, we note that x = 3 and hence 2x = 6.", PROSE),
        ("\\frac{", BRACES),
        ("\\frac{1}{", BRACES),
        ("\\frac{1}{2}}", BRACES),
        ("}1{", BRACES),
        ("\\sqrt{2", BRACES),
        ("#### \\frac{1}{", BRACES),
        ("\\left(1,2)", "it has a \\left without its other end"),
        ("\\begin{pmatrix} 1 \\\\ 2", "it has a \\begin without its other end"),
        ("x^", "it ends with an operator"),
        ("12 =", "it ends with an operator"),
        ("???", NOTHING),
        ("-", NOTHING),
        ("$$", NOTHING),
    ],
)
def test_no_answer_can_equal_it(label: str, problem: str) -> None:
    assert trouble(MathReward(), label) == problem


@pytest.mark.parametrize(
    "label",
    [
        "42",
        "$42$",
        "\\frac{1}{2}",
        "\\{1,2\\}",
        "\\left(0,\\infty\\right)",
        "[0,1)",
        "∞",
        "∅",
        "\\emptyset",
        "\\infty",
        "Yes",
        "A+",
        "C++",
        "New York",
        "\\text{the set of all real numbers}",
        "3 hours, 20 minutes and 5 seconds",
        "5 feet and 3 inches",
        "x = 3 \\text{ and } y = 4",
        "He sold 48 clips in April and 24 clips in May, that is 72.\n#### 72",
        "So, by what we know, it is $3+9=12$: \\boxed{12}",
        "Nancy",
        "Nan",
        "none of them",
        "\\begin{pmatrix} 1 \\\\ 2 \\end{pmatrix}",
        "\\leftarrow",
        "\\text{even}",
        "2x+3",
        "5!",
        "42.",
        "\\$5",
        "10\\%",
        "No solution exists for any real x",
        "You are what you eat when you are at home.",
        "y = 2x + 3",
        "\\left\\{ 1 \\right.",
    ],
)
def test_it_is_an_answer(label: str) -> None:
    assert trouble(MathReward(), label) is None


def test_text_may_be_anything_but_missing() -> None:
    for reward in (ExactReward(), RegexReward(pattern="(.*)")):
        assert trouble(reward, "\\frac{") is None
        assert trouble(reward, "None") == f"None {MISSING}"


def test_options() -> None:
    assert trouble(ChoiceReward(), "(B) Paris") is None
    assert trouble(ChoiceReward(), "Paris") == "it is none of the options ABCD"
    assert trouble(ChoiceReward(letters="AB"), "C") == "it is none of the options AB"


def test_nothing_is_known_of_the_labels_of_tasks_and_of_functions_of_ones_own() -> None:
    assert trouble(TaskReward(), "null") is None
    assert trouble(None, "None") is None


def test_each_alternative_is_an_answer() -> None:
    assert trouble(MathReward(), joined(["1/2", "0.5"])) is None
    assert trouble(MathReward(), joined(["1/2", "\\frac{"])) == BRACES
