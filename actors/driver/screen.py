"""Screens groups: a few rollouts of each at first, and the others only where those differ."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from actors.driver.sampler import Sampler
from actors.driver.scout import Scout, groups_of
from actors.rollout.sampling import Sampled, SampleRequest
from effrl.types import Step


@dataclass
class Screen:
    """Samples the first rollouts of every group, asks how they came out, and stops those that are all right or all
    wrong (SPEED-RL, arXiv 2506.09016, section 4).

    A group that goes on has the seeds, and so the rollouts, that it would have had without.
    """

    sampler: Sampler
    scout: Scout
    first: int | None
    """Rollouts of a group that are looked at; None: all are sampled at once."""
    _counts: Counter[tuple[int, str]] = field(default_factory=Counter)
    """By step: groups that were stopped, and the rollouts which that saved."""

    async def __call__(self, step: Step, requests: Sequence[SampleRequest]) -> list[Sampled]:
        """The rollouts of each request: all of them, or the first alone."""
        if self.first is None:
            return await self.sampler(requests)
        heads = await self.sampler([replace(request, seeds=request.seeds[: self.first]) for request in requests])
        rates = await self.scout.pass_rates(step, groups_of([request.prompt for request in requests], heads))
        tails = [request.seeds[self.first :] for request in requests]
        goes_on = [bool(tail) and rate not in (0.0, 1.0) for tail, rate in zip(tails, rates, strict=True)]
        for tail, on in zip(tails, goes_on, strict=True):
            self._counts[step.number, "stopped"] += bool(tail) and not on
            self._counts[step.number, "saved"] += 0 if on else len(tail)
        parts = zip(requests, tails, goes_on, strict=True)
        rest = iter(await self.sampler([replace(request, seeds=tail) for request, tail, on in parts if on]))
        return [_joined(head, next(rest)) if on else head for head, on in zip(heads, goes_on, strict=True)]

    def metrics(self, step: int) -> dict[str, float]:
        """Until a step was done: groups that were stopped since the one before, and the rollouts which that saved."""
        if self.first is None:
            return {}
        done = {key: self._counts.pop(key) for key in list(self._counts) if key[0] <= step}
        names = ("stopped", "saved")
        return {f"rollout/{name}": sum(count for (_, kind), count in done.items() if kind == name) for name in names}


def _joined(head: Sampled, tail: Sampled) -> Sampled:
    return replace(head, rollouts=head.rollouts + tail.rollouts)
