"""The rollout actor: one vLLM engine in this process, driven from one thread; token ids in and out.

Out-of-process engines poll each other and are several times slower on a CPU; in process, weights are swapped between
two engine steps, so no token can be sampled from a half-loaded version.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from vllm import EngineArgs, LLMEngine, RequestOutput, SamplingParams
from vllm.config import WeightTransferConfig
from vllm.inputs.engine import tokens_input
from vllm.outputs import CompletionOutput

from actors.role import Role
from actors.snapshot import Landing, Manifest, verify
from actors.transfer import BACKEND, ShmTransfer, register
from effrl.data.render import render
from effrl.types import Canary, Float32, Int32, Prompt, Receipt, Rollout


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an engine is started with."""

    model: str
    dtype: str
    context: int | None
    version: int
    """Policy version of the weights in ``model``."""
    seed: int
    kv_cache_gb: float
    """Memory of the key-value cache, in GiB, on a CPU; a GPU gives what it has left."""
    gpus: int
    max_sequences: int = 256


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One prompt to sample; ``seeds`` has one entry per rollout, so results do not depend on how work is shared out."""

    prompt: Prompt
    seeds: tuple[int, ...]
    max_tokens: int
    temperature: float


@dataclass(frozen=True, slots=True)
class Sampled:
    """Token ids [P] of the rendered prompt, and its rollouts in the order of their seeds."""

    prompt_ids: Int32
    rollouts: tuple[Rollout, ...]


class RolloutWorker(Role):
    """Samples, scores token sequences, and loads published weights."""

    transfer: type[ShmTransfer] = ShmTransfer

    def __init__(self, name: str, run_dir: Path, version: str, options: EngineOptions) -> None:
        super().__init__(name, run_dir, version)
        register(self.transfer)
        self.landing = Landing(blake2b(str(run_dir).encode(), digest_size=6).hexdigest())
        self.landing.sweep()
        self.engine = LLMEngine.from_engine_args(_engine_args(options))
        self.tokenizer: Any = self.engine.get_tokenizer()
        self.engine.collective_rpc("init_weight_transfer_engine", kwargs={"init_info": {}})
        self.engine.set_weight_version(str(options.version))

    def sample(self, requests: Sequence[SampleRequest]) -> list[Sampled]:
        """Sample every request to its end.

        All are submitted before the engine's first step and assigned by id: neither the order of completion nor the
        time of arrival can leak into a run.
        """
        prompts = self.render([request.prompt for request in requests])
        for index, (request, ids) in enumerate(zip(requests, prompts, strict=True)):
            for sample, seed in enumerate(request.seeds):
                params = SamplingParams(
                    temperature=request.temperature, max_tokens=request.max_tokens, seed=seed, logprobs=0
                )
                self._submit(f"{index}/{sample}", ids, params)
        outputs = self._drain()
        return [
            Sampled(ids, tuple(_rollout(outputs[f"{index}/{sample}"]) for sample in range(len(request.seeds))))
            for index, (request, ids) in enumerate(zip(requests, prompts, strict=True))
        ]

    def render(self, prompts: Sequence[Prompt]) -> list[Int32]:
        """Token ids of prompts, as :meth:`sample` would use them."""
        return [render(self.tokenizer, prompt.content) for prompt in prompts]

    def logprobs(self, canary: Canary) -> Float32:
        """Log-probs of the canary's sampled tokens under the weights that are served now, concatenated."""
        for index, ids in enumerate(canary.ids):
            self._submit(str(index), ids, SamplingParams(max_tokens=1, prompt_logprobs=0))
        outputs = self._drain()
        values: list[float] = []
        for index, (ids, start) in enumerate(zip(canary.ids, canary.prompt_lengths, strict=True)):
            scored = outputs[str(index)].prompt_logprobs
            assert scored is not None, "prompt log-probs were asked for"
            values += [scored[t][int(ids[t])].logprob for t in range(start, len(ids))]  # type: ignore[index]
        return np.array(values, np.float32)

    def load(self, data: NDArray[np.uint8], manifest: Manifest, version: int) -> Receipt:
        """Load a published version and confirm what the model took.

        What arrived is verified before the engine is touched: a failed update leaves a broken model, not the old one.
        """
        path = self.landing.land(data, manifest)
        verify(path, manifest)
        self.engine.collective_rpc("start_weight_update")
        self.engine.collective_rpc("update_weights", kwargs={"update_info": {"path": str(path)}})
        self.engine.collective_rpc("finish_weight_update")
        self.engine.set_weight_version(str(version))
        self.engine.reset_prefix_cache()  # or cached prefixes of the old version would be served
        [loaded] = self.engine.collective_rpc(_checksum_of_loaded)
        return Receipt(self.name, version, loaded)

    def drop(self, manifest: Manifest) -> None:
        """Free the landed file of a version that every worker has loaded."""
        self.landing.drop(manifest)

    def _submit(self, name: str, ids: Int32, params: SamplingParams) -> None:
        self.engine.add_request(name, tokens_input(ids.tolist()), params)

    def _drain(self) -> dict[str, RequestOutput]:
        outputs: dict[str, RequestOutput] = {}
        while self.engine.has_unfinished_requests():
            for output in self.engine.step():
                if output.finished:
                    outputs[output.request_id] = output
        return outputs


def _engine_args(options: EngineOptions) -> EngineArgs:
    return EngineArgs(
        model=options.model,
        dtype=options.dtype,
        max_model_len=options.context,
        seed=options.seed % 2**32,
        max_num_seqs=options.max_sequences,
        kv_cache_memory_bytes=None if options.gpus else int(options.kv_cache_gb * 2**30),
        enforce_eager=options.gpus == 0,  # compiling for a CPU costs more than it saves, and needs a C++ compiler
        logprobs_mode="processed_logprobs",  # of what was sampled from, after temperature
        weight_transfer_config=WeightTransferConfig(backend=BACKEND),  # type: ignore[arg-type]
        enable_prefix_caching=True,
        disable_log_stats=True,
    )


def _rollout(output: RequestOutput) -> Rollout:
    [completion] = output.outputs
    versions = [int(span.version) for span in completion.weight_versions or ()]
    return Rollout(
        token_ids=np.asarray(completion.token_ids, np.int32),
        logprobs=_sampled_logprobs(completion),
        text=completion.text,
        finish_reason="stop" if completion.finish_reason == "stop" else "length",
        version_min=min(versions),
        version_max=max(versions),
    )


def _sampled_logprobs(completion: CompletionOutput) -> Float32:
    assert completion.logprobs is not None, "log-probs were asked for"
    pairs = zip(completion.token_ids, completion.logprobs, strict=True)
    return np.array([candidates[token].logprob for token, candidates in pairs], np.float32)


def _checksum_of_loaded(worker: Any) -> str:
    """Runs in the engine's worker: the digest of what its transfer engine handed to the model."""
    checksum: str = worker.weight_transfer_engine.loaded.checksum
    return checksum
