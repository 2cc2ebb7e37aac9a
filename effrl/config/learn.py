"""The ``learn`` section of a config: optimizer, schedule, and how a step is cut up and shared out."""

from typing import Annotated, Literal

from pydantic import Field

from effrl.config.section import PositiveFloat, PositiveInt, Section, Share

CPU_PASS_TOKENS = 1024
"""Of one forward pass on a CPU. With 16,384 a step takes 2 to 3 times as long: what a layer leaves for the backward
pass falls out of the caches, and rows of unlike lengths share a pass (docs/speed.md)."""


class LoraConfig(Section):
    rank: PositiveInt = 16
    """Rank of the adapters (LoRA, arXiv 2106.09685); each layer's update is a product of two matrices this narrow."""
    alpha: PositiveFloat = 32.0
    """The product is scaled by ``alpha / rank``."""
    targets: Literal["all"] | tuple[str, ...] = "all"
    """Last names of the linear layers that get adapters, such as [q_proj, v_proj]; never the output layer."""

    @property
    def scale(self) -> float:
        """What the product of the two matrices is multiplied by."""
        return self.alpha / self.rank


class LearnConfig(Section):
    lr: PositiveFloat = 1e-6
    """Largest learning rate of AdamW."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Steps with a smaller learning rate at the start; it rises linearly."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Learning rate after the warm-up; the last two fall towards 0 at ``run.steps``, and a resume may move that."""
    updates: PositiveInt = 1
    """Optimizer steps per batch, each over its share of whole groups; more than 1 is off-policy, within the clip."""
    betas: tuple[Share, Share] = (0.9, 0.95)
    """Moment decay rates of AdamW."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Decoupled weight decay of AdamW."""
    clip_norm: PositiveFloat = 1.0
    """Largest norm of the whole gradient."""
    micro_batch_tokens: PositiveInt = 16384
    """Most tokens of one forward pass on one rank, padding included; a CPU is given 1,024 at most, since it is slower
    with more. The gradient does not depend on it."""
    zero: Literal[0, 1, 2, 3] = 1
    """What the ranks share out (ZeRO): nothing, optimizer states, gradients too, or parameters too; see
    docs/learner.md."""
    activation_checkpointing: bool = False
    """Keep only the input of each layer for the backward pass: a third more time, far less memory."""
    lora: LoraConfig | None = None
    """Train low-rank adapters on the frozen model, and publish and export them merged; all weights by default."""
