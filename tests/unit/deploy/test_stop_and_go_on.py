"""``effrl train --or-resume`` under a scheduler that starts it again; ``effrl stop``, after which a run has saved."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import written

from deploy import cli
from deploy.commands import stop as stopping
from deploy.commands import train as training
from effrl.config.schema import Config
from effrl.errors import RunError
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import Claim, RunDirectory, holder

Job = Callable[..., tuple[int, str]]

RUNNING = """
import signal, sys, time
from pathlib import Path
from effrl.run.directory import Claim, RunDirectory
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), sys.exit(0)))
claim = Claim(RunDirectory(Path(sys.argv[1])))
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Job:
    """``effrl train quickstart --or-resume``, 4 steps, of which each attempt does two."""

    def attempt(config: Config, directory: RunDirectory, *_: object) -> None:
        done = [0, *Checkpoints(directory.checkpoints, 2).steps()]
        written.write(Checkpoints(directory.checkpoints, 2), done[-1] + 2)

    def run(*overrides: str) -> tuple[int, str]:
        words = [
            "effrl",
            "train",
            "quickstart",
            "--or-resume",
            f"run.dir={tmp_path / 'run'}",
            "run.steps=4",
            *overrides,
        ]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as end:
            cli.main()
        output = capsys.readouterr()
        return int(end.value.code or 0), output.out + output.err

    monkeypatch.setattr(training, "_attempt", attempt)
    return run


def test_it_is_started_again_until_it_ends_with_0(job: Job, tmp_path: Path) -> None:
    code, said = job()
    assert code == 1 and "the same command goes on" in said
    code, said = job()
    assert code == 0 and "resuming after step 2" in said and "done in" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run"], "no second directory"


def test_it_waits_for_the_attempt_before(job: Job, tmp_path: Path) -> None:
    claim = Claim(RunDirectory(tmp_path / "run"))
    threading.Timer(1.0, claim.release).start()
    assert job()[0] == 1, "it ran"


def test_it_does_not_wait_for_ever(job: Job, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "FREE_S", 0.0)
    claim = Claim(RunDirectory(tmp_path / "run"))
    code, said = job()
    claim.release()
    assert code == 2 and "still in use" in said


# --- stop


@pytest.fixture
def running(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that works on a run, and saves for half a second when it is told to end."""
    command = [sys.executable, "-c", RUNNING, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_who_works_on_a_run_is_known(running: subprocess.Popen[str], tmp_path: Path) -> None:
    assert holder(RunDirectory(tmp_path / "run")) == str(running.pid)
    running.kill()
    running.wait(10)
    assert holder(RunDirectory(tmp_path / "run")) is None, "a lock ends with its process"
    assert holder(RunDirectory(tmp_path / "none")) is None


def test_a_run_ends_before_stop_does(running: subprocess.Popen[str], tmp_path: Path) -> None:
    stopping.stop(tmp_path / "run", 30)
    assert running.wait(10) == 0


def test_a_run_of_another_machine_is_waited_for_and_not_asked(
    running: subprocess.Popen[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process has a number that here is somebody else's."""
    monkeypatch.setattr(stopping, "holder", lambda _: "1")
    with pytest.raises(RunError, match=r"still in use after 0\.6 s"):
        stopping.stop(tmp_path / "run", 0.6)
    assert running.poll() is None


def test_a_run_that_nobody_works_on_needs_no_stop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stopping.stop(tmp_path, 0)
    assert "is not running" in capsys.readouterr().out
