"""``loss``: the policy objective, and over what it is averaged."""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from effrl.config.section import ImportPath, PositiveFloat, Section, Share
from effrl.config.section import kind_or as _kind

Reduce = Literal["token", "sequence", "constant"]


Clip = Literal["centered", "paper"]
"""Where the clip of a token lies whose importance weight is w: around w, or around 1 (DOTS + RR, arXiv 2506.05316).

Around 1, what is clipped is ``min(w, tis_cap) * pi / pi_old``: the paper's ``pi / pi_behaviour`` but for the cap, which
it does not have. A replayed token that drifted beyond the clip before the step has no gradient from the start of it.
"""


class LossConfig(Section):
    """What every loss has."""

    reduce: Reduce = "token"
    """Mean over tokens; or over sequences of their mean over tokens; or sum by sequences x ``rollout.max_tokens``."""
    over: Literal["sampled", "trained"] = "sampled"
    """Mean, and KL term, over all that a step sampled, also what has no signal or was dropped (GRPO, Dr. GRPO, RLOO,
    REINFORCE++); or over what is learned from (DAPO). The fewer groups have a signal, the larger the second one is."""
    tis_cap: Annotated[float, Field(ge=1)] = 2.0
    """Largest importance weight of a token: between engine and learner, and between policy versions where stale."""
    beyond_cap: Literal["truncate", "mask"] = "truncate"
    """Tokens beyond the cap count with the cap (TIS), or not at all, as those below ``tis_floor`` (IcePop)."""
    tis_floor: Share = 0.5
    """Smallest importance weight with ``beyond_cap: mask``. IcePop (arXiv 2510.18855) has 0.5 with a cap of 5, as a
    secondary source gives its band."""
    kl: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the KL from the initial model (arXiv 2402.03300, eq. 3); above 0, each rank holds a copy of it."""

    @property
    def scores_silent(self) -> bool:
        """Whether what was sampled without a signal needs a forward pass: for the KL term; else it is only counted."""
        return self.over == "sampled" and self.kl > 0


class ClippedLoss(LossConfig):
    kind: Literal["clipped"] = "clipped"
    """Clipped surrogate (PPO, arXiv 1707.06347, eq. 7) of every token."""
    clip_low: Share = 0.2
    """Lower clip: the ratio is kept above 1 - clip_low."""
    clip_high: PositiveFloat = 0.2
    """Upper clip: the ratio is kept below 1 + clip_high (DAPO, arXiv 2503.14476, uses 0.28)."""


class GspoLoss(LossConfig):
    kind: Literal["gspo"] = "gspo"
    """Clipped surrogate of every sequence, by its ratio per token (GSPO, arXiv 2507.18071, eq. 5)."""
    reduce: Reduce = "sequence"
    """As for every loss; ``sequence`` is the paper's."""
    clip_low: Share = 3e-4
    """Lower clip of the sequence's ratio; the paper's value."""
    clip_high: PositiveFloat = 4e-4
    """Upper clip of the sequence's ratio; the paper's value."""


class CispoLoss(LossConfig):
    kind: Literal["cispo"] = "cispo"
    """REINFORCE whose importance weight is clipped, and whose gradient is not (CISPO, arXiv 2506.13585, eq. 4)."""
    clip_low: Share = 1.0
    """The weight is kept above 1 - clip_low; like the paper's, the default sets no lower bound."""
    clip_high: PositiveFloat = 4.0
    """The weight is kept below 1 + clip_high. The paper tunes it without giving a value; the default is our choice."""


class PluginLoss(LossConfig):
    kind: ImportPath
    """Import path of your own policy loss (see :class:`effrl.loss.tokens.PolicyLoss`)."""


AnyLoss = Annotated[
    Annotated[ClippedLoss, Tag("clipped")]
    | Annotated[GspoLoss, Tag("gspo")]
    | Annotated[CispoLoss, Tag("cispo")]
    | Annotated[PluginLoss, Tag("plugin")],
    Discriminator(_kind("clipped")),
]
