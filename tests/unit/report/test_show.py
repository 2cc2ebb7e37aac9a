import io
from pathlib import Path

import pytest
from fake_run import group, rollout, write_lines, write_run
from rich.console import Console

from effrl.errors import UserError
from effrl.report.show import printable, show_step
from effrl.run import metrics


def shown(run: Path, step: int, limit: int = 5, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width)
    show_step(run, step, console, limit)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_step_shows_prompts_labels_fates_and_rollouts(tmp_path: Path) -> None:
    text = shown(write_run(tmp_path / "demo", 4), 4, limit=2)
    assert "step 4 · 8 groups: 4 trained, 4 filtered · the first 2" in text
    assert "chain/0400  trained · label 39 (bought) · mean outcome 0.50 · score 4.70 · policy 3" in text
    assert "chain/0401  filtered" in text and "all outcomes are equal" in text
    assert "chain/0402" not in text
    assert "1.00 ok 21 tok 12+34=46;46-7=39;#39  → 39" in text


def test_a_label_of_several_answers_is_shown_with_bars(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 1)
    write_lines(run / "groups" / "step_000001.jsonl", [group(1, 0, answer="1/2\x1e0.5")])
    assert "label 1/2 | 0.5 (bought)" in shown(run, 1)


def test_failures_shaped_rewards_and_missing_labels_are_visible(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 1)
    rollouts = [rollout(None), rollout(1.0, reward=0.75), rollout(0.0, status="truncated", version_max=5)]
    dropped = group(1, 1, "dropped", label_source=None, answer=None, reason=None, rollouts=[])
    unscored = group(1, 2, "dropped", rollouts=[rollout(None, status=None, answer=None)])
    write_lines(run / "groups" / "step_000001.jsonl", [group(1, 0, rollouts=rollouts), dropped, unscored])
    text = shown(run, 1)
    assert "- timeout" in text
    assert "1.00 (0.75) ok" in text
    assert "truncated" in text and "policy 3-5" in text
    assert "dropped · no label" in text
    assert "not scored" in text


def test_what_a_process_reward_model_made_of_held_out_samples(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 1)
    rollouts = [rollout(1.0) | {"prm": -0.0625}, rollout(0.0) | {"prm": None}]
    write_lines(run / "groups" / "step_000001.jsonl", [group(1, 0, rollouts=rollouts)])
    text = shown(run, 1)
    assert "1.00 ok 21 tok · prm -0.062 12+34" in text and "21 tok · prm - 12+34" in text


def test_rolled_back_groups_follow_the_settled_ones(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 2)
    (run / "groups" / "rolled_back").mkdir()
    for step in (2, 3):
        write_lines(run / "groups" / "rolled_back" / f"step_00000{step}.jsonl", [group(step, 99, "rolled_back")])
    assert "9 groups: 4 trained, 4 filtered, 1 rolled back" in shown(run, 2)
    assert "1 group: 1 rolled back" in shown(run, 3)


def test_a_group_that_was_lost_before_it_was_read_has_no_more_to_show(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 1)
    (run / "groups" / "rolled_back").mkdir()
    lost = {"id": "1/2/p", "step": 2, "prompt_id": "chain/02", "tokens": 8, "fate": "rolled_back"}
    write_lines(run / "groups" / "rolled_back" / "step_000002.jsonl", [lost])
    assert "chain/02  rolled back · no label · lost before it was read" in shown(run, 2)


def test_what_a_model_writes_cannot_act_on_the_terminal(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 1)
    nasty = "\x1b[2J[red]\u202e\ud800\x07 end"
    write_lines(run / "groups" / "step_000001.jsonl", [group(1, 0, prompt=nasty, rollouts=[rollout(1.0, text=nasty)])])
    text = shown(run, 1)
    assert "\x1b" not in text and "\x07" not in text and "\u202e" not in text
    assert text.count("\\x1b[2J[red]\\u202e\\ud800\\x07 end") == 2
    assert printable("Ünïcödé 数学\t\n") == "Ünïcödé 数学\t\n"


def test_a_long_completion_keeps_its_end(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 1)
    rollouts = [rollout(1.0, text="first " + "x" * 5000 + " so \\boxed{7}")]
    write_lines(run / "groups" / "step_000001.jsonl", [group(1, 0, rollouts=rollouts)])
    text = shown(run, 1)
    assert "\\boxed{7}" in text and len(text) < 1000


@pytest.mark.parametrize("width", [10, 40, 80])
def test_narrow_terminals(tmp_path: Path, width: int) -> None:
    assert "step 1" in shown(write_run(tmp_path / "demo", 1), 1, width=width)


def test_errors_say_what_exists(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 3)
    write_lines(run / "groups" / "step_000007.jsonl", [group(7, 0)])
    with pytest.raises(UserError, match=r"demo has no groups of step 5: it has 1-3, 7$"):
        shown(run, 5)
    with pytest.raises(UserError, match=r"there is no run .*/domo: .* has demo$"):
        shown(tmp_path / "domo", 5)
    with pytest.raises(UserError, match=r"there is no run"):
        shown(tmp_path / "nowhere" / "domo", 5)
    with pytest.raises(UserError, match=r"no groups yet"):
        shown(write_run(tmp_path / "fresh", 0), 1)


def test_replayed_groups_are_counted(tmp_path: Path) -> None:
    run = write_run(tmp_path / "demo", 2)
    rows = [{**row, "groups/replay_uses": row["step"] - 1} for row in metrics.read(run / "metrics.jsonl")]
    write_lines(run / "metrics.jsonl", rows)
    assert "replayed" not in shown(run, 1)
    assert "4 trained, 4 filtered · 1 group of earlier steps replayed · the first 5" in shown(run, 2)
