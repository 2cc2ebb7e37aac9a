import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from math_verify import parse, verify

from effrl.errors import UserError
from effrl.protocols import Verdict
from effrl.reward import verifiers
from effrl.types import Status

patiently = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
PLUGINS = Path(__file__).parents[2] / "plugins"


@pytest.mark.parametrize(
    ("answer", "gold", "equal"),
    [
        ("72", "72", True),
        ("72", "73", False),
        ("-72", "72", False),
        ("72.0", "72", True),
        ("72.", "72", True),
        ("072", "72", True),
        ("-0", "0", True),
        ("1,000", "1000", True),
        ("1000", "1,000", True),
        ("12,345,678", "12345678", True),
        ("2,125", "2.125", False),
        ("$18", "18", True),
        ("\\$18", "18", True),
        ("$18", "8", False),
        ("$18", "1", False),
        ("$1,000.00", "1000", True),
        ("1/2", "0.5", True),
        ("\\frac{1}{2}", "0.5", True),
        ("\\frac{1}{3}", "0.333333", True),
        ("x=3", "3", True),
        ("\\text{cat}", "\\text{cat}", True),
        ("(1, 2)", "(1,2)", True),
        ("[1, 2]", "(1,2)", False),
        ("x^2+2x+1", "(x+1)^2", True),
        ("99999999999999999999", "99999999999999999998", False),
        ("5 or 6", "6", False),
        ("the answer is 6", "6", False),
    ],
)
def test_math_equivalence(answer: str, gold: str, equal: bool) -> None:
    assert verifiers.math(f"so \\boxed{{{answer}}}", gold, {}) == Verdict(float(equal), answer)


@pytest.mark.parametrize(
    "answer", ["12+34", "12 + 34", "50-4", "2*23", "2 \\times 23", "23\\cdot 2", "(40)+(6)", "-4+50"]
)
def test_repeating_the_question_is_no_answer(answer: str) -> None:
    """math-verify works it out; a policy could then leave the work to the verifier."""
    assert verifiers.math(f"#{answer}", "46", {}).outcome == 0


@pytest.mark.parametrize(
    ("answer", "gold"),
    [("3 \\times 10^5", "300000"), ("7/2", "3.5"), ("12+34=46", "46"), ("2+x", "x+2"), ("1-5", "1-5")],
)
def test_arithmetic_that_is_an_answer(answer: str, gold: str) -> None:
    assert verifiers.math(f"\\boxed{{{answer}}}", gold, {}).outcome == 1


def test_a_worked_solution_is_a_label() -> None:
    assert verifiers.math("#### 72", "He sold 48+24 = 72.\n#### 72", {}) == Verdict(1.0, "72")
    assert verifiers.exact("#72", "12+60=72;#72", {}) == Verdict(1.0, "72")


def test_exact_compares_text() -> None:
    assert verifiers.exact("#72 ", " 72", {}) == Verdict(1.0, "72")
    assert verifiers.exact("#72.0", "72", {}) == Verdict(0.0, "72.0")


@pytest.mark.parametrize("reward", [verifiers.math, verifiers.exact])
def test_no_answer(reward: verifiers.Reward) -> None:
    assert reward("The answer is 72.", "72", {}) == Verdict(0.0, None, Status.UNPARSEABLE)


@pytest.mark.parametrize("reward", [verifiers.math, verifiers.exact])
@pytest.mark.parametrize("label", [None, "", "  "])
def test_a_missing_label_is_an_error_and_no_score(reward: verifiers.Reward, label: str | None) -> None:
    with pytest.raises(ValueError, match="no label"):
        reward("#72", label, {})


def test_an_endless_answer_is_wrong_at_once() -> None:
    assert verifiers.math(f"\\boxed{{{'x' * 100_000}}}", "72", {}).outcome == 0


def _judged_by_the_library(answer: str, gold: str) -> bool:
    left, right = (parse(f"\\boxed{{{text}}}", parsing_timeout=None) for text in (gold, answer))
    return bool(verify(left, right, timeout_seconds=None))


INTEGERS = st.builds(
    "{}{}{}".format, st.sampled_from(["", "-"]), st.sampled_from(["", "0", "00"]), st.integers(0, 10**17)
)


@patiently
@given(INTEGERS, INTEGERS, st.booleans())
def test_the_fast_path_says_what_the_library_says(answer: str, gold: str, same: bool) -> None:
    gold = answer if same else gold
    assert verifiers.equivalent(answer, gold) == _judged_by_the_library(answer, gold)


@patiently
@given(st.text("0123456789.,-$%/x()= ", min_size=1, max_size=12), st.integers(-999, 999))
def test_any_answer_is_judged(answer: str, gold: int) -> None:
    """A policy must not get a rollout left out by writing what upsets the verifier."""
    assert verifiers.equivalent(answer, str(gold)) in (True, False)


def test_load_finds_the_built_in_ones() -> None:
    assert verifiers.load("math") is verifiers.math
    assert verifiers.load("exact") is verifiers.exact


def test_load_follows_an_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))
    assert verifiers.load("rewards:constant")("", None, {}) == 0.5


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("maths", "'maths' is none of math, exact"),
        ("no_such_module:f", "no module named 'no_such_module'"),
        ("rewards.deep:f", "no module named 'rewards.deep'"),
        ("rewards:constnat", "has no function 'constnat'; did you mean 'constant'"),
        ("rewards:not_callable", "not_callable is int, not a function"),
        ("broken_reward:f", "RuntimeError: the dictionary is missing"),
    ],
)
def test_load_says_what_is_wrong(kind: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))
    with pytest.raises(UserError, match=message) as caught:
        verifiers.load(kind)
    assert "\n" not in str(caught.value)


def test_heavy_libraries_are_not_imported() -> None:
    code = (
        "import sys, effrl.reward.sandbox, effrl.reward.worker;"
        "sys.exit(' '.join({'ray', 'vllm', 'deepspeed', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip() == ""
