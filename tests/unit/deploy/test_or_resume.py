"""``effrl train --or-resume``: however often a job is repeated, there is one run, and it goes on where it was."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import written

from deploy.commands import train as training
from effrl.config import load
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory

Effrl = Callable[..., tuple[object, str, str]]


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The steps after which attempts at a run begin; none does more than that, so none ends with 0."""
    begun: list[int] = []

    def attempt(config: Any, directory: Any, found: Any, start: Any, console: Any) -> None:
        begun.append(start.step)

    monkeypatch.setattr(training, "_attempt", attempt)
    return begun


@pytest.fixture
def run(tmp_path: Path, random_model: Path) -> RunDirectory:
    """A run of 20 steps with a checkpoint of step 10."""
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    directory.config.write_text(load.dump(load.load("quickstart", settings(random_model))))
    written.write(Checkpoints(directory.checkpoints, keep=2), 10)
    return directory


def settings(model: Path, steps: int = 20) -> tuple[str, ...]:
    rows = ("data.train=tasks:chain?size=16", "data.eval=null")
    return (f"model.path={model}", *rows, "run.dir=run", f"run.steps={steps}")


def train(effrl: Effrl, *overrides: str) -> tuple[object, str, str]:
    return effrl("train", "quickstart", *overrides, "--or-resume")


def test_a_run_that_is_not_there_is_started(command_line: Effrl, attempts: list[int], random_model: Path) -> None:
    assert train(command_line, *settings(random_model))[0] == 1
    assert attempts == [0] and Path("run/config.yaml").is_file()
    assert train(command_line, *settings(random_model))[0] == 1
    assert attempts == [0, 0] and not Path("run-2").exists(), "without --or-resume the second is another run"


def test_a_run_that_is_there_is_gone_on_with(
    command_line: Effrl, attempts: list[int], run: RunDirectory, random_model: Path
) -> None:
    code, out, _ = train(command_line, *settings(random_model))
    assert code == 1 and attempts == [10] and "resuming after step 10" in out


def test_more_steps_are_taken_over(
    command_line: Effrl, attempts: list[int], run: RunDirectory, random_model: Path
) -> None:
    assert train(command_line, *settings(random_model, 40))[0] == 1
    assert attempts == [10] and load.load(str(run.config)).run.steps == 40


def test_a_finished_run_is_no_failure(
    command_line: Effrl, attempts: list[int], run: RunDirectory, random_model: Path
) -> None:
    code, out, _ = train(command_line, *settings(random_model, 10))
    assert code == 0 and attempts == [] and "is finished at step 10" in out


def test_another_training_in_its_directory_is_refused(
    command_line: Effrl, attempts: list[int], run: RunDirectory, random_model: Path
) -> None:
    code, _, error = train(command_line, *settings(random_model), "learn.lr=1e-5")
    assert code == 2 and attempts == [] and "cannot change learn.lr" in error
