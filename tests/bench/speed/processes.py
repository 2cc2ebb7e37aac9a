"""Each arm runs in processes of its own, one after the other, so none has the threads or the memory of another."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from effrl.errors import UserError
from tests.bench.speed.sizes import ROOT


def run(command: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> None:
    """Run a command from the root of the repository, its output in ``log``.

    Raises :class:`UserError` with the end of the log if it fails.
    """
    with log.open("w") as file:
        done = subprocess.run(
            list(map(str, command)), cwd=ROOT, env={**os.environ, **environment}, stdout=file, stderr=subprocess.STDOUT
        )
    if done.returncode:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise UserError(f"{log.stem} ended with code {done.returncode}; its last lines:\n{end}")


def run_module(module: str, arguments: Sequence[str | Path], log: Path, environment: Mapping[str, str]) -> None:
    """Run ``python -m`` of a module of this package; the root is where it looks first."""
    path = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"), os.environ.get("PYTHONPATH"))))
    command = [sys.executable, "-m", f"tests.bench.speed.{module}", *arguments]
    run(command, log, {**environment, "PYTHONPATH": path})
