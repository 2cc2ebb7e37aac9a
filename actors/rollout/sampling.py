"""What the driver and a rollout worker say to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from effrl.config.template import ChatArgument
from effrl.types import (
    Int32,
    Prompt,
    Rollout,
)


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What an engine is started with."""

    model: str
    dtype: str
    context: int
    version: int
    """Policy version of the weights in ``model``."""
    seed: int
    kv_cache_gb: float
    """Memory of the key-value cache on a CPU, in GiB; a GPU gives what it has left."""
    gpus: int
    """GPUs that the model is spread over (tensor parallel), 0 on a CPU."""
    cpu_parts: int = 1
    """The same without GPUs, as it is tested."""
    gpu_memory: float = 0.9
    """Share of a GPU's memory."""
    colocated: bool = False
    """Whether the GPU is shared with a learner rank: then the engine can sleep."""
    max_sequences: int = 256
    chat_template_kwargs: Mapping[str, ChatArgument] = field(default_factory=dict)
    """What the chat template is given besides the messages."""

    @property
    def parts(self) -> int:
        """Processes of vLLM's that have a part of the model each; with one, it is in the actor's own process."""
        return self.gpus or self.cpu_parts


@dataclass(frozen=True, slots=True)
class SampleRequest:
    """One prompt to sample; ``seeds`` has one entry per rollout, so results do not depend on how work is shared out."""

    prompt: Prompt
    seeds: tuple[int, ...]
    max_tokens: int
    temperature: float
    stop: tuple[int | str, ...] = ()
    """Texts and token ids that end a completion."""

    def parameters(self) -> dict[str, Any]:
        """vLLM's sampling parameters, but for the seed.

        A stop belongs to the completion, as the end-of-sequence token does: its tokens were sampled, so they are
        learned (or the policy would never learn to stop), and the text holds all of them, since a reward may look for
        it. The token that completes a text may say more than that text; the text of the completion then ends before.
        """
        return {
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "stop": [stop for stop in self.stop if isinstance(stop, str)],
            "stop_token_ids": [stop for stop in self.stop if isinstance(stop, int)],
            "include_stop_str_in_output": bool(self.stop),
            "logprobs": 0,
        }


@dataclass(frozen=True, slots=True)
class Sampled:
    """Token ids [P] of the rendered prompt, and its rollouts in the order of their seeds."""

    prompt_ids: Int32
    rollouts: tuple[Rollout, ...]
