"""Fixtures of several folders of tests."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# One thread for each of pytest's two processes, and for what they start; a run's actors set their own. Two processes of
# two OpenMP threads wait for each other in loops: on a busy machine one test took 204 s that takes 4 s alone.
os.environ.setdefault("OMP_NUM_THREADS", "1")

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


SHARED = {"actors": "ray", "e2e": "ray", "browser": "browser"}
"""What the tests of a folder share: a Ray or a browser."""


class OneProcessForWhatIsShared(LoadScopeScheduling):
    """Tests that share a Ray or a browser go to one of pytest's processes, any other test to whichever is free.

    xdist's own ``loadgroup`` does it by the tests' ids, which it cannot rename under pytest 9.2: every test was alone
    then, and two Rays at once starved each other.
    """

    def _split_scope(self, nodeid: str) -> str:
        return SHARED.get(Path(nodeid).parts[1], nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> OneProcessForWhatIsShared:
    return OneProcessForWhatIsShared(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Quick tests first; those that share a Ray come last, together: no other test meets its processes."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is not None)


@pytest.fixture(scope="session")
def local_ray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One Ray for all tests that start actors from this process; caches of its actors are not the user's."""
    from actors.session import ray_session

    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
            stack.enter_context(ray_session())
        yield


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
