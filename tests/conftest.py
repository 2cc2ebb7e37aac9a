"""Fixtures of several folders of tests."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure: on one, hypothesis's deadline of 200 ms per example fails tests at random.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

HOLD = """
import sys
from pathlib import Path
from effrl.run.directory import Claim, RunDirectory
claim = Claim(RunDirectory(Path(sys.argv[1])))
print("held", flush=True)
sys.stdin.read()
"""

Holder = subprocess.Popen[str]
CommandLine = Callable[..., tuple[object, str, str]]


@pytest.fixture(scope="session")
def random_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model directory like that of the built-in model (context of 2,048, one token per character), untrained."""
    import torch

    from effrl.tiny.make import character_tokenizer, new_model, save

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("models") / "random"
    save(new_model(), character_tokenizer(), path)
    return path


@pytest.fixture
def command_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> CommandLine:
    """Exit code, stdout and stderr of an ``effrl`` command in an empty directory."""
    from deploy import cli

    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["effrl", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    monkeypatch.chdir(tmp_path)
    return run


@pytest.fixture
def hold() -> Iterator[Callable[[Path], Holder]]:
    """Have another process claim a run directory; it lets go when it is killed, at the latest after the test."""
    holders: list[Holder] = []

    def start(path: Path) -> Holder:
        command = [sys.executable, "-c", HOLD, str(path)]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        holders.append(holder)
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        return holder

    yield start
    for holder in holders:
        with holder:
            holder.kill()
