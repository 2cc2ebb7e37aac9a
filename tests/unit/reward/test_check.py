"""What ``effrl reward check`` makes of sound and of broken rewards."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from effrl.acceptable import alternatives, joined
from effrl.config.reward import AnyReward, ChoiceReward, ExactReward, MathReward, PluginReward, RegexReward
from effrl.errors import RunError
from effrl.protocols import Reward
from effrl.reward import verifiers
from effrl.reward.check import FORMS, Check, Trial, check
from effrl.reward.probes import probes
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.worker import judge
from effrl.types import Prompt, Row, Score, Status

OWN = PluginReward(kind="my:own")
PROBE = {probe.name: probe for probe in probes(None)}
"""Of a function of the user's own."""
SUMS = ("12", "-5", "1200", "0", "3.5")


def rows(*labels: str, prompt: str = "What is it, {n}?") -> list[tuple[str, Row]]:
    return [(f"rows.jsonl:{n + 1}", Row(Prompt(f"p{n}", prompt.format(n=n)), label)) for n, label in enumerate(labels)]


def checked(reward: Reward, labels: Sequence[str] = SUMS, config: AnyReward = OWN, form: str | None = None) -> Check:
    return check(config, rows(*labels), lambda tasks: [judge(reward, task) for task in tasks], form)


def unexpected(found: Check) -> dict[str, int]:
    """Unexpected verdicts by probe, of those that have some."""
    counts = {probe.name: sum(trial.unexpected for trial in found.of(probe)) for probe in found.probes}
    return {name: count for name, count in counts.items() if count}


def right(found: Check, name: str) -> int:
    return sum(trial.right for trial in tried(found, name))


def tried(found: Check, name: str) -> list[Trial]:
    [probe] = [probe for probe in found.probes if probe.name == name]
    return found.of(probe)


@pytest.mark.parametrize(
    ("config", "labels"),
    [
        (MathReward(), SUMS),
        (MathReward(), ("12 + 3 = 15\n#### 15", "\\frac{1}{2}", "(1,2)")),
        (ChoiceReward(), ("A", "(C)", "D. Oslo")),
        (ChoiceReward(letters="AB"), ("A", "B")),
        (RegexReward(pattern="Answer: (.*)"), ("Paris", "Rome", "7")),
    ],
)
def test_the_built_in_rewards_say_nothing_unexpected(config: AnyReward, labels: tuple[str, ...]) -> None:
    found = checked(verifiers.load(config), labels, config)
    assert unexpected(found) == {}
    assert found.failures() == []
    assert right(found, "gold") == len(labels)


def test_the_form_that_a_reward_reads_is_found() -> None:
    for form in FORMS:
        before, _, after = form.partition("{answer}")
        reward = lambda text, label, meta, a=before, b=after: float(text == a + label + b)  # noqa: E731
        assert checked(reward).form == form


def test_a_form_of_ones_own() -> None:
    reward = lambda text, label, meta: float(text == f"So: {label}!")  # noqa: E731
    assert checked(reward).failures()[0] == "gold: 5 of 5 are not right"
    assert checked(reward, form="So: {answer}!").failures() == []


def test_a_reward_that_searches_for_the_label() -> None:
    """The commonest false positive: an answer that contains the label, or lists candidates."""
    found = checked(lambda text, label, meta: float(label in text))
    mishaps = {"sign flipped": 3, "gold, then a wrong answer": 5, "gold or a wrong answer": 5}
    assert unexpected(found).items() >= mishaps.items()
    assert right(found, "off by one digit or letter") == 0


def test_a_reward_that_is_always_right() -> None:
    assert checked(lambda text, label, meta: 1.0).failures() == [
        "gold of another row: 5 of 5 are not wrong",
        "empty: 5 of 5 are not wrong",
        "a sum that makes the gold: 5 of 5 are not wrong",
    ]


def test_a_reward_that_refuses_some_golds() -> None:
    found = checked(lambda text, label, meta: float(text == f"\\boxed{{{label}}}" and "." not in label))
    assert found.failures() == ["gold: 1 of 5 are not right"]
    [trial] = [trial for trial in tried(found, "gold") if trial.unexpected]
    assert (trial.case.id, trial.completion) == ("p4", "\\boxed{3.5}")


def test_an_empty_completion_that_cannot_be_judged() -> None:
    """It would be left out and never scored: a policy that says nothing is not told that it is wrong."""

    def index(text: str, label: str | None, meta: Any) -> float:
        return float(text[0] == "\\" and text == f"\\boxed{{{label}}}")

    assert checked(index).failures() == ["empty: 5 of 5 are not wrong"]


def test_a_reward_that_judges_nothing() -> None:
    def broken(text: str, label: str | None, meta: Any) -> float:
        raise KeyError("no unit tests")

    with pytest.raises(RunError, match=r"judges nothing .*no unit tests.*--form"):
        checked(broken)


def test_mutations_by_hand() -> None:
    found = checked(lambda text, label, meta: 1.0, ("1200", "-19"), form="{answer}")
    written = {name: [trial.completion for trial in tried(found, name)] for name in PROBE}
    assert {name: completions for name, completions in written.items() if name != "the prompt again"} == {
        "gold": ["1200", "-19"],
        "another acceptable answer": [],
        "label as it stands": [],
        "gold of another row": ["-19", "1200"],
        "empty": ["", ""],
        "the prompt's sum as the answer": [],
        "a sum that makes the gold": ["1199+1", "-20+1"],
        "off by one digit or letter": ["1201", "-10"],
        "anagram": [],
        "sign flipped": ["-1200", "19"],
        "gold, then a wrong answer": ["1200\n1201", "-19\n-10"],
        "gold or a wrong answer": ["1200 or 1201", "-19 or -10"],
        "a wrong answer, then gold": ["1201\n1200", "-10\n-19"],
        "gold with spaces": [" 1200 ", " -19 "],
        "gold with a unit": ["1200 apples", "-19 apples"],
        "gold in dollars": ["\\$1200", "\\$-19"],
        "gold with a percent sign": ["1200\\%", "-19\\%"],
        "gold in degrees": ["1200^\\circ", "-19^\\circ"],
        "gold with decimals": ["1200.0", "-19.0"],
        "gold with thousands separators": ["1,200"],
        "gold as LaTeX text": ["\\text{1200}", "\\text{-19}"],
        "Answer: gold": ["Answer: 1200", "Answer: -19"],
        "答案\uff1agold": ["答案\uff1a1200", "答案\uff1a-19"],
        "Antwort: gold": ["Antwort: 1200", "Antwort: -19"],
        "<answer>gold</answer>": ["<answer>1200</answer>", "<answer>-19</answer>"],
        "gold after a wrong thought": ["<think>1201</think>\n1200", "<think>-10</think>\n-19"],
        "gold in a thought alone": ["<think>1200</think>", "<think>-19</think>"],
    }


@pytest.mark.parametrize(
    ("prompt", "label", "completion"),
    [
        ("12+30=?", "42", "12+30"),
        ("What is 12 + 30?", "$42$", "12 + 30"),
        ("What is $6 \\times 7$?", "\\(42\\)", "6 \\times 7"),
        ("Work out 2*(3+18), in apples.", "42 apples", "2*(3+18)"),
        ("Room 7 costs 84/2 dollars. Which is it?", "\\$42", None),  # a fraction is a number
        ("What is 12+30?", "x+1", None),  # no number is asked for
        ("How many are 42?", "42", None),
    ],
)
def test_the_sum_of_the_prompt_is_no_answer(prompt: str, label: str, completion: str | None) -> None:
    def evaluating(text: str, label: str | None, meta: Any) -> float:
        return float(text != "")

    found = check(
        OWN, rows(label, prompt=prompt), lambda tasks: [judge(evaluating, task) for task in tasks], "{answer}"
    )
    trials = tried(found, "the prompt's sum as the answer")
    assert [trial.completion for trial in trials] == ([] if completion is None else [completion])
    assert any("the prompt's sum" in failure for failure in found.failures()) == (completion is not None)


@pytest.mark.parametrize(
    "label", ["42", "$42$", "\\(42\\)", "42 apples", "\\$42", "42\\%", "42^\\circ", "\\text{42}", "**42**"]
)
def test_a_number_is_known_whatever_stands_around_it(label: str) -> None:
    found = checked(lambda text, label, meta: float("42" in text), (label, "7"), form="{answer}")
    assert [trial.completion for trial in tried(found, "a sum that makes the gold")] == ["41+1", "6+1"]


@pytest.mark.parametrize(
    "label", ["\\frac{1}{42}", "x^{42}", "(1, 42)", "4 or 2", "forty-two", "42x", "cat", "2024-01-05"]
)
def test_what_is_no_plain_number(label: str) -> None:
    found = checked(lambda text, label, meta: float(text == label), (label,), form="{answer}")
    assert tried(found, "a sum that makes the gold") == []


def test_all_acceptable_answers_of_a_row_are_tried_and_none_is_another_s() -> None:
    labels = (joined(["1/2", "0.5"]), "0.5", joined(["7", "8"]))
    found = checked(lambda text, label, meta: float(text == label), labels, form="{answer}")
    assert found.failures() == []
    assert [trial.completion for trial in tried(found, "another acceptable answer")] == ["0.5", "8"]
    assert [trial.completion for trial in tried(found, "gold of another row")] == ["7", "7", "1/2"]
    assert [trial.completion for trial in tried(found, "off by one digit or letter")] == ["1/3", "0.6", "9"]


def test_a_reward_that_knows_the_first_acceptable_answer_alone() -> None:
    def first(tasks: Sequence[ScoringTask]) -> list[Score]:
        right = [float(task.completion == alternatives(task.label or "")[0]) for task in tasks]
        return [Score(outcome, outcome, Status.OK) for outcome in right]

    found = check(OWN, rows(joined(["1/2", "0.5"]), "7"), first, "{answer}")
    assert found.failures() == ["another acceptable answer: 1 of 1 are not right"]


def test_what_is_a_matter_of_taste() -> None:
    """Whether units count is known of a reward that compares values, and not of a function of the user's own."""
    expected = lambda verifier: {probe.name: probe.expected for probe in probes(verifier)}  # noqa: E731
    of_math, of_text, own = expected(MathReward()), expected(ExactReward()), expected(None)
    assert [of["gold with a unit"] for of in (of_math, of_text, own)] == [True, None, None]
    assert [of["Answer: gold"] for of in (of_math, of_text, own)] == [True, True, None]
    assert [of["gold in a thought alone"] for of in (of_math, of_text, own)] == [False, False, None]
    assert expected(RegexReward(pattern="(.*)"))["Answer: gold"] is None


def test_an_anagram_of_a_label_of_letters_must_not_pass() -> None:
    """Read as mathematics, letters side by side are a product, in any order."""
    labels = ("cat", "\\text{Rome}", "noon", "no", "aa", "x", "46", "2xy")

    def product(text: str, label: str | None, meta: Any) -> float:
        return float(sorted(text.lower()) == sorted(f"\\boxed{{{label}}}".lower()))

    found = checked(product, labels, form="\\boxed{{answer}}")
    written = [trial.completion for trial in tried(found, "anagram")]
    assert written == ["\\boxed{act}", "\\boxed{\\text{oRme}}", "\\boxed{onon}", "\\boxed{on}"]
    assert "anagram: 4 of 4 are not wrong" in found.failures()
    assert checked(verifiers.math, labels, MathReward()).failures() == []


def test_rows_with_the_same_answer_are_not_shuffled() -> None:
    assert (
        tried(checked(lambda text, label, meta: 1.0, ("1,000", "1000", "1000.0", "$1000$")), "gold of another row")
        == []
    )


# --- the command


Command = Callable[..., tuple[object, str, str]]


@pytest.fixture
def command(command_line: Command) -> Command:
    """``effrl reward check quickstart …``."""
    return lambda *arguments: command_line("reward", "check", "quickstart", *arguments)


def write(name: str, *labels: str | None) -> None:
    entries = [{"prompt": f"{n}?", "label": label} for n, label in enumerate(labels)]
    Path(name).write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))


def test_the_command_with_a_task(command: Command) -> None:
    code, out, err = command("data.train=tasks:chain?size=20", "reward.kind=task", "--rows", 3)
    assert (code, err) == (0, "")
    assert out.startswith("task · 3 rows of data.train · answers put as \\boxed{…}\n")
    assert out.endswith("ok: golds are right, the golds of other rows and empty completions are not\n")
    [gold] = [line for line in out.splitlines() if line.startswith("gold  ")]
    assert gold.split() == ["gold", "right", "3", "1.00"]


def test_the_command_with_a_broken_reward(command: Command) -> None:
    Path("my_rewards.py").write_text(
        "def frail(completion, label, meta):\n    return float(completion.split()[0] == label == completion.strip())\n"
    )
    write("rows.jsonl", None, "7", "8")
    code, out, err = command(
        "data.train=rows.jsonl", "reward.kind=my_rewards:frail", "--limit", 1, "--form", "{answer}"
    )
    assert code == 1
    assert "my_rewards:frail · 2 rows of data.train · answers put as …" in out
    detail = "error (IndexError: list index out of range)"
    assert f'empty: 2 unexpected\n  rows.jsonl:2  rows:2  {detail}  label "7"  ""\n  … and 1 more' in out
    assert err == "effrl: the reward is not fit for a run: empty: 2 of 2 are not wrong\n"


def test_what_is_asked_wrongly(command: Command) -> None:
    write("rows.jsonl", None)
    for arguments, words in (
        (["data.train=rows.jsonl", "data.eval=null"], "no row of data.train or data.eval has a label"),
        (["--form", "Answer:"], "--form 'Answer:' has no place for the answer: write {answer} where it goes"),
        (["reward.kind=maths"], "did you mean 'math'?"),
        (["data.train=tasks:chain?size=8", "reward.kind=nowhere:f"], "no module named 'nowhere'"),
    ):
        code, _, err = command(*arguments)
        assert code == 2 and words in err and err.count("\n") == 1, err


def test_labels_that_no_answer_can_equal_end_the_command(command: Command) -> None:
    """All of them are found, also those of rows that are not tried."""
    prose = "We have 3 apples and get nine more, so $3+9=12$."
    write("rows.jsonl", "42", "7", "\\frac{", prose, None, "None", "nan")
    code, out, err = command("data.train=rows.jsonl", "--rows", 2, "--limit", 3)
    assert code == 1
    assert out.startswith(
        "labels that no answer can equal: 4 of 6\n"
        '  rows.jsonl:3  rows:3  it has braces that do not match: "\\frac{"\n'
        f'  rows.jsonl:4  rows:4  it is prose with no final answer marked: end it with #### and the answer: "{prose}"\n'
        '  rows.jsonl:6  rows:6  None is what programs write where there is no value: "None"\n'
        "  … and 1 more (--limit)\n"
        "math · 2 rows of data.train"
    )
    assert err.startswith("effrl: the reward is not fit for a run: 4 of 6 labels can be equalled by no answer")


def test_nothing_is_scored_where_no_label_can_be_equalled(command: Command) -> None:
    write("rows.jsonl", "nan", "nan")
    code, _, err = command("data.train=rows.jsonl")
    assert code == 1
    assert err.startswith("effrl: no answer can equal any label of data.train; the first: rows.jsonl:1  rows:1  nan is")


def test_a_label_that_is_a_list(command: Command) -> None:
    entries = [{"prompt": "a half?", "label": ["1/2", "one half"]}, {"prompt": "12+30=?", "label": "$42$"}]
    Path("rows.jsonl").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    code, out, err = command("data.train=rows.jsonl", "reward.timeout_s=60")  # patient with a busy machine
    assert (code, err) == (0, ""), out + err
    [also] = [line for line in out.splitlines() if line.startswith("another acceptable answer")]
    assert also.split()[-3:] == ["right", "1", "1.00"]


def test_held_out_labels_serve_where_there_are_no_others(command: Command) -> None:
    write("train.jsonl", None)
    write("eval.jsonl", "7", "8")
    code, out, _ = command("data.train=train.jsonl", "data.eval=eval.jsonl", "reward.kind=exact")
    assert code == 0 and out.startswith("exact · 2 rows of data.eval")


def test_scores_stay_with_their_completions() -> None:
    """The scores come as one list for all probes and rows."""

    def echo(tasks: Sequence[ScoringTask]) -> list[Score]:
        return [judge(lambda text, label, meta: verifiers.Verdict(0.25, text), task) for task in tasks]

    found = check(MathReward(), rows("1", "2"), echo)
    assert all(trial.score.answer == trial.completion for trial in found.trials)
