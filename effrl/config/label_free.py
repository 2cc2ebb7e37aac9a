"""``label`` without labels: pseudo-labels of a group's own answers."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from effrl.config.label_base import LabelConfig
from effrl.config.section import LocalPath, PositiveFloat, PositiveInt, Share


class LabelFree(LabelConfig):
    """What pseudo-labels alone have in common."""

    @property
    def buys(self) -> bool:
        return False

    @property
    def votes(self) -> bool:
        return True


class VoteLabel(LabelFree):
    kind: Literal["vote"] = "vote"
    """Majority votes of a group's own rollouts instead of labels (TTRL, arXiv 2504.16084): nothing is bought."""


class EmpoLabel(LabelFree):
    kind: Literal["empo"] = "empo"
    """A rollout is worth the share of its group that gave its answer (EMPO, arXiv 2504.05812): nothing is bought."""
    gate: tuple[Share, Share] = (0.0, 0.75)
    """Groups train if the entropy of their answers is between these shares of ln n, ends left out. Ours: the paper has
    a gate without values, the released code has none that works."""

    @model_validator(mode="after")
    def _lets_something_pass(self) -> Self:
        low, high = self.gate
        if low >= high:
            raise ValueError(f"label.gate ({low}, {high}) lets no group pass: its first number must be the smaller one")
        return self


class RestrainLabel(LabelFree):
    kind: Literal["restrain"] = "restrain"
    """All answers of a group are pseudo-labels, weighed by their votes (RESTRAIN, arXiv 2510.02172). The values are
    ours: the paper's are not known."""
    center: Share = 1.0
    """Share of the votes that is trusted most."""
    width: PositiveFloat = 0.5
    """How fast trust falls with the distance from it; small with ``center: 1``, it is the majority vote."""
    kappa: PositiveInt | Literal["auto"] = "auto"
    """Votes for the first answer below which a group is penalised; by default 3/16 of the group, rounded up."""
    penalty: Annotated[float, Field(ge=0)] = 0.5
    """What is taken from every advantage of such a group. No baseline evens it out: watch entropy and lengths."""
    reference: Annotated[LocalPath, AfterValidator(Path.absolute)] | None = None
    """JSON Lines of ``prompt_id`` and ``share``, the votes of the initial model, by which prompts are weighed; made by
    ``effrl labels probe CONFIG --all --out FILE``. Without it all prompts count alike."""

    @property
    def scales(self) -> bool:
        return True

    @property
    def least_rollouts(self) -> int:
        return 0 if self.kappa == "auto" else self.kappa
