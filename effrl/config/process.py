"""``process``: rewards of single tokens, beside the outcome of a rollout."""

from typing import Annotated, Literal

from pydantic import Discriminator, Tag, model_validator

from effrl.config.learn import LearnConfig
from effrl.config.section import ImportPath, PathOrName, PositiveFloat, Section
from effrl.config.section import kind_or as _kind


class PrmLearnConfig(LearnConfig):
    """As the policy's, with PRIME's values (its code): a gradient of at most beta per sequence is hardly ever cut."""

    clip_norm: PositiveFloat = 10.0
    """Largest norm of the whole gradient."""


class ImplicitPrm(Section):
    """A second language model is trained online to tell right rollouts from wrong ones by its log-ratio to a reference;
    each token's share of that is its reward (PRIME, arXiv 2502.01456)."""

    kind: Literal["implicit_prm"] = "implicit_prm"
    """Implicit process rewards (arXiv 2412.01981): ``r_t = beta (log PRM(y_t) - log reference(y_t))``."""
    path: PathOrName | None = None
    """What the PRM starts as; the policy's initial model by default, which PRIME found better than a PRM that was
    trained before."""
    beta: PositiveFloat = 0.05
    """Reward of one nat."""
    reference: Literal["initial", "policy"] = "initial"
    """The policy's initial model, or the policy before the step: one model and one forward pass less (section 4.4)."""
    loss: Literal["ce", "dpo", "bon_acc", "bon_rm"] = "ce"
    """Cross-entropy with outcomes, or preference losses against the group's other rollouts as scored before the step;
    ``bon_acc`` and ``bon_rm`` count the best of a group most, by outcome or by reward."""
    order: Literal["after", "before", "none"] = "after"
    """Learn after a step is scored, in one forward pass; before it, in two; or not at all."""
    granularity: Literal["token", "whole"] = "token"
    """Each token has its reward, or the last one all of them."""
    normalise: bool = True
    """Divide a step's rewards by the largest sum over the rest of a rollout, but by no less than one nat's reward: at
    the start the differences are rounding, which nobody should learn from."""
    separator: str = "\n"
    """Text that ends a step of a solution, where solutions are scored as a whole (``effrl eval --prm``)."""
    learn: PrmLearnConfig = PrmLearnConfig()
    """The PRM's own optimizer, as ``learn`` is the policy's."""

    @model_validator(mode="after")
    def _gives_rewards(self) -> "ImplicitPrm":
        if self.order == "none" and self.path is None:
            raise ValueError(
                "process.order=none keeps the PRM as it is, and without process.path it is its own reference: all"
                " rewards would be 0; set process.path to a trained PRM, such as runs/NAME/checkpoints/step_N/prm/hf"
            )
        if not self.separator:
            raise ValueError("process.separator is empty: set it to the text that ends a step")
        return self


class PluginProcess(Section):
    kind: ImportPath
    """Import path of your own process rewards (see :class:`effrl.protocols.ProcessRewards`)."""


AnyProcess = Annotated[
    Annotated[ImplicitPrm, Tag("implicit_prm")] | Annotated[PluginProcess, Tag("plugin")],
    Discriminator(_kind("implicit_prm")),
]
