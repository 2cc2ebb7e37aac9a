"""Run a reward function in worker processes that are killed when it hangs, eats memory or crashes.

A hang costs its own rollout and nothing else: each worker has one completion at a time, and is replaced at once.
"""

import itertools
import math
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from multiprocessing.connection import wait
from types import TracebackType
from typing import Self

from effrl.config.reward import AnyReward
from effrl.errors import RunError, UserError
from effrl.reward.sandbox.messages import ScoringTask, Started, WorkerReply
from effrl.reward.sandbox.process import START_SECONDS, WorkerProcess
from effrl.types import Score, Status

__all__ = ["Sandbox", "ScoringTask", "patience"]

HANGS_IN_A_ROW = 32
"""Completions in a row, of more than one prompt, without a verdict in time: then the reward is taken to be broken."""


def patience(config: AnyReward, tasks: int) -> float:
    """Seconds in which a sandbox is done with so many completions, even if each hangs and its worker starts anew."""
    return math.ceil(tasks / config.workers) * (config.timeout_s + START_SECONDS)


class Sandbox:
    """A pool of workers that judge completions; a context manager.

    Waits for: workers to start (:data:`START_SECONDS`) and to answer (``config.timeout_s`` each). Unblocked by: their
    messages, their death, or the deadline, after which they are killed. Use it from one thread, the main one (see
    :class:`WorkerProcess`).

    Raises:
        UserError: the reward function cannot be loaded, or a worker does not start; from here or from :meth:`score`.
        RunError: from :meth:`score`, the reward function hangs for :data:`HANGS_IN_A_ROW` completions in a row.
    """

    def __init__(self, config: AnyReward, search_path: Sequence[str]) -> None:
        """Start the workers; ``search_path`` goes to the front of their ``sys.path``: where the user's modules lie."""
        self._config = config
        self._search_path = tuple(search_path)
        self._numbers = itertools.count()
        self._workers: list[WorkerProcess] = []
        self._hung: list[str] = []
        """Prompts of the latest completions, as far back as all of them hung."""
        try:
            for _ in range(config.workers):
                self._workers.append(self._start())
            while not all(worker.idle for worker in self._workers):
                list(self._collect())
        except BaseException:
            self.close()
            raise

    def score(self, tasks: Sequence[ScoringTask]) -> list[Score]:
        """Judge completions; one score per task, in order. A failure is a status without an outcome, never a 0."""
        if not self._workers:
            raise RuntimeError("the sandbox is closed")
        for place, worker in enumerate(self._workers):
            if worker.unfit:
                self._replace(place)
        queue = deque((next(self._numbers), task) for task in tasks)
        order = [number for number, _ in queue]
        scores: dict[int, Score] = {}
        while len(scores) < len(order):
            self._hand_out(queue)
            scores.update(self._collect())
        return [scores[number] for number in order]

    def close(self) -> None:
        """Kill the workers; none is left when this returns."""
        with ExitStack() as stack:
            for worker in self._workers:
                stack.callback(worker.kill)
        self._workers.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _hand_out(self, queue: deque[tuple[int, ScoringTask]]) -> None:
        for worker in self._workers:
            if queue and worker.idle:
                worker.give(*queue.popleft(), self._config.timeout_s)

    def _collect(self) -> Iterator[tuple[int, Score]]:
        """Wait for the first message or deadline; yields what became known, and replaces workers that failed."""
        active = [worker for worker in self._workers if not worker.idle]
        patience = min(worker.deadline for worker in active) - time.monotonic()
        heard = set(wait([worker.connection for worker in active], max(0.0, patience)))
        now = time.monotonic()
        for place, worker in enumerate(self._workers):
            if worker.connection in heard:
                yield from self._hear(place, worker)
            elif not worker.idle and worker.deadline <= now:
                yield from self._overdue(place, worker)

    def _hear(self, place: int, worker: WorkerProcess) -> Iterator[tuple[int, Score]]:
        message = worker.receive()
        if worker.number is None:
            self._check_start(worker, message)
            return
        self._hung.clear()
        if isinstance(message, WorkerReply) and message.number == worker.number:
            yield worker.number, message.score
            if message.score.status is Status.MEMORY:
                self._replace(place)  # what it failed to free would count against the next completions
            else:
                worker.rest()
        else:
            yield worker.number, Score(None, None, Status.CRASHED, detail=f"the worker died: {self._replace(place)}")

    def _overdue(self, place: int, worker: WorkerProcess) -> Iterator[tuple[int, Score]]:
        if worker.number is None:
            worker.kill()
            raise UserError(
                f"reward.kind {self._config.kind!r} is not ready within {START_SECONDS:g} s; does importing it hang?"
            )
        yield worker.number, Score(None, None, Status.TIMEOUT, detail=f"no verdict within {self._config.timeout_s:g} s")
        self._hung.append(worker.prompt_id)
        self._check_hangs()
        self._replace(place)

    def _check_hangs(self) -> None:
        """One prompt may hang with all of its rollouts, and then its group fails; with several the reward is broken."""
        if len(self._hung) < HANGS_IN_A_ROW or len(set(self._hung)) == 1:
            return
        count, prompt_id = len(self._hung), self._hung[-1]
        self._hung.clear()
        raise RunError(
            f"reward.kind {self._config.kind!r} hangs: {count} completions in a row, the last of prompt {prompt_id!r},"
            f" had no verdict within {self._config.timeout_s:g} s; mend the reward, or raise reward.timeout_s"
        )

    def _check_start(self, worker: WorkerProcess, message: Started | WorkerReply | None) -> None:
        """One failed start is final: a reward that cannot be loaded now would be started again for ever."""
        if message == Started():
            worker.rest()
            return
        ended = worker.kill()
        died = f"reward.kind {self._config.kind!r}: its worker died while it started ({ended})"
        raise UserError((message.problem if isinstance(message, Started) else None) or died)

    def _replace(self, place: int) -> str:
        """Kill a worker and start another in its place; says how the old one ended."""
        ended = self._workers[place].kill()
        self._workers[place] = self._start()
        return ended

    def _start(self) -> WorkerProcess:
        return WorkerProcess(self._config, self._search_path)
