"""How right the tiers are on prompts whose true label is known: whether agreement can be trusted this round."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from effrl.config.stages import PseudoPool
from effrl.label.easyrl.items import PoolLook, Precision, PseudoLabel, Tier
from effrl.label.easyrl.tiers import decide
from effrl.types import Prompt

AnchorJudge = Callable[[Sequence[tuple[Prompt, str]]], Awaitable[Sequence[bool | None]]]
"""Which completions are right by their prompt's label; None where there is no label, or it could not be compared."""


@dataclass(frozen=True, slots=True)
class AnchorTrial:
    """What the rules of a round made of the anchor."""

    trusted: bool
    """Whether consistent answers are. Without any to judge, nothing speaks for them."""
    tiers: Mapping[Tier, Precision]

    @property
    def selected(self) -> Precision:
        """Of all labels that the round trusts."""
        counted = [found for tier, found in self.tiers.items() if self.trusted or tier != "consistent"]
        return Precision(sum(found.right for found in counted), sum(found.of for found in counted))

    @property
    def metrics(self) -> dict[str, float]:
        """``prepare/anchor_*``: the share of right labels of each tier that has any, and of those selected."""
        known: dict[str, Precision] = {str(tier): found for tier, found in self.tiers.items()}
        known["selected"] = self.selected
        shares = {f"prepare/anchor_{name}": found.share for name, found in known.items() if found.of}
        return {**shares, "prepare/consistent_trusted": float(self.trusted)}


async def tried(
    anchor: Sequence[Prompt], looks: Sequence[PoolLook], config: PseudoPool, limit: float, judge: AnchorJudge
) -> AnchorTrial:
    """Decide on the anchor as on the pool, with the pool's threshold, and compare with its labels."""
    found = [decide(look, config, limit, trusted=True) for look in looks]
    labelled = [(prompt, entry) for prompt, entry in zip(anchor, found, strict=True) if isinstance(entry, PseudoLabel)]
    right = await judge([(prompt, entry.text) for prompt, entry in labelled])
    tiers = precisions([entry for _, entry in labelled], right)
    needed, agreed = config.consistent_needs, tiers["consistent"]
    return AnchorTrial(needed is None or (agreed.of > 0 and agreed.share >= needed), tiers)


def precisions(labels: Sequence[PseudoLabel], right: Sequence[bool | None]) -> dict[Tier, Precision]:
    """How many labels of each tier are right; those of which nobody knows do not count."""
    known = [(label.tier, verdict) for label, verdict in zip(labels, right, strict=True) if verdict is not None]
    tiers: tuple[Tier, ...] = ("consistent", "reflected")
    verdicts = {tier: [verdict for other, verdict in known if other == tier] for tier in tiers}
    return {tier: Precision(sum(found), len(found)) for tier, found in verdicts.items()}
