"""The rollout actor: samples groups, scores token sequences, and loads published weights."""

from collections.abc import Mapping, Sequence
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
    from actors.rollout.transfer import ShmTransfer


class RolloutWorker(Role):
    """One engine. vLLM is imported here alone, in the actor's process: on a CPU it patches torch."""

    def __init__(self, name: str, run_dir: Path, version: str, options: EngineOptions) -> None:
        super().__init__(name, run_dir, version)
        from actors.rollout.engine import Engine

        self.colocated = options.colocated
        self.engine = Engine(options, self.transfer())
        self.renderer = Renderer(self.engine.tokenizer, options.chat_template_kwargs)

    def transfer(self) -> "type[ShmTransfer]":
        """vLLM's side of the weight transport."""
        from actors.rollout.transfer import IpcTransfer, ShmTransfer

        return IpcTransfer if self.colocated else ShmTransfer

    def render(self, prompts: Sequence[Prompt]) -> list[Int32]:
        """Token ids of prompts, as :meth:`sample` uses them.

        Raises:
            UserError: the chat template refuses one.
        """
        return [self._ids(prompt) for prompt in prompts]

    def _ids(self, prompt: Prompt) -> Int32:
        try:
            return self.renderer.ids(prompt.content)
        except Malformed as problem:
            raise UserError(f"prompt {prompt.id}: {problem}") from problem

    def target_ids(self, targets: Sequence[tuple[Prompt, str]], prefix: str) -> list[Continuation]:
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

    def user_text_ids(self, prompts: Sequence[Prompt], form: Form) -> list[Continuation]:
        """Token ids of prompts up to the end of the users' own texts, to be scored; raises as :meth:`target_ids`."""
        found = []
        for prompt in prompts:
            try:
                found.append(user_text_ids(self.renderer, prompt.content, form))
            except (ValueError, Malformed) as error:
                raise UserError(f"the text of prompt {prompt.id} cannot be scored: {error}") from error
        return found

    def sample(self, requests: Sequence[SampleRequest]) -> list[Sampled]:
        """Sample every request to its end.

        All are submitted before the engine's first step and assigned by name: neither the order of completion nor the
        time of arrival can leak into a run.
        """
        prompts = self.render([request.prompt for request in requests])
        for index, (request, ids) in enumerate(zip(requests, prompts, strict=True)):
            for n, seed in enumerate(request.seeds):
                self.engine.sample(f"{index}/{n}", ids, seed, request.parameters())
        outputs, version = self.engine.drain(), self.engine.version
        return [
            Sampled(ids, tuple(rollout(outputs[f"{index}/{n}"], version) for n in range(len(request.seeds))))
            for index, (request, ids) in enumerate(zip(requests, prompts, strict=True))
        ]

    def logprobs(self, canary: Canary) -> Float32:
        """Log-probs of the canary's sampled tokens under the weights that are served now, concatenated."""
        for index, ids in enumerate(canary.ids):
            self.engine.score(str(index), ids)
        outputs = self.engine.drain()
        values: list[float] = []
        for index, (ids, start) in enumerate(zip(canary.ids, canary.prompt_lengths, strict=True)):
            values += scored_logprobs(outputs[str(index)], ids, start)
        return np.array(values, np.float32)

    def load(self, data: Arrays, manifest: Manifest, version: int) -> Receipt:
        """Load a published version, and confirm what the model took.

        Raises:
            RunError: what arrived is not what was sent; the engine was not touched.
        """
        verify(data, manifest)
        return Receipt(self.name, version, self.engine.load({"data": data, "manifest": manifest}, version))

    def load_exported(self, update: Mapping[str, Any], version: int) -> Receipt:
        """Load what a learner rank on the same GPU shows, and confirm what the model took."""
        return Receipt(self.name, version, self.engine.load(update, version))

    def sleep(self) -> None:
        """Leave the GPU to the learner."""
        self.engine.sleep()

    def wake(self, part: str) -> None:
        """Take back the GPU's memory, in two parts: ``weights``, then ``kv_cache``."""
        self.engine.wake(part)
