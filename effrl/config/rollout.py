"""``rollout``: how a step is sampled."""

from collections.abc import Sequence
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from effrl.config.section import PositiveFloat, PositiveInt, Section, Share


def _stops(value: object) -> object:
    stops = value if isinstance(value, list | tuple) else [value]
    for stop in stops:
        if isinstance(stop, bool) or not (stop if isinstance(stop, str) else isinstance(stop, int) and stop >= 0):
            raise ValueError('each stop is a text or a token id: write them as a list, like ["</answer>", 2]')
    return stops


class PassBand(Section):
    low: Share = 0.2
    """Smallest share of right rollouts of a group that is learned from."""
    high: Share = 0.8
    """Largest share."""

    def holds(self, outcomes: Sequence[float]) -> bool:
        """Whether a group of these outcomes lies within, bounds included: 1 of 5 does not miss 0.2 by a rounding."""
        total, slack = sum(outcomes), 1e-9 * len(outcomes)
        return self.low * len(outcomes) - slack <= total <= self.high * len(outcomes) + slack

    @model_validator(mode="after")
    def _in_order(self) -> "PassBand":
        if self.low > self.high:
            raise ValueError(f"low ({self.low}) is above high ({self.high}), and no group lies between: swap them")
        return self


class RolloutConfig(Section):
    prompts: PositiveInt = 32
    """Groups to train on per step."""
    per_prompt: Annotated[int, Field(ge=2)] = 8
    """Rollouts per prompt; a group of one has no relative advantage."""
    max_tokens: PositiveInt = 1024
    """Longest completion."""
    temperature: PositiveFloat = 1.0
    """Sampling temperature."""
    stop: Annotated[tuple[int | str, ...], BeforeValidator(_stops)] = ()
    """Texts or token ids that end a completion, such as ["</answer>"]; what was sampled of them stays part of it."""
    max_staleness: Annotated[int, Field(ge=0)] = 0
    """Policy versions that a rollout may be behind the learner: with 1, the next step is sampled while this one is
    learned. Above 0, a step takes the groups that are finished first."""
    refill: Annotated[float, Field(ge=0)] = 0.5
    """Tokens that a step may spend on replacing groups without signal, as a multiple of its first draw's tokens."""
    filter: PassBand | None = None
    """Learn only from groups whose share of right rollouts lies in a band, {low: 0.2, high: 0.8} in PRIME (arXiv
    2502.01456, section 4.2); others are replaced as far as ``refill`` lasts. All with a signal, by default."""
    screen: Annotated[int, Field(ge=2)] | None = None
    """Rollouts of each group that are looked at before the others are sampled: a group that is all right or all wrong
    so far is stopped (SPEED-RL, arXiv 2506.09016). Off by default."""
    kv_cache_gb: PositiveFloat = 1.0
    """Memory for the key-value cache of one engine on a CPU, in GiB."""
    gpu_memory: Share = 0.9
    """Share of a GPU's memory for one engine, weights and cache; less where ``cluster.colocate`` shares the GPU."""
