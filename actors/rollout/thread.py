"""The thread that an engine lives in: it steps while there is something to sample, and serves orders in between."""

import asyncio
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar, cast

if TYPE_CHECKING:
    from vllm import RequestOutput

    from actors.rollout.engine import Engine

T = TypeVar("T")
Outputs = dict[str, "RequestOutput"]
"""By name of the request."""


class EngineThread:
    """One thread for all that an engine does: vLLM's CPU worker keeps a pool of OpenMP threads for each of its callers.

    Who samples and who gives orders may be many, and none of them waits for another's rollouts: new requests join those
    that are under way, weights are swapped between two steps of the engine.
    """

    def __init__(self, make: "Callable[[], Engine]") -> None:
        """Make the engine in its thread, and wait until it is there; raises what ``make`` raises."""
        self._orders: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._sampling: list[_Sampling] = []
        ready: Future[None] = Future()
        Thread(target=self._live, args=(make, ready), name="engine", daemon=True).start()
        ready.result()

    async def order(self, call: "Callable[[Engine], T]") -> T:
        """What ``call`` returns or raises; it runs between two steps of the engine, in the order of the orders."""
        future: Future[Any] = Future()
        self._orders.put(lambda: _settle(future, lambda: call(self.engine)))
        return cast(T, await asyncio.wrap_future(future))

    async def sample(self, names: Iterable[str], submit: "Callable[[Engine], None]") -> Outputs:
        """Outputs of the requests that ``submit`` submits under these names, once all are finished.

        All are submitted before the engine's next step, so that no batch depends on the time at which they arrive.
        Those that are aborted meanwhile have no output.
        """
        sampling = _Sampling(set(names))
        self._orders.put(lambda: self._submit(sampling, submit))
        return await asyncio.wrap_future(sampling.outcome)

    async def abort(self, names: Iterable[str]) -> None:
        """Have the engine forget requests; who waits for them gets the others."""
        unwanted = set(names)
        await self.order(lambda engine: self._forget(engine, unwanted))

    def _live(self, make: "Callable[[], Engine]", ready: "Future[None]") -> None:
        try:
            self.engine = make()
        except BaseException as error:  # whoever waits for the engine is told, whatever it is
            ready.set_exception(error)
            return
        ready.set_result(None)
        while True:
            while self._sampling and self._orders.empty():
                self._step()
            self._orders.get()()

    def _submit(self, sampling: "_Sampling", submit: "Callable[[Engine], None]") -> None:
        try:
            submit(self.engine)
        except Exception as error:  # it is raised where the samples are waited for
            self.engine.abort(sampling.names)
            sampling.outcome.set_exception(error)
        else:
            self._sampling.append(sampling)
            self._hand_over({})

    def _forget(self, engine: "Engine", names: set[str]) -> None:
        engine.abort(names)
        for sampling in self._sampling:
            sampling.names -= names - sampling.outputs.keys()
        self._hand_over({})

    def _step(self) -> None:
        try:
            finished = self.engine.step()
        except Exception as error:  # the engine is broken, and so is whatever it was to sample
            for sampling in self._sampling:
                sampling.outcome.set_exception(error)
            self._sampling = []
        else:
            self._hand_over(finished)

    def _hand_over(self, finished: Outputs) -> None:
        for sampling in self._sampling:
            sampling.outputs |= {name: finished[name] for name in sampling.names & finished.keys()}
        done = [sampling for sampling in self._sampling if len(sampling.outputs) == len(sampling.names)]
        self._sampling = [sampling for sampling in self._sampling if sampling not in done]
        for sampling in done:
            sampling.outcome.set_result(sampling.outputs)


class _Sampling:
    """Requests that somebody waits for together."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.outputs: Outputs = {}
        self.outcome: Future[Outputs] = Future()


def _settle(future: "Future[Any]", call: Callable[[], Any]) -> None:
    try:
        future.set_result(call())
    except Exception as error:  # it is raised where the answer is waited for
        future.set_exception(error)
