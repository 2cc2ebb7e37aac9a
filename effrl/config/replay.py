"""``replay``: learn from groups of earlier steps again, and roll out fewer."""

from math import floor
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from effrl.config.advantage import AnyAdvantage
from effrl.config.loss import Clip
from effrl.config.section import PositiveFloat, PositiveInt, Section, Share, kind_or


class ReplayConfig(Section):
    """What every choice of groups to replay has."""

    fresh: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of a step's prompts that is rolled out (the paper's delta); older groups stand in for the rest."""
    capacity: PositiveInt = 512
    """Groups to keep, the latest step's included; the paper has 256 or 512, its released script 512."""
    warmup: Annotated[int, Field(ge=0)] = 2
    """First steps, which roll out all prompts; the released code's first round of selection has two."""
    clip: Clip = "centered"
    """Interval of the clip: around a token's importance weight (released code), or, as in the paper, around 1."""

    def check(self, prompts: int, steps: int, loss: str, advantage: AnyAdvantage) -> None:
        """Does it fit the rest of the config: prompts per step, steps, the kind of loss, and the advantage?

        Raises:
            ValueError: one line with a remedy.
        """
        fresh = fresh_of(prompts, self.fresh)
        if fresh == prompts:
            raise ValueError(
                f"replay.fresh ({self.fresh}) of rollout.prompts ({prompts}) leaves no group to replay: raise"
                " rollout.prompts"
            )
        if self.capacity < fresh:
            raise ValueError(
                f"replay.capacity ({self.capacity}) is less than the {fresh} groups that a step rolls out, and those"
                " stay until the next: raise it"
            )
        if self.warmup >= steps:
            raise ValueError(
                f"replay.warmup ({self.warmup}) leaves no step of run.steps ({steps}) that replays: lower it"
            )
        if self.clip == "paper" and loss != "clipped":
            raise ValueError(f"replay.clip=paper is about loss.kind=clipped, not {loss}: set replay.clip=centered")
        if advantage.value_function is not None:
            raise ValueError(
                f"replay would fit the value function of advantage.kind={advantage.kind} to rollouts of older policies:"
                " use grpo, rloo or reinforce_pp, or set replay=null"
            )


class RrReplay(ReplayConfig):
    kind: Literal["rr"] = "rr"
    """Recent groups, drawn uniformly (DOTS + RR, arXiv 2506.05316, section 4.4)."""


class ExGrpoReplay(ReplayConfig):
    kind: Literal["exgrpo"] = "exgrpo"
    """Groups that about half of the rollouts solved come most often, and prompts that are solved leave for good
    (ExGRPO, arXiv 2510.02245). Its choice alone: whole groups are replayed, with the loss of ``rr``."""
    start: Share = 0.35
    """Mean outcome of a step's fresh rollouts above which replay begins, for good (released code)."""
    width: PositiveFloat = 1.0
    """Of the preference for half-solved groups, in rollouts (released code)."""


AnyReplay = Annotated[
    Annotated[RrReplay, Tag("rr")] | Annotated[ExGrpoReplay, Tag("exgrpo")], Discriminator(kind_or("rr"))
]


def fresh_of(prompts: int, fresh: float) -> int:
    """How many of a step's ``prompts`` are rolled out, rounded down, but at least one; the others are replayed."""
    return max(1, floor(fresh * prompts + 1e-9))


def fresh_at(step: int, prompts: int, fresh: float, warmup: int) -> int:
    """The same at ``step``, from 1 on: all prompts in the first ``warmup`` steps, while there is little to replay.

    The paper's code has one selection round of warm-up, two steps: of 512 prompts, half of them fresh, it rolls out
    512, 512, 256, 256, …
    """
    return prompts if step <= warmup else fresh_of(prompts, fresh)
