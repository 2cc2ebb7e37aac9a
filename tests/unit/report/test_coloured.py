"""Solutions in the terminal whose tokens are coloured by their process rewards."""

import io
from pathlib import Path

import pytest
from fake_run import group, rewarded, rollout, write_lines, write_run
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from deploy.cli import app
from effrl.errors import UserError
from effrl.report.coloured import contrast, rewarded_steps, shade, show_process, solution

RIGHT = rewarded(1.0, ("12", 0.0), ("+34=46;", 0.05), (" ", -0.02), ("#39", 0.1))
WRONG = rewarded(0.0, ("12+34=45;", -0.1), ("\n", -0.05), ("#38", 0.001))


def shown(run: Path, step: int, limit: int = 5, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    show_process(run, step, console, limit)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def run_of(path: Path, *groups: object, step: int = 2) -> Path:
    """A run of three steps, one of which has these groups."""
    run = write_run(path, 3)
    write_lines(run / "groups" / f"step_{step:06}.jsonl", [found for found in groups if isinstance(found, dict)])
    return run


@pytest.mark.parametrize(
    ("reward", "depth"),
    [
        (2.0, 3),
        (1.4, 3),
        (1.39, 2),
        (0.8, 2),
        (0.79, 1),
        (0.2, 1),
        (0.19, 0),
        (0.0, 0),
        (-0.19, 0),
        (-0.2, -1),
        (-2, -3),
    ],
)
def test_the_shade_is_by_the_largest_reward(reward: float, depth: int) -> None:
    assert shade(reward, 2.0) == depth


def test_where_all_rewards_are_0_nothing_is_shaded() -> None:
    assert shade(0.0, 0.0) == 0


def test_a_step_shows_each_token_the_sum_and_the_extremes(tmp_path: Path) -> None:
    text = shown(run_of(tmp_path / "demo", group(2, 0), group(2, 1, rollouts=[RIGHT, WRONG])), 2)
    assert "step 2 · process rewards of 1 group\n" in text
    assert "≤ -0.07  ≤ -0.04  ≤ -0.01  ≥ 0.01  ≥ 0.04  ≥ 0.07  · the largest is 0.1" in text
    assert "chain/0201  trained · label 39 (bought)" in text and "chain/0200" not in text
    assert "1.00 · 4 tokens · sum +0.13 · mean +0.033" in text
    assert "12+34=46;␣#39" in text
    assert "highest '#39' +0.1 at 4, '+34=46;' +0.05 at 2 · lowest ' ' -0.02 at 3" in text
    assert "12+34=45;⏎\n    #38" in text and "lowest '12+34=45;' -0.1 at 1, '⏎' -0.05 at 2" in text


def test_red_is_below_0_and_green_above(tmp_path: Path) -> None:
    run = run_of(tmp_path / "demo", group(2, 1, rollouts=[RIGHT, WRONG]))
    console = Console(file=io.StringIO(), width=100, force_terminal=True, color_system="standard")
    show_process(run, 2, console)
    assert isinstance(console.file, io.StringIO)
    text = Text.from_ansi(console.file.getvalue())
    styles = {text.plain[start:end]: str(style) for start, end, style in text.spans}
    assert styles["+34=46;"] == "bold color(2)" and styles["#39"] == "bold color(0) on color(2)"
    assert styles["12+34=45;"] == "bold color(7) on color(1)" and styles["⏎"] == "bold color(1)"
    assert "#38" not in styles, "a reward near 0 has no colour"


def test_the_scale_is_that_of_all_that_is_shown(tmp_path: Path) -> None:
    far = group(2, 2, rollouts=[rewarded(1.0, ("far", 5.0))])
    run = run_of(tmp_path / "demo", group(2, 1, rollouts=[RIGHT]), far)
    assert "the largest is 5" in shown(run, 2)
    first = shown(run, 2, limit=1)
    assert "the largest is 0.1" in first and "of 2 groups · the first 1" in first


def test_before_anything_was_learned_all_rewards_are_0(tmp_path: Path) -> None:
    text = shown(run_of(tmp_path / "demo", group(2, 1, rollouts=[rewarded(1.0, ("#39", 0.0))])), 2)
    assert "process rewards of 1 group · all are 0" in text and "highest" not in text and "#39" in text


def test_rollouts_without_a_score_or_without_a_token(tmp_path: Path) -> None:
    text = shown(
        run_of(tmp_path / "demo", group(2, 1, rollouts=[rewarded(None, ("#3", 0.1)), rewarded(0.0), rollout(1.0)])), 2
    )
    assert "not scored · 1 token · sum +0.1" in text and "0.00 · 0 tokens · sum +0 · mean +0" in text
    assert "12+34=46" not in text, "rollouts that kept no rewards are not shown"


def test_what_a_model_writes_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    text = shown(
        run_of(tmp_path / "demo", group(2, 1, rollouts=[rewarded(1.0, ("\x1b[2J[red]", 1.0), ("\u202e\t\r", -1.0))])), 2
    )
    assert not {"\x1b", "\u202e", "\t", "\r"} & set(text)
    assert "\\x1b[2J[red]\\u202e⇥\\x0d" in text


def test_a_long_solution_keeps_its_end(tmp_path: Path) -> None:
    long = rewarded(1.0, *[(f"<{place}>", 0.1) for place in range(1, 2001)])
    text = "".join(shown(run_of(tmp_path / "demo", group(2, 1, rollouts=[long])), 2).split())
    assert "<1000>[…500moretokens…]<1501>" in text and "<1001>" not in text and "<2000>" in text


def test_without_process_rewards_it_says_where_some_are(tmp_path: Path) -> None:
    run = run_of(tmp_path / "demo", group(2, 1, rollouts=[RIGHT]))
    with pytest.raises(UserError, match=r"^step 1 of .*demo kept no process rewards: those of 2 are there$"):
        shown(run, 1)
    with pytest.raises(UserError, match=r"^.*plain has no process rewards: it was trained without `process.kind`"):
        shown(write_run(tmp_path / "plain", 2), 1)
    with pytest.raises(UserError, match=r"has no groups of step 9: it has 1-3"):
        shown(run, 9)


def test_a_text_that_looks_like_a_record_is_none(tmp_path: Path) -> None:
    """Steps are found by what only a record holds, without reading all of them."""
    liar = group(2, 1, rollouts=[rollout(1.0, text='", "process": [["x", 1.0]]')])
    assert list(rewarded_steps(run_of(tmp_path / "demo", liar))) == []


def test_the_pair_is_of_one_prompt_of_the_last_step_that_has_some(tmp_path: Path) -> None:
    run = run_of(
        tmp_path / "demo", group(2, 0, rollouts=[RIGHT, RIGHT]), group(2, 1, rollouts=[rollout(1.0), WRONG, RIGHT])
    )
    write_lines(run / "groups" / "step_000001.jsonl", [group(1, 0, rollouts=[RIGHT, WRONG])])
    found = contrast(run)
    assert found is not None and (found.step, found.group["prompt_id"], found.largest) == (2, "chain/0201", 0.1)
    assert [one.outcome for one in found.solutions] == [1.0, 0.0]
    assert contrast(write_run(tmp_path / "plain", 2)) is None


def test_without_a_pair_there_are_two_of_a_sort(tmp_path: Path) -> None:
    found = contrast(run_of(tmp_path / "demo", group(2, 0, rollouts=[RIGHT, RIGHT, RIGHT])))
    assert found is not None and [one.outcome for one in found.solutions] == [1.0, 1.0]


def test_the_extremes_are_three_and_on_their_side_of_0() -> None:
    rewards = [0.1, -0.2, 0.3, 0.2, 0.4, 0.0]
    made = solution(group(2, 0, rollouts=[rewarded(1.0, *[("x", value) for value in rewards])])["rollouts"][0], 0.4)
    assert [token.place for token in made.highest] == [5, 3, 4] and [token.place for token in made.lowest] == [2]
    assert made.total == pytest.approx(0.8)


def test_the_command(tmp_path: Path) -> None:
    run = run_of(tmp_path / "demo", group(2, 1, rollouts=[RIGHT, WRONG]))
    shown = CliRunner().invoke(app, ["show", str(run), "2", "--process"])
    assert shown.exit_code == 0 and "process rewards of 1 group" in shown.output
    assert "process rewards" not in CliRunner().invoke(app, ["show", str(run), "2"]).output
