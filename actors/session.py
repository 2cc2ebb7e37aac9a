"""The Ray of a command: one of its own that ends with it, or the cluster that it was submitted to."""

import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

import ray
from ray._private.ray_logging import stdout_deduplicator

RAY_SAYS = re.compile("A worker died or was killed")
"""A paragraph that Ray prints on the terminal when an actor dies; the run says it in a line, with the actor's name."""
LOCAL = "local"
RAY_STARTS = 3
"""Attempts at a Ray of one's own."""


def is_own(address: str | None = None) -> bool:
    """Whether :func:`ray_session` starts a Ray of our own, which is on this machine alone and never changes."""
    return (address or os.environ.get("RAY_ADDRESS", LOCAL)) == LOCAL


@contextmanager
def ray_session(address: str | None = None) -> Iterator[None]:
    """A Ray of our own that ends with us; or the cluster at an address, by default the one of RAY_ADDRESS, as for a
    submitted job."""
    local = {"include_dashboard": False, "num_cpus": os.cpu_count()} if is_own(address) else {}
    address = address or os.environ.get("RAY_ADDRESS", LOCAL)
    logging.getLogger("ray").setLevel(logging.ERROR)  # it warns of settings that the user did not make
    stdout_deduplicator.skip_re = RAY_SAYS  # it has no setting for a process that has imported it already
    for left in reversed(range(RAY_STARTS)):
        try:
            ray.init(address=address, log_to_driver=False, logging_level="ERROR", configure_logging=False, **local)
            break
        except (
            Exception
        ) as error:  # Ray has no type for it, and waits half a minute at most, however busy the machine is
            ray.shutdown()
            if "timed out during startup" not in str(error) or not left:
                raise
    try:
        yield
    finally:
        ray.shutdown()
