"""Publishing a policy version, and proving that it is served (DESIGN, invariant 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import ray

from actors.snapshot import Manifest
from actors.wait import answers
from effrl.canary import CONCLUSIVE, Reading, over_prompts, read
from effrl.errors import WeightsNotServedError
from effrl.types import Canary, Float32, Int32, Publication, Receipt, Update

DRILL_MOVE = 30
"""How many tolerances a perturbation of the drill must move a log-prob: far more than any disagreement."""


@dataclass
class LearnerGroup:
    """The ranks of the learner, called as one."""

    ranks: Mapping[str, Any]
    wait_s: float

    async def all(self, method: str, *arguments: Any) -> list[Any]:
        """Call a method on every rank; the answers in the order of the ranks."""
        refs = {name: getattr(rank, method).remote(*arguments) for name, rank in self.ranks.items()}
        return await answers(refs, self.wait_s, method)

    async def first(self, method: str, *arguments: Any) -> Any:
        """Call a method on every rank (they share collectives), and return the answer of rank 0."""
        return (await self.all(method, *arguments))[0]

    async def scatter(self, method: str, shares: Sequence[Any], *arguments: Any) -> Any:
        """Call a method on every rank, each with its own share; the answer of rank 0."""
        return (await self.each(method, shares, *arguments))[0]

    async def each(self, method: str, shares: Sequence[Any], *arguments: Any) -> list[Any]:
        """Call a method on every rank, each with its own share; the answers in the order of the ranks."""
        pairs = zip(self.ranks.items(), shares, strict=True)
        refs = {name: getattr(rank, method).remote(share, *arguments) for (name, rank), share in pairs}
        return await answers(refs, self.wait_s, method)

    async def snapshot(self) -> tuple[ray.ObjectRef, Manifest]:
        """Weights as rank 0 has them: the bytes stay in the object store, only their manifest comes here.

        Every rank is called: under ZeRO-3 each has a part of every parameter.
        """
        pairs = {name: rank.snapshot.options(num_returns=2).remote() for name, rank in self.ranks.items()}
        manifest, *_ = await answers({name: pair[1] for name, pair in pairs.items()}, self.wait_s, "snapshot")
        return next(iter(pairs.values()))[0], manifest


@dataclass
class WeightSync:
    """Hands versions to every rollout worker; all must confirm, and serve what the learner computes."""

    learner: LearnerGroup
    workers: Mapping[str, Any]
    wait_s: float
    tolerance: float

    async def publish(self, update: Update) -> Publication | None:
        """Publish the version of an update, and compare learner and engines on the update's canary.

        Raises:
            WeightsNotServedError: a receipt or a log-prob contradicts; the run must not go on with unknown weights.
        """
        if not update.learned:
            return None
        assert update.canary is not None and update.canary_before is not None, "a learned update has a canary"
        receipts, size = await self.hand_out(update.version)
        after = await self.learner.first("logprobs", update.canary)
        readings = await self._read(update.canary, update.canary_before, after, f"version {update.version}")
        verdicts = {reading.verified for reading in readings}
        gap = update.canary_before - after
        return Publication(
            version=update.version,
            receipts=tuple(receipts),
            bytes=size,
            verified=None if None in verdicts else True,
            metrics={
                "sync/gap": max(reading.gap for reading in readings),
                "policy/kl_step": float((np.expm1(-gap) + gap).mean()),  # k3 estimator of KL(before, after)
            },
        )

    async def drill(self, version: int, prompts: Sequence[Int32]) -> tuple[int, list[str]]:
        """Prove at start-up that every kind of parameter which is published is also served.

        One kind at a time is perturbed until the learner's log-probs move, and published; the engines' log-probs
        must move to the same values. Then the true weights are published again.

        Returns:
            How many kinds there are, and those whose perturbation could not move any log-prob: nothing is proven
            for them.
        """
        canary = over_prompts(prompts)
        base = await self.learner.first("logprobs", canary)
        await self._read(canary, base, base, f"version {version} as loaded")
        unproven: list[str] = []
        kinds = await self.learner.first("parameter_kinds")
        for kind in kinds:
            moved = await self.learner.first("perturb", kind, canary, DRILL_MOVE * self.tolerance)
            await self.hand_out(version)
            readings = await self._read(canary, base, moved, f"a perturbed {kind}")
            unproven += [kind] if any(reading.moved < CONCLUSIVE * self.tolerance for reading in readings) else []
            await self.learner.all("heal")
        await self.hand_out(version)
        await self._read(canary, base, base, f"version {version} after the drill")
        return len(kinds), unproven

    async def hand_out(self, version: int) -> tuple[list[Receipt], int]:
        """Give the learner's current weights to every worker as ``version``; receipts, and the bytes of one copy."""
        data, manifest = await self.learner.snapshot()
        refs = {name: worker.load.remote(data, manifest, version) for name, worker in self.workers.items()}
        receipts = await answers(refs, self.wait_s, f"the receipt of version {version}")
        drops = {name: worker.drop.remote(manifest) for name, worker in self.workers.items()}
        await answers(drops, self.wait_s, "freeing the landed weights")
        for receipt in receipts:
            if (receipt.version, receipt.checksum) != (version, manifest.checksum):
                raise WeightsNotServedError(f"{receipt.worker} did not load all of version {version}: {receipt}")
        return receipts, manifest.size

    async def _read(self, canary: Canary, old: Float32, new: Float32, what: str) -> list[Reading]:
        """One reading per worker; any that contradicts ends the run."""
        refs = {name: worker.logprobs.remote(canary) for name, worker in self.workers.items()}
        served = await answers(refs, self.wait_s, "the canary's log-probs")
        readings = [read(old, new, values, self.tolerance) for values in served]
        for name, reading in zip(self.workers, readings, strict=True):
            if reading.verified is False:
                raise WeightsNotServedError(
                    f"{name} does not serve {what}: its log-probs differ by {reading.gap:.2g} nats from the learner's"
                    f" (tolerance {self.tolerance:.2g})"
                )
        return readings
