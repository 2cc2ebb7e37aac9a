"""What ``effrl reward check`` makes of sound and of broken rewards."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from effrl.config.reward import AnyReward, ChoiceReward, MathReward, PluginReward, RegexReward
from effrl.errors import RunError
from effrl.protocols import Reward
from effrl.reward import verifiers
from effrl.reward.check import FORMS, PROBES, Check, check
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.worker import judge
from effrl.types import Prompt, Row, Score

OWN = PluginReward(kind="my:own")
PROBE = {probe.name: probe for probe in PROBES}
SUMS = ("12", "-5", "1200", "0", "3.5")


def rows(*labels: str) -> list[Row]:
    return [Row(Prompt(f"p{n}", f"What is it, {n}?"), label) for n, label in enumerate(labels)]


def checked(reward: Reward, labels: Sequence[str] = SUMS, config: AnyReward = OWN, form: str | None = None) -> Check:
    return check(config, rows(*labels), lambda tasks: [judge(reward, task) for task in tasks], form)


def unexpected(found: Check) -> dict[str, int]:
    """Unexpected verdicts by probe, of those that have some."""
    counts = {probe.name: sum(trial.unexpected for trial in found.of(probe)) for probe in PROBES}
    return {name: count for name, count in counts.items() if count}


def right(found: Check, name: str) -> int:
    return sum(trial.right for trial in found.of(PROBE[name]))


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
    ]


def test_a_reward_that_refuses_some_golds() -> None:
    found = checked(lambda text, label, meta: float(text == f"\\boxed{{{label}}}" and "." not in label))
    assert found.failures() == ["gold: 1 of 5 are not right"]
    [trial] = [trial for trial in found.of(PROBE["gold"]) if trial.unexpected]
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
    written = {
        name: [trial.completion for trial in found.of(PROBE[name])]
        for name in PROBE
        if name not in ("the prompt again", "empty")
    }
    assert written == {
        "gold": ["1200", "-19"],
        "label as it stands": [],
        "gold of another row": ["-19", "1200"],
        "off by one digit or letter": ["1201", "-10"],
        "anagram": [],
        "sign flipped": ["-1200", "19"],
        "gold, then a wrong answer": ["1200\n1201", "-19\n-10"],
        "gold or a wrong answer": ["1200 or 1201", "-19 or -10"],
        "a wrong answer, then gold": ["1201\n1200", "-10\n-19"],
        "gold with spaces": [" 1200 ", " -19 "],
        "gold with a unit": ["1200 apples", "-19 apples"],
        "gold in dollars": ["\\$1200", "\\$-19"],
        "gold with decimals": ["1200.0", "-19.0"],
        "gold with thousands separators": ["1,200"],
        "gold as LaTeX text": ["\\text{1200}", "\\text{-19}"],
    }


def test_an_anagram_of_a_label_of_letters_must_not_pass() -> None:
    """Read as mathematics, letters side by side are a product, in any order."""
    labels = ("cat", "\\text{Rome}", "noon", "no", "aa", "x", "46", "2xy")

    def product(text: str, label: str | None, meta: Any) -> float:
        return float(sorted(text.lower()) == sorted(f"\\boxed{{{label}}}".lower()))

    found = checked(product, labels, form="\\boxed{{answer}}")
    written = [trial.completion for trial in found.of(PROBE["anagram"])]
    assert written == ["\\boxed{act}", "\\boxed{\\text{oRme}}", "\\boxed{onon}", "\\boxed{on}"]
    assert "anagram: 4 of 4 are not wrong" in found.failures()
    assert checked(verifiers.math, labels, MathReward()).failures() == []


def test_rows_with_the_same_answer_are_not_shuffled() -> None:
    assert checked(lambda text, label, meta: 1.0, ("1,000", "1000", "1000.0")).of(PROBE["gold of another row"]) == []


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
    assert f'empty: 2 unexpected\n  rows:2  {detail}  label "7"  ""\n  … and 1 more' in out
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
