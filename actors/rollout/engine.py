"""One vLLM engine in this process, driven from one thread; token ids in and out.

Out-of-process engines poll each other and are several times slower on a CPU. In process, weights are swapped between
two engine steps, so no token can be sampled from a half-loaded version. A model that is spread over several devices has
a process of vLLM's for each; scheduling stays here, and so does that.
"""

import os
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from vllm import EngineArgs, LLMEngine, RequestOutput, SamplingParams
from vllm.config import WeightTransferConfig
from vllm.inputs.engine import tokens_input

from actors.machine import give_back_memory
from actors.rollout.sampling import EngineOptions
from actors.rollout.transfer import BACKEND, ShmTransfer, register
from effrl.errors import RunError
from effrl.types import Int32

EXTENSION = "actors.rollout.extension.Extension"
DEATH_S = 15.0
"""Within which vLLM notices that one of its processes is gone, and ends the others."""


class Engine:
    """Submit requests by name, step until they are finished, swap weights in between."""

    def __init__(self, options: EngineOptions, transfer: type[ShmTransfer]) -> None:
        register(transfer)
        self._asleep: set[str] = set()
        self._engine = LLMEngine.from_engine_args(_arguments(options))
        self._in_parts = options.parts > 1
        if self._in_parts:
            _die_with_parts(self._engine)
        self._engine.collective_rpc("init_weight_transfer_engine", kwargs={"init_info": {}})
        self._serve(options.version)

    @property
    def tokenizer(self) -> Any:
        """The model's Hugging Face tokenizer."""
        return self._engine.get_tokenizer()

    def sample(self, name: str, ids: Int32, seed: int, parameters: Mapping[str, Any]) -> None:
        """Submit a prompt [P] for one completion, with the parameters of a :class:`SampleRequest`."""
        self._submit(name, ids, SamplingParams(seed=seed, **parameters))

    def score(self, name: str, ids: Int32) -> None:
        """Submit a sequence [L] for the log-probs of its tokens."""
        self._submit(name, ids, SamplingParams(max_tokens=1, prompt_logprobs=0))

    def step(self) -> dict[str, RequestOutput]:
        """Sample one token of every request that runs; the outputs of those that are finished with it, by name."""
        with self._unless_a_part_died():
            return {output.request_id: output for output in self._engine.step() if output.finished}

    def abort(self, names: Iterable[str]) -> None:
        """Forget requests; the names of those that are finished or unknown do no harm."""
        self._engine.abort_request(list(names))

    def load(self, update: Mapping[str, Any], version: int) -> str:
        """Replace the weights by those that an update tells of; returns the digest of what the model took.

        Requests that run go on with the new weights: what they have sampled stays, and its keys and values are computed
        anew. So every token is of the version that its span names, from the prompt on.

        A failure in the middle leaves a broken model, not the old one; bytes are verified before it is touched.
        """
        if "weights" in self._asleep:
            raise RunError("weights that sleep cannot be replaced: wake them first")
        with self._unless_a_part_died():
            self._engine.collective_rpc("start_weight_update")
            self._engine.collective_rpc("update_weights", kwargs={"update_info": dict(update)})
            self._engine.collective_rpc("finish_weight_update")
            checksum, *others = self._engine.collective_rpc(_checksum_of_loaded)
        self._serve(version)
        give_back_memory()
        if any(other != checksum for other in others):
            raise RunError(f"the parts of an engine took different weights of version {version}")
        return str(checksum)

    def sleep(self) -> None:
        """Give the GPU's memory to others: weights go to the host, the cache is let go."""
        self._engine.sleep(level=1)
        self._asleep = {"weights", "kv_cache"}

    def wake(self, part: str) -> None:
        """Take back the memory of the ``weights`` or of the ``kv_cache``; awake already, nothing happens."""
        if part in self._asleep:
            self._engine.wake_up(tags=[part])
            self._asleep.remove(part)

    @contextmanager
    def _unless_a_part_died(self) -> Iterator[None]:
        """End this process where a part hangs, and let it end where one has died: then the engine is replaced.

        The part that lives may be the first to tell, of a connection that is gone: an error like any other, which would
        end the run.
        """
        try:
            yield
        except TimeoutError:
            if self._in_parts:
                traceback.print_exc()
                os._exit(1)
            raise
        except RuntimeError:
            if self._in_parts:
                time.sleep(DEATH_S)
            raise

    def _serve(self, version: int) -> None:
        self.version = version
        self._engine.set_weight_version(str(version))
        # Cached prefixes of the old version would be continued, and those of running requests would keep it from going.
        self._engine.reset_prefix_cache(reset_running_requests=True)

    def _submit(self, name: str, ids: Int32, params: SamplingParams) -> None:
        if self._asleep:
            raise RunError(f"the engine sleeps ({', '.join(sorted(self._asleep))}): wake it before it samples")
        self._engine.add_request(name, tokens_input(ids.tolist()), params)


def _arguments(options: EngineOptions) -> EngineArgs:
    return EngineArgs(
        model=options.model,
        dtype=options.dtype,
        max_model_len=options.context,
        seed=options.seed % 2**32,
        max_num_seqs=options.max_sequences,
        gpu_memory_utilization=options.gpu_memory,
        enable_sleep_mode=options.colocated,
        kv_cache_memory_bytes=None if options.gpus else int(options.kv_cache_gb * 2**30),
        enforce_eager=options.gpus == 0,  # compiling for a CPU costs more than it saves, and needs a C++ compiler
        logprobs_mode="processed_logprobs",  # of what was sampled from, after temperature
        tensor_parallel_size=options.parts,
        distributed_executor_backend="mp" if options.parts > 1 else None,  # in a Ray actor it would take Ray's
        worker_extension_cls=EXTENSION if options.parts > 1 else "",
        weight_transfer_config=WeightTransferConfig(backend=BACKEND),
        enable_prefix_caching=True,
        # A seeded request whose prompt is cut in two rewinds its random generator, which a CPU generator cannot do.
        enable_chunked_prefill=options.gpus > 0,
        disable_log_stats=True,
    )


def _die_with_parts(engine: LLMEngine) -> None:
    """End this process when one of vLLM's is gone: Ray then tells of the loss, and the whole engine is replaced."""
    engine.model_executor.register_failure_callback(lambda: os._exit(1))


def _checksum_of_loaded(worker: Any) -> str:
    """Runs in the engine's worker: the digest of what its transfer engine handed to the model."""
    checksum: str = worker.weight_transfer_engine.loaded.checksum
    return checksum
