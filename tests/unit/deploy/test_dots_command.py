"""What ``effrl dots fit`` refuses, before Ray is started, in one line with exit code 2."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy import cli
from deploy.commands import dots

Ended = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Ended:
    """Run the command in this process; returns its one line."""

    def started(*_: object) -> None:
        raise AssertionError("the mistake was not found: Ray was about to start")

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["effrl", "dots", "fit", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        [line] = capsys.readouterr().err.strip().splitlines()
        assert end.value.code == 2
        return line

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(dots, "_trained", started)
    return run


def write_run(path: Path, model: str = "tiny", source: str = "gold", prompts: int = 10, steps: int = 2) -> Path:
    """A run whose groups pass 0 to 4 of 4 times."""
    (path / "groups").mkdir(parents=True)
    (path / "config.yaml").write_text(json.dumps({"model": {"path": model}, "data": {"train": "tasks:chain"}}))
    for step in range(1, steps + 1):
        records = [json.dumps(group(step, number, source)) for number in range(prompts)]
        (path / "groups" / f"step_{step:06d}.jsonl").write_text("\n".join(records) + "\n")
    return path


def group(step: int, number: int, source: str | None) -> dict[str, Any]:
    outcomes = [float(n < number % 5) if source else None for n in range(4)]
    prompt = {"prompt_id": f"chain/{number}", "prompt": f"{number}+1=", "step": step, "label_source": source}
    return {**prompt, "rollouts": [{"outcome": outcome} for outcome in outcomes]}


def test_what_cannot_be_fitted_on(refused: Ended, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "predictor")
    run = write_run(tmp_path / "run")
    assert "holds no run" in refused(tmp_path / "nothing", *out)
    assert "there is no directory" in refused(run, "--out", tmp_path / "no" / "predictor")
    for number, settings in enumerate(({"source": "vote"}, {"source": None}, {"prompts": 3}, {"steps": 0})):
        assert "no pass rates in" in refused(write_run(tmp_path / f"{number}", **settings), *out)  # type: ignore[arg-type]
    other = write_run(tmp_path / "other", model="tiny-sound")
    assert "began with tiny and tiny-sound" in refused(run, other, *out)
    assert "--workers=9 for 1 steps" in refused(run, *out, "--workers", 9)
    assert "no model directory" in refused(run, *out, "--embeddings", "/nowhere")
    damaged = write_run(tmp_path / "damaged")
    (damaged / "groups" / "step_000001.jsonl").write_text("{")
    assert "cannot be read" in refused(damaged, *out)
