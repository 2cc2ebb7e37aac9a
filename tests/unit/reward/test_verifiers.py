import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from math_verify import parse, verify

from effrl.config.reward import (
    ChoiceReward,
    ExactReward,
    MathReward,
    PluginReward,
    PluginVerifier,
    SumPart,
    SumReward,
    TaskReward,
)
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


NUMBERS = st.one_of(
    st.integers(-99, 99).map(str),
    st.builds("{}/{}".format, st.integers(-20, 20), st.integers(0, 9)),
    st.builds("\\frac{{{}}}{{{}}}".format, st.integers(-20, 20), st.integers(1, 9)),
    st.builds("{}\\sqrt{{{}}}".format, st.integers(1, 9), st.integers(0, 50)),
    st.floats(-2, 2).map("{:.6f}".format),
    st.builds("{}\\%".format, st.integers(0, 120)),
    st.builds("{}^{{{}}}".format, st.integers(-3, 9), st.integers(-3, 6)),
    st.sampled_from(["\\pi", "e", "i", "3.141593", "2.718282", "\\infty", "0.5", "50", "1/0", "2i", "\\frac{2x}{x}"]),
)


@settings(deadline=None, max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(NUMBERS, NUMBERS, st.booleans())
def test_numbers_that_are_far_apart_are_what_the_library_calls_different(answer: str, gold: str, same: bool) -> None:
    gold = answer if same else gold
    if verifiers.told_at_once(answer, gold) is None:
        assert verifiers.equivalent(answer, gold) == _judged_by_the_library(answer, gold)


@patiently
@given(st.text("0123456789.,-$%/x()= ", min_size=1, max_size=12), st.integers(-999, 999))
def test_any_answer_is_judged(answer: str, gold: int) -> None:
    """A policy must not get a rollout left out by writing what upsets the verifier."""
    assert verifiers.equivalent(answer, str(gold)) in (True, False)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("12+34", "46", 1),  # in one direction it leaves the work to the verifier
        ("1/2", "0.5", 1),
        ("1/2", "1/3", 0),
        ("x=3", "3", 1),
        ("2x+z=1", "1", 1),  # of an answer the right side counts, of a label the equation
        ("x<2", "(-\\infty,2)", 1),
        ("act", "cat", 0),
        ("\\frac{", "7", 0),
        ("\\frac{", "\\frac{", 1),
    ],
)
def test_two_answers_are_the_same_whichever_is_the_label(one: str, other: str, expected: float) -> None:
    assert verifiers.same(one, other, {}) == verifiers.same(other, one, {}) == expected


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(
    NUMBERS | st.sampled_from(["(1,2)", "[1,2]", "\\{1,2\\}", "1,2", "x+1", "1+x", "5 apples", "\\text{cat}", "cat"]),
    NUMBERS | st.sampled_from(["(1,2)", "[1,2]", "\\{2,1\\}", "2,1", "x+1", "2x", "5", "\\emptyset", "act"]),
)
def test_without_a_relation_the_library_takes_no_side(one: str, other: str) -> None:
    """So that one direction is enough."""
    if verifiers.told_at_once(one, other) is None and verifiers.told_at_once(other, one) is None:
        assert verifiers.equivalent(one, other) == verifiers.equivalent(other, one)


@pytest.mark.parametrize("label", ["B", "b", "(B)", "B. Paris", "It is Paris.\n#### B"])
def test_choice(label: str) -> None:
    reward = verifiers.load(ChoiceReward())
    assert reward("Not A. The answer is (B).", label, {}) == Verdict(1.0, "B")
    assert reward("The answer is C.", label, {}) == Verdict(0.0, "C")
    assert reward("A or B", label, {}) == Verdict(0.0, None, Status.UNPARSEABLE)


def test_a_label_that_is_no_option_is_an_error_and_no_score() -> None:
    with pytest.raises(ValueError, match="the label 'Paris' is none of the options ABCD"):
        verifiers.choice("B", "Paris", {}, letters="ABCD")
    with pytest.raises(ValueError, match="the label 'E' is none of the options ABCD"):
        verifiers.choice("B", "E", {}, letters="ABCD")


@pytest.mark.parametrize(
    ("completion", "normalise", "verdict"),
    [
        ("Answer: Paris", False, Verdict(1.0, "Paris")),
        ("Answer: Rome\nAnswer: Paris ", False, Verdict(1.0, "Paris")),
        ("Answer: Paris\nAnswer: ", False, Verdict(1.0, "Paris")),  # blank answers do not count
        ("Answer: paris.", False, Verdict(0.0, "paris.")),
        ("Answer: paris.", True, Verdict(1.0, "paris")),
        ("Answer:   PARIS .", True, Verdict(1.0, "paris")),
        ("Paris", True, Verdict(0.0, None, Status.UNPARSEABLE)),
        ("Answer: .", True, Verdict(0.0, None, Status.UNPARSEABLE)),
    ],
)
def test_regex(completion: str, normalise: bool, verdict: Verdict) -> None:
    assert verifiers.regex(completion, "Paris", {}, pattern="Answer:(.*)", normalise=normalise) == verdict


@patiently
@given(st.text("ab .\n", max_size=9), st.text("abAB. ", max_size=9).filter(lambda text: text.strip(" .")))
def test_what_a_pattern_captures_is_right_for_its_own_label(prose: str, answer: str) -> None:
    for normalise in (False, True):
        verdict = verifiers.regex(f"{prose}<{answer}>{prose}", answer, {}, pattern="<([^>]*)>", normalise=normalise)
        assert verdict.outcome == 1


def test_a_format_is_that_of_the_whole_completion() -> None:
    pattern = "<think>.*</think>.+"
    texts = ["<think>a\nb</think>1", "<think></think>", "so: <think>a</think>1", "<think>a</think>\n1\n"]
    assert [verifiers.in_format(text, None, {}, pattern=pattern) for text in texts] == [1, 0, 0, 1]


def part(outcome: Verdict | float, weight: float) -> tuple[float, verifiers.Reward]:
    return weight, lambda completion, label, meta: outcome


NO_ANSWER, TIMEOUT = Verdict(0.0, None, Status.UNPARSEABLE), Verdict(0.0, None, Status.TIMEOUT)


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([part(1.0, 3), part(0.0, 1)], Verdict(0.75)),
        ([part(Verdict(1.0, "46"), 0.8), part(0.5, 0.2)], Verdict(0.9, "46")),
        ([part(1.0, 0.1), part(1.0, 0.2), part(1.0, 0.3)], Verdict(1.0)),
        ([part(NO_ANSWER, 3), part(1.0, 1)], Verdict(0.25)),
        ([part(NO_ANSWER, 3), part(NO_ANSWER, 1)], NO_ANSWER),
        ([part(1.0, 3), part(TIMEOUT, 1)], TIMEOUT),
        ([part(0.5, 7)], Verdict(0.5)),
    ],
)
def test_a_sum_by_hand(parts: list[tuple[float, verifiers.Reward]], verdict: Verdict) -> None:
    found = verifiers.total("", "46", {}, parts=parts)
    assert (pytest.approx(found.outcome), found.answer, found.status) == (
        verdict.outcome,
        verdict.answer,
        verdict.status,
    )


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(1e-3, 1e3)), min_size=1, max_size=6))
def test_a_sum_stays_within_its_parts(parts: list[tuple[float, float]]) -> None:
    """And so in [0, 1], which the worker checks: rounding must not make an error of a right answer."""
    outcomes = [outcome for outcome, _ in parts]
    found = verifiers.total("", "46", {}, parts=[part(outcome, weight) for outcome, weight in parts])
    assert min(outcomes) == pytest.approx(found.outcome) or min(outcomes) < found.outcome
    assert 0 <= found.outcome <= max(outcomes) * (1 + 1e-12) + 1e-300  # of subnormal numbers half may be lost
    assert verifiers.total("", "", {}, parts=[part(1.0, weight) for _, weight in parts]).outcome == 1


def test_a_part_that_returns_nonsense_is_an_error() -> None:
    for nonsense in (1.5, "1", None):
        with pytest.raises((TypeError, ValueError), match="returned"):
            verifiers.total("", "46", {}, parts=[part(1.0, 1), part(nonsense, 1)])  # type: ignore[arg-type]


def test_a_sum_of_a_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))
    own = PluginVerifier(kind="rewards:constant")
    config = SumReward(parts=(SumPart(reward=own, weight=1), SumPart(reward=MathReward(), weight=3)))
    asked = verifiers.functions(config)
    assert asked.keys() == {"outcome", "answer", "same"}
    assert asked["outcome"]("#46", "46", {}) == Verdict(0.875, "46")
    assert asked["answer"]("#46", "46", {}) == Verdict(1.0, "46"), "votes are about the part that tells answers"


def test_load_finds_the_built_in_ones() -> None:
    assert verifiers.load(MathReward()) is verifiers.math
    assert verifiers.load(ExactReward()) is verifiers.exact
    assert verifiers.load(TaskReward()) is verifiers.task


def test_load_follows_an_import_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(PLUGINS))
    assert verifiers.load(PluginReward(kind="rewards:constant"))("", None, {}) == 0.5


@pytest.mark.parametrize(
    ("kind", "message"),
    [
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
        verifiers.load(PluginReward(kind=kind))
    assert "\n" not in str(caught.value)


def test_heavy_libraries_are_not_imported() -> None:
    code = (
        "import sys, effrl.reward.sandbox.pool, effrl.reward.sandbox.worker;"
        "sys.exit(' '.join({'ray', 'vllm', 'deepspeed', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.strip() == ""
