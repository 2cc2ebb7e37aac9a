"""The parent's side of one worker process: start it, hand it one completion at a time, kill it."""

import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import effrl
from effrl.config.reward import AnyReward
from effrl.errors import DeadlineError
from effrl.reward.sandbox.messages import Request, ScoringTask, Started, WorkerReply

START_SECONDS = 60.0
"""Deadline of a start: importing sympy takes a second on an idle machine, and many on a busy one."""
_TRANSFER_SECONDS = 10
"""Deadline of one read or write, so that a worker that stops in the middle of a message blocks nobody."""
_KILL_SECONDS = 30.0
_BEYOND_REQUEST = 2**20
"""Bytes by which a reply may be longer than its request, which holds the completion that the answer is from."""


class WorkerProcess:
    """One worker: starting, then ready and busy in turn, until it is killed.

    A plain subprocess rather than :mod:`multiprocessing`: the parent may be an actor with threads and a GPU, which
    cannot be forked, and whose ``__main__`` must not be imported again. The kernel ties the worker's life to the
    *thread* that starts it, so start it from one that lasts as long as the parent: its main thread.
    """

    def __init__(self, config: AnyReward, search_path: Sequence[str]) -> None:
        ours, theirs = socket.socketpair()
        with ours, theirs:
            arguments = [str(theirs.fileno()), str(os.getpid()), config.model_dump_json(), *search_path]
            self._process = subprocess.Popen(
                # -P: a random.py where the run starts must not shadow Python's own; -u: prints survive a SIGKILL.
                [sys.executable, "-P", "-u", "-m", "effrl.reward.sandbox.worker", *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": _python_path()},
                start_new_session=True,  # Ctrl-C is for the run; and a kill takes along what the reward started
            )
            _bound_transfers(ours)
            self.connection = Connection(ours.detach())
        self.starting = True
        self.number: int | None = None
        """Number of the request that it works on."""
        self.prompt_id = ""
        """Prompt of that request."""
        self._longest_reply = _BEYOND_REQUEST
        self.deadline = time.monotonic() + START_SECONDS

    @property
    def idle(self) -> bool:
        """Whether it is ready and has nothing to do."""
        return not self.starting and self.number is None

    @property
    def unfit(self) -> bool:
        """Whether it cannot take part in a new batch: killed, died while idle, or left busy by an interrupted one."""
        if self._process.returncode is not None or self.number is not None:
            return True
        return not self.starting and self.connection.poll()

    def give(self, number: int, task: ScoringTask, timeout_s: float) -> None:
        """Hand over a completion; its clock starts now."""
        request = Request(number, task).pack()
        with suppress(OSError):  # it has died, or does not read: the wait for its answer finds out
            self.connection.send_bytes(request)
        self._longest_reply = len(request) + _BEYOND_REQUEST
        self.number, self.prompt_id, self.deadline = number, task.prompt_id, time.monotonic() + timeout_s

    def receive(self) -> Started | WorkerReply | None:
        """Read one message; None where the worker hung up, or wrote anything but what is due."""
        try:
            message = self.connection.recv_bytes(self._longest_reply)
        except (EOFError, OSError):  # the latter: it stopped in the middle, or announced too much
            return None
        return Started.unpack(message) if self.starting else WorkerReply.unpack(message)

    def rest(self) -> None:
        """Become idle: it is ready, or its answer is in."""
        self.starting, self.number = False, None

    def kill(self) -> str:
        """Kill it, with all that it started, and say how it ended; again is allowed.

        Raises:
            DeadlineError: it outlived SIGKILL, which only a process stuck in the kernel does.
        """
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self.connection.close()
        try:
            code = self._process.wait(_KILL_SECONDS)
        except subprocess.TimeoutExpired as error:
            raise DeadlineError(f"reward worker {self._process.pid} outlived SIGKILL by {_KILL_SECONDS} s") from error
        return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"


def _python_path() -> str:
    """Where the parent found effrl, so that the worker runs the same one, and what PYTHONPATH held."""
    ours = str(Path(effrl.__file__).resolve().parents[1])
    return os.pathsep.join([ours, *filter(None, [os.environ.get("PYTHONPATH")])])


def _bound_transfers(end: socket.socket) -> None:
    timeval = struct.pack("ll", _TRANSFER_SECONDS, 0)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, timeval)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, timeval)
