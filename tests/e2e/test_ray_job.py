"""A run as a Ray job on a cluster of three raylets with token authentication: what one machine does, a cluster does."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.request import Request, urlopen

import psutil
import pytest
from runs import SMALL, Command, deterministic, rows

from effrl.run.checkpoint import Checkpoints
from effrl.run.groups import tally

TOKEN = "0123456789abcdef" * 2
RAY = str(Path(sys.executable).with_name("ray"))
UP_S, RUN_S = 300.0, 1200.0


class Raylets:
    """A head with its dashboard, and two more nodes, in processes of our own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, list[subprocess.Popen[bytes]]()
        head, dashboard = _free_port(), _free_port()
        self.address = f"http://127.0.0.1:{dashboard}"
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        secret = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        patient = {"RAY_DASHBOARD_STARTUP_TIMEOUT_S": str(int(UP_S))}
        self.environment = {**os.environ, **secret, **patient, "PATH": path, "HOME": str(folder)}
        common = ("--num-cpus=2", "--object-store-memory=100000000", "--dashboard-agent-listen-port=0")
        place = (f"--temp-dir={folder}/ray", "--include-dashboard=true", f"--dashboard-port={dashboard}")
        self.nodes = ("--head", f"--port={head}", *place, *common), *[(f"--address=127.0.0.1:{head}", *common)] * 2

    def start(self) -> None:
        head, *others = self.nodes
        self._start(*head)
        deadline = time.monotonic() + UP_S
        while not self._answers():
            assert time.monotonic() < deadline, f"no dashboard in {UP_S} s: {(self.folder / 'node-0.txt').read_text()}"
            time.sleep(1)
        for node in others:
            self._start(*node)

    def _answers(self) -> bool:
        try:
            asked = Request(f"{self.address}/api/jobs/", headers={"authorization": f"Bearer {TOKEN}"})
            with urlopen(asked, timeout=10):
                return True
        except OSError:
            return False

    def _start(self, *arguments: str) -> None:
        command = [RAY, "start", "--block", "--disable-usage-stats", *arguments]
        log = (self.folder / f"node-{len(self.started)}.txt").open("wb")
        self.started.append(
            subprocess.Popen(
                command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        )

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """A node with all that it started."""
        try:
            children = psutil.Process(process.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            children = []
        for each in (*children, process):
            try:
                each.kill()
            except psutil.NoSuchProcess:
                continue
        process.wait(30)

    def close(self) -> None:
        for process in self.started[::-1]:
            self.kill(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def raylets() -> Iterator[Raylets]:
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:  # a socket's path must be short
        cluster = Raylets(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.close()


@pytest.mark.slow
def test_a_job_that_is_stopped_and_resumed_decides_as_the_command(raylets: Raylets, effrl: Any, tmp_path: Path) -> None:
    access: Mapping[str, str] = {
        "RAY_API_SERVER_ADDRESS": raylets.address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN
    }  # fmt: skip
    run, settings = (
        tmp_path / "shared" / "run",
        ("quickstart", *SMALL[:-2], "cluster.start_s=900", "run.save_every=500"),
    )

    def ended(command: Command, code: int = 0) -> str:
        assert command.end(RUN_S) == code, command.output()
        return command.output()

    def submit(steps: int, *arguments: str) -> Command:
        command: Command = effrl("submit", *settings, f"run.dir={run}", f"run.steps={steps}", *arguments, **access)
        return command

    ended(submit(500, "--no-follow"))
    follower = submit(500)
    follower.until(lambda: len(rows(run)) >= 2, RUN_S, "the first step")
    assert "stopped after step" in ended(effrl("job", "stop", str(run), **access))
    said = ended(follower, 1)
    assert "is there already" in said and "has been stopped" in said
    [last] = Checkpoints(run / "checkpoints", 2).steps()
    assert last == rows(run)[-1]["step"], "the last commit is saved, whatever save_every says"

    said = ended(submit(last + 1))
    assert f"resuming after step {last}" in said and "done in" in said
    assert "nothing is started" in ended(submit(last + 1))
    rolled, fates = tally(run / "groups")
    assert rolled == sum(fates.values())
    whole = tmp_path / "whole"
    ended(effrl("train", *settings, f"run.steps={last + 1}", f"run.dir={whole}"))
    assert [deterministic(row) for row in rows(run)] == [deterministic(row) for row in rows(whole)]

    assert "the cluster refuses the token" in ended(effrl("job", "status", **{**access, "RAY_AUTH_TOKEN": "9" * 32}), 2)
    assert "a job ships at most" in ended(_oversized(effrl, tmp_path, access), 2)
    follower = effrl("submit", *settings, f"run.dir={tmp_path}/shared/lost", **access)
    follower.until(lambda: "Running entrypoint" in follower.output(), RUN_S, "the log")
    raylets.kill(raylets.started[0])
    assert "lost the connection to" in ended(follower, 1).splitlines()[-1]


def _oversized(effrl: Any, folder: Path, access: Mapping[str, str]) -> Any:
    big = folder / "big"
    big.mkdir()
    with (big / "model.bin").open("wb") as file:
        file.truncate(200 * 2**20)
    return effrl("submit", "quickstart", f"run.dir={folder}/x", "--working-dir", str(big), **access)
