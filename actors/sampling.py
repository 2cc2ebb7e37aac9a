"""What the driver and a rollout worker say to each other."""

from dataclasses import dataclass

from effrl.types import Int32, Prompt, Rollout


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
