"""Reward functions that behave and misbehave, for tests of whatever runs a user's own reward.

Import path ``rewards:NAME`` with this folder on the search path. ``by_name`` picks one by the completion's text, so
that one batch can hold every mishap.
"""

import ctypes
import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from effrl.protocols import Verdict
from effrl.types import Status

not_callable = 3
Meta = Mapping[str, Any]


def constant(completion: str, label: str | None, meta: Meta) -> float:
    return 0.5


def random_reward(completion: str, label: str | None, meta: Meta) -> float:
    """0 or 1, the same for the same text: a control arm that is reproducible."""
    return float(hashlib.sha256(completion.encode()).digest()[0] % 2)


def echo(completion: str, label: str | None, meta: Meta) -> Verdict:
    """The outcome that the prompt's meta asks for."""
    return Verdict(float(meta["outcome"]), completion)


def loop(completion: str, label: str | None, meta: Meta) -> float:
    while True:
        pass


def sleep(completion: str, label: str | None, meta: Meta) -> float:
    time.sleep(3600)
    return 1.0


def allocate(completion: str, label: str | None, meta: Meta) -> float:
    return float(len(bytearray(8 * 2**30)) > 0)


def grow(completion: str, label: str | None, meta: Meta) -> float:
    """Memory in small steps, as real leaks take it."""
    held = []
    while True:
        held.append(bytearray(2**20))


def fail(completion: str, label: str | None, meta: Meta) -> float:
    raise KeyError("no such\nunit test")


def interrupt(completion: str, label: str | None, meta: Meta) -> float:
    raise KeyboardInterrupt


def segfault(completion: str, label: str | None, meta: Meta) -> float:
    ctypes.string_at(0)
    return 1.0


def exit_politely(completion: str, label: str | None, meta: Meta) -> float:
    sys.exit(3)


def exit_at_once(completion: str, label: str | None, meta: Meta) -> float:
    os._exit(7)


def kill_itself(completion: str, label: str | None, meta: Meta) -> float:
    os.kill(os.getpid(), 9)
    return 1.0


def chatter(completion: str, label: str | None, meta: Meta) -> float:
    """Garbage on both streams, past Python too, as a chatty C library writes it."""
    print("\x00\xff garbage {" * 500)
    os.write(1, b"\x80\x04\x95garbage")
    os.write(2, b"more garbage\n")
    return 1.0


def scribble(completion: str, label: str | None, meta: Meta) -> float:
    """Garbage on every descriptor that it finds, the worker's own line included."""
    for descriptor in range(3, 256):
        try:
            os.write(descriptor, b"\x00\x00\x00\x04junk")
        except OSError:
            continue
    return 1.0


def hostile(completion: str, label: str | None, meta: Meta) -> float:
    """Writes on the worker's own line what the completion names, and then judges as if nothing had happened."""
    import hostile

    hostile.send(completion, meta["witness"])
    return 0.5


def fork(completion: str, label: str | None, meta: Meta) -> float:
    """A child that returns into the worker's loop, and so answers the same request a second time."""
    return 1.0 if os.fork() else 0.0


def start_child(completion: str, label: str | None, meta: Meta) -> float:
    """A process that would outlive its worker; its id goes to the file that meta names."""
    child = subprocess.Popen(["sleep", "3600"])
    with open(meta["pid_file"], "w") as file:
        file.write(str(child.pid))
    time.sleep(3600)
    return 1.0


def ask(completion: str, label: str | None, meta: Meta) -> float:
    return float(input("reward? "))


def nan(completion: str, label: str | None, meta: Meta) -> float:
    return float("nan")


def too_large(completion: str, label: str | None, meta: Meta) -> float:
    return 1.5


def wrong_type(completion: str, label: str | None, meta: Meta) -> Any:
    return "1.0"


def verdict_of_nan(completion: str, label: str | None, meta: Meta) -> Verdict:
    return Verdict(float("nan"), "46")


def verdict_of_strange_answer(completion: str, label: str | None, meta: Meta) -> Any:
    return Verdict(1.0, {"not": "a string"})  # type: ignore[arg-type]


def gives_up(completion: str, label: str | None, meta: Meta) -> Verdict:
    """Judges its own backend to have timed out."""
    return Verdict(0.0, None, Status.TIMEOUT)


def by_name(completion: str, label: str | None, meta: Meta) -> Any:
    """The function that the completion names."""
    return globals()[completion](completion, label, meta)
