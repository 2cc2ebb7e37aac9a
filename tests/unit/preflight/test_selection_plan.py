"""When a selector pays: the arithmetic by hand, and as a command shows it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from effrl.preflight.selection import Situation, outlooks

PAPER = Situation(effective=0.5, rollout_share=0.47, pool=10_240, prompts=512, steps=60, references=256 / 1024)


def test_dots_as_its_paper_has_it() -> None:
    """A quarter more rollouts alone, a quarter less with replay, which saves 11.75 % of a step at a share of 47 %."""
    found = {outlook.name: outlook for outlook in outlooks(PAPER)}
    assert found["dots"].extra == pytest.approx(0.25)
    assert found["dots with replay of one half"].extra == pytest.approx(-0.25)
    assert found["dots with replay of one half"].step == pytest.approx(1 - 0.1175)
    assert found["dots"].needed == pytest.approx(0.625)
    assert found["perplexity"].extra == pytest.approx(0.25), "five passes for each group, a twentieth of it each"


def test_break_even_is_where_a_group_with_signal_takes_as_long_as_without() -> None:
    """Groups per unit of time: needed / step time is effective / 1, where learning takes what there is to learn."""
    for outlook in outlooks(PAPER):
        extra = max(0.0, outlook.extra)
        step = PAPER.rollout_share * (1 + extra) + (1 - PAPER.rollout_share) * outlook.needed / PAPER.effective
        assert outlook.needed / step == pytest.approx(PAPER.effective)


def test_what_costs_more_than_there_is_to_win_cannot_pay() -> None:
    sure = Situation(effective=0.95, rollout_share=0.7, pool=4096, prompts=32, steps=20, references=0.125)
    found = {outlook.name: outlook.verdict for outlook in outlooks(sure)}
    assert found["dots"] == found["adarft by the base"] == "cannot pay"
    assert found["dots with replay of one half"] == "saves rollouts"
    assert sure.most == pytest.approx(1 / (0.3 + 0.7 * 0.95))


def test_the_command(command_line: Callable[..., Any], tmp_path: Path) -> None:
    code, out, _ = command_line("plan", "grpo", "--selection", "--effective", "0.4", "--rollout-share", "0.47")
    assert code == 0 and "uniform: 0.40 of the groups" in out and "pays above 0.45" in out
    (tmp_path / "run").mkdir()
    row = {"step": 1, "select/effective_ratio": 0.9, "time/rollout_s": 3.0, "time/step_s": 5.0, "time/eval_s": 1.0}
    (tmp_path / "run" / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    code, out, _ = command_line("plan", "grpo", "--selection", "--run", "run")
    assert code == 0 and "0.90 of the groups have signal, rollouts take 75%" in out and "draw uniformly" in out
    (tmp_path / "run" / "metrics.jsonl").write_text(json.dumps({**row, "select/effective_ratio": 0.0}) + "\n")
    code, _, err = command_line("plan", "grpo", "--selection", "--run", "run")
    assert code == 2 and "no group of run had signal" in err and err.count("\n") == 1
    code, _, err = command_line("plan", "grpo", "--selection", "--run", "nowhere")
    assert code == 2 and err.count("\n") == 1


def test_without_the_option_it_is_the_dry_run(command_line: Callable[..., Any]) -> None:
    assert command_line("plan", "quickstart") == command_line("train", "quickstart", "--dry-run")
