"""The rollout actor: samples groups, scores token sequences, and loads published weights.

Its methods are coroutines, of which many are under way at a time; all that the engine does, it does in its own thread.
"""

import asyncio
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.role import Role
from actors.rollout.outputs import rollout, scored_logprobs
from actors.rollout.sampling import EngineOptions, Sampled, SampleRequest
from actors.snapshot import Arrays, Manifest, verify
from effrl.config.template import Form
from effrl.data.render import Renderer
from effrl.errors import Malformed, UserError
from effrl.select.ufo.target import target_ids, user_text_ids
from effrl.types import Canary, Continuation, Float32, Int32, Prompt, Receipt

if TYPE_CHECKING:
    from actors.rollout.engine import Engine
    from actors.rollout.transfer import ShmTransfer


class RolloutWorker(Role):
    """One engine. vLLM is imported here alone, in the actor's process: on a CPU it patches torch."""

    def __init__(self, name: str, run_dir: Path, version: str, options: EngineOptions) -> None:
        super().__init__(name, run_dir, version)
        from actors.rollout.engine import Engine
        from actors.rollout.thread import EngineThread

        self.colocated = options.colocated
        self.thread = EngineThread(lambda: Engine(options, self.transfer()))
        self.renderer = Renderer(self.thread.engine.tokenizer, options.chat_template_kwargs)
        self._serial = count()
        self._leases: dict[str, list[str]] = {}
        """Names of the requests of each lease that is under way."""

    def transfer(self) -> "type[ShmTransfer]":
        """vLLM's side of the weight transport."""
        from actors.rollout.transfer import IpcTransfer, ShmTransfer

        return IpcTransfer if self.colocated else ShmTransfer

    async def render(self, prompts: Sequence[Prompt]) -> list[Int32]:
        """Token ids of prompts, as :meth:`sample` uses them.

        Raises:
            UserError: the chat template refuses one.
        """
        return self._rendered(prompts)

    def _rendered(self, prompts: Sequence[Prompt]) -> list[Int32]:
        return [self._ids(prompt) for prompt in prompts]

    def _ids(self, prompt: Prompt) -> Int32:
        try:
            return self.renderer.ids(prompt.content)
        except Malformed as problem:
            raise UserError(f"prompt {prompt.id}: {problem}") from problem

    async def target_ids(self, targets: Sequence[tuple[Prompt, str]], prefix: str) -> list[Continuation]:
        """Token ids of (prompt, target) pairs with a prefix in between, to be scored.

        Raises:
            UserError: the tokenizer cannot tell which tokens are a target's, or the chat template refuses a prompt.
        """
        found = []
        for prompt, target in targets:
            try:
                found.append(target_ids(self.renderer, prompt.content, prefix, target))
            except (ValueError, Malformed) as error:
                raise UserError(f"the target of prompt {prompt.id} cannot be scored: {error}") from error
        return found

    async def user_text_ids(self, prompts: Sequence[Prompt], form: Form) -> list[Continuation]:
        """Token ids of prompts up to the end of the users' own texts, to be scored; raises as :meth:`target_ids`."""
        found = []
        for prompt in prompts:
            try:
                found.append(user_text_ids(self.renderer, prompt.content, form))
            except (ValueError, Malformed) as error:
                raise UserError(f"the text of prompt {prompt.id} cannot be scored: {error}") from error
        return found

    async def sample(self, lease: str, requests: Sequence[SampleRequest]) -> list[Sampled]:
        """Sample every request of a lease to its end, or until the lease is aborted: what is left has failed then.

        All are submitted before the engine's next step and assigned by name: neither the order of completion nor the
        time of arrival can leak into a run, unless several leases are under way.
        """
        prompts = self._rendered([request.prompt for request in requests])
        names = [[f"{lease}/{index}/{n}" for n in range(len(entry.seeds))] for index, entry in enumerate(requests)]

        def submit(engine: "Engine") -> None:
            for request, ids, own in zip(requests, prompts, names, strict=True):
                for name, seed in zip(own, request.seeds, strict=True):
                    engine.sample(name, ids, seed, request.parameters())

        self._leases[lease] = [name for own in names for name in own]
        try:
            outputs = await self.thread.sample(self._leases[lease], submit)
        finally:
            del self._leases[lease]
        version = self.thread.engine.version
        return [
            Sampled(ids, tuple(rollout(outputs.get(name), version) for name in own))
            for ids, own in zip(prompts, names, strict=True)
        ]

    async def abort(self, lease: str) -> None:
        """End a lease that nobody waits for any more; one that is unknown has ended by itself."""
        await self.thread.abort(self._leases.get(lease, ()))

    async def logprobs(self, canary: Canary) -> Float32:
        """Log-probs of the canary's sampled tokens under the weights that are served now, concatenated."""
        number = next(self._serial)
        names = [f"canary {number}/{index}" for index in range(len(canary.ids))]

        def submit(engine: "Engine") -> None:
            for name, ids in zip(names, canary.ids, strict=True):
                engine.score(name, ids)

        outputs = await self.thread.sample(names, submit)
        values: list[float] = []
        for name, ids, start in zip(names, canary.ids, canary.prompt_lengths, strict=True):
            values += scored_logprobs(outputs[name], ids, start)
        return np.array(values, np.float32)

    async def load(self, data: Arrays, manifest: Manifest, version: int) -> Receipt:
        """Load a published version, and confirm what the model took.

        Raises:
            RunError: what arrived is not what was sent; the engine was not touched.
        """
        await asyncio.to_thread(verify, data, manifest)
        return await self.load_exported({"data": data, "manifest": manifest}, version)

    async def load_exported(self, update: Mapping[str, Any], version: int) -> Receipt:
        """Load what an update tells of, as a learner rank on the same GPU does; confirm what the model took."""
        return Receipt(self.name, version, await self.thread.order(lambda engine: engine.load(update, version)))

    async def sleep(self) -> None:
        """Leave the GPU to the learner."""
        await self.thread.order(lambda engine: engine.sleep())

    async def wake(self, part: str) -> None:
        """Take back the GPU's memory, in two parts: ``weights``, then ``kv_cache``."""
        await self.thread.order(lambda engine: engine.wake(part))
