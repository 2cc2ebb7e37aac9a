"""``effrl eval --best-of N --prm RUN``: what it refuses, what it hands on, and what it prints."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from reads import answered
from written import run_with_prm

from deploy.commands import evaluate as evaluation
from effrl.evaluation import Graded
from effrl.models import TINY
from effrl.types import Score, Status

CommandLine = Callable[..., tuple[object, str, str]]
SETS = "data.eval=tasks:chain?split=dev&size=2"


@pytest.fixture
def run(tmp_path: Path, random_model: Path) -> Path:
    return run_with_prm(tmp_path / "run", TINY, random_model, "process.separator=;", SETS)


@pytest.fixture
def refused(command_line: CommandLine) -> Callable[..., str]:
    """The one line with which the command refuses to start."""

    def tried(*arguments: object) -> str:
        code, out, err = command_line("eval", *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), (out, err)
        return err

    return tried


def test_one_of_both_options_is_not_enough(refused: Callable[..., str], run: Path) -> None:
    assert "--best-of 8 does not say who picks: add --prm RUN" in refused(run, "--best-of", 8)
    assert "does not say from how many samples to pick: add --best-of" in refused(run, "--prm", run)


def test_there_must_be_something_to_pick_from(refused: Callable[..., str], run: Path) -> None:
    both = ("--best-of", 4, "--prm", run)
    assert "at eval.temperature=0 all samples of a prompt are alike" in refused(run, *both, "eval.temperature=0")
    assert "eval.pass_at (8)" in refused(run, *both, "eval.pass_at=[8]")


def test_a_judge_is_looked_at_before_anything_starts(refused: Callable[..., str], run: Path) -> None:
    assert "--prm nowhere is neither a run nor a checkpoint" in refused(run, "--best-of", 4, "--prm", "nowhere")
    (run / "checkpoints" / "step_10" / "prm" / "hf" / "model.safetensors").unlink()
    assert "prm/hf/model.safetensors is missing" in refused("tiny", "quickstart", "--best-of", 4, "--prm", run)


def entry(*samples: tuple[str, float, float]) -> Graded:
    """A prompt whose samples gave these answers, with their outcomes and the PRM's scores."""
    answers, outcomes, scores = zip(*samples, strict=True)
    verdicts = tuple(Score(outcome, outcome, Status.OK) for outcome in outcomes)
    return replace(Graded(answered("p", *answers), "7", verdicts), prm=scores)


def test_what_was_picked_stands_beside_the_vote(
    command_line: CommandLine, run: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The number of samples is that of the option, whatever else says."""
    seen: list[Any] = []
    judged = [
        entry(("3", 0.0, -0.5), ("3", 0.0, -0.25), ("7", 1.0, 0.125)),
        entry(("7", 1.0, 0.5), ("7", 1.0, 0.0), ("3", 0.0, -math.inf)),
    ]

    def graded(config: Any, found: Any, judge: Any, console: Any) -> dict[str, list[Graded]]:
        seen.extend([config.eval.per_prompt, judge.process.separator, judge.prm])
        return {"dev": judged}

    monkeypatch.setattr(evaluation, "_graded", graded)
    code, out, err = command_line(
        "eval", run, "eval.per_prompt=16", "--best-of", 3, "--prm", run, "--show", 1, "--out", "found.json"
    )
    assert code == 0, err
    assert seen == [3, ";", run / "checkpoints" / "step_10" / "prm" / "hf"]
    assert f'the PRM of {run}, step 10 (the newest) picks one of 3 · a step ends at ";"' in out.replace("\n", "")
    assert "best@3" in out and "weighted@3" in out and "0.500 ± 0.980" in out, "of best-maj: 1 and 0"
    assert "prm +0.125" in out and "the PRM's pick scores 1.00" in out.replace("\n", " ")
    found = json.loads((tmp_path / "found.json").read_text())
    metrics = found["sets"]["dev"]["metrics"]
    assert found["prm"] == f"{run}, step 10 (the newest)"
    assert (metrics["best@3"]["mean"], metrics["maj@3"]["mean"], metrics["best-maj"]["mean"]) == (1.0, 0.5, 0.5)
    assert [rollout["prm"] for rollout in found["sets"]["dev"]["prompts"][1]["rollouts"]] == [0.5, 0.0, None]
