"""``label.rest``: what becomes of the groups whose label is not bought. A filter says which votes may train."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from effrl.config.buy import named
from effrl.config.section import Section, Share, kind_or


class DropRest(Section):
    kind: Literal["drop"] = "drop"
    """None of them is learned from."""


class VoteRest(Section):
    kind: Literal["vote"] = "vote"
    """All are supervised by their majority vote."""


class GateRest(Section):
    kind: Literal["gate"] = "gate"
    """Those whose vote a probe trusts most are supervised by it, and the others dropped (RLAVR/CARE)."""
    share: Share = 0.25
    """Groups of a step whose vote is trusted, which leaves them out of the ranking too; the paper's."""
    warmup: Annotated[int, Field(ge=0)] = 20
    """Steps of a stage in which no vote is trusted, since the probe knows nothing yet; the paper's."""
    contrasting: bool = False
    """Trust only groups that are not unanimous: the paper's gate spends places on groups without a gradient."""
    soft: Annotated[float, Field(gt=0, le=1)] = 1.0
    """A trusted group counts min(1, soft x its expected gap); at 1, the paper's, that is 1 wherever it matters."""


class TrapoRest(Section):
    kind: Literal["trapo"] = "trapo"
    """Those whose pass rates, visit by visit, move like those of prompts with a label (TraPO, arXiv 2512.13106). It
    needs prompts that come again: many epochs over few of them."""
    warmup: Annotated[int, Field(ge=0)] = 8
    """Visits of a prompt that are noted before its vote may train; the paper's, in epochs."""
    top: Share = 0.1
    """Groups of a step, as a share of those without a label, that train whatever their score is; at least one."""
    threshold: Annotated[float, Field(ge=-1, le=1)] = 0.4
    """Mean correlation from which a vote trains in any case."""


AnyRest = Annotated[
    Annotated[DropRest, Tag("drop")]
    | Annotated[VoteRest, Tag("vote")]
    | Annotated[GateRest, Tag("gate")]
    | Annotated[TrapoRest, Tag("trapo")],
    Discriminator(kind_or("drop")),
    BeforeValidator(named),
]
