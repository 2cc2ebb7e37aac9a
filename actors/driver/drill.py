"""The start-up drill: proof that every kind of parameter that is published is also served, with two publishes.

Each kind is perturbed on the learner, until it moves the canary's log-probs; then all of them are published at once.
One comparison shows every kind, since the learner also says what the log-probs were if that kind alone had stayed old.
Where each of these lies three tolerances away from what is published, an engine within one tolerance of it has loaded
every kind: for each of them the slope of its move is 1 and not 0 (:mod:`effrl.learn.canary`). Several missing kinds
could only hide each other if their noise, which is independent, cancelled out on all tokens. Only where an engine
disagrees are parts published, down to the kinds that it does not serve.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from actors.driver.weights import Proof, WeightSync
from effrl.errors import WeightsNotServedError
from effrl.learn.canary import Reading, over_prompts, read
from effrl.types import Float32, Int32

TOO_STRICT = "; if two right implementations of this model differ that much, raise run.sync_tolerance"


@dataclass(frozen=True, slots=True)
class Perturbed:
    """Some kinds of parameters that were perturbed and published together, as every worker serves them."""

    kinds: Mapping[str, Mapping[str, Reading]]
    """Of each kind that moves a log-prob, by worker: from what it would be without that kind's perturbation."""
    whole: Mapping[str, Reading]
    """By worker: from what it was before any of them."""

    @property
    def proven(self) -> list[str]:
        """Kinds that every worker serves."""
        return [kind for kind, found in self.kinds.items() if all(reading.verified for reading in found.values())]

    @property
    def contradictions(self) -> list[tuple[str, Reading]]:
        """Workers whose readings contradict, and these."""
        readings = [entry for found in self.kinds.values() for entry in found.items()]
        return [(worker, reading) for worker, reading in readings if reading.verified is False]

    @property
    def unmoved(self) -> bool:
        """Whether a worker serves none of them at all."""
        return any(reading.moved <= reading.tolerance for reading in self.whole.values())

    def parts(self) -> tuple[list[str], list[str]]:
        """Two parts of the kinds: those with which an engine moved less than half as it should, and the others."""
        slopes = {kind: min(reading.slope for reading in found.values()) for kind, found in self.kinds.items()}
        order = sorted(slopes, key=lambda kind: slopes[kind])
        cut = sum(slope < 0.5 for slope in slopes.values())
        cut = cut if 0 < cut < len(order) else len(order) // 2
        return order[:cut], order[cut:]


class Drill:
    """One drill over some prompts, with the weights of one version."""

    def __init__(self, sync: WeightSync, version: int, prompts: Sequence[Int32]) -> None:
        self.sync = sync
        self.learner = sync.transport.learner
        self.version = version
        self.canary = over_prompts(prompts)
        self.base: Float32
        self.proven: set[str] = set()
        self.guilty: dict[str, tuple[str, Reading]] = {}
        """By kind, the worker that does not serve it, and what says so."""

    async def run(self) -> tuple[int, list[str]]:
        """Perturb, publish, compare, and publish the true weights again.

        Returns:
            How many kinds there are, and those of which nothing is proven, since they can't move any log-prob.

        Raises:
            WeightsNotServedError: learner and engines disagree about the weights as loaded, about a perturbed kind
                (which is named), or about the true weights at the end.
        """
        self.base = await self.learner.first("logprobs", self.canary)
        await self.sync.compare(self.canary, self.base, self.base, f"version {self.version} as loaded", TOO_STRICT)
        kinds: list[str] = await self.learner.first("parameter_kinds")
        await self._prove(kinds)
        for kind in kinds:  # what the others hid, if anything, is published alone
            if kind not in self.proven:
                await self._prove([kind])
        await self.sync.hand_out(self.version)
        await self.sync.compare(self.canary, self.base, self.base, f"version {self.version} after the drill")
        self.sync.proof = Proof(self.canary, self.base, self.base)
        return len(kinds), [kind for kind in kinds if kind not in self.proven]

    async def _prove(self, kinds: Sequence[str]) -> None:
        await self._try(kinds)
        if self.guilty:
            worker, reading = next(iter(self.guilty.values()))
            raise WeightsNotServedError(f"{worker} does not serve a perturbed {', '.join(self.guilty)}: {reading}")

    async def _try(self, kinds: Sequence[str]) -> None:
        """Publish these kinds together; if an engine disagrees, in parts, until each kind is proven or guilty.

        Where many kinds at once amplify the rounding of a low precision too much to agree, the parts prove them.
        """
        tried = await self._publish(kinds)
        if not tried.contradictions:
            self.proven.update(tried.proven)
        elif len(tried.kinds) == 1 or tried.unmoved:
            self.guilty.update(dict.fromkeys(tried.kinds, tried.contradictions[0]))
        else:
            for part in tried.parts():
                await self._try(part)

    async def _publish(self, kinds: Sequence[str]) -> Perturbed:
        """Perturb these kinds at once and publish them; the learner is as it was afterwards."""
        canary, tolerance, joint = self.canary, self.sync.tolerance, self.base
        moving: list[str] = []
        for kind in kinds:
            moved = await self.learner.first("perturb", kind, canary, joint, tolerance)
            if moved is not None:
                moving.append(kind)
                joint = moved
        without = {kind: await self.learner.first("logprobs_without", kind, canary) for kind in moving}
        served: dict[str, Float32] = {}
        if moving:
            await self.sync.hand_out(self.version)
            served = await self.sync.served(canary)
        await self.learner.all("undo_perturb")

        def readings(old: Float32) -> dict[str, Reading]:
            return {worker: read(old, joint, values, tolerance) for worker, values in served.items()}

        return Perturbed({kind: readings(old) for kind, old in without.items()}, readings(self.base))
