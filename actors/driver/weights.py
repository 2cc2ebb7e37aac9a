"""Publishing a policy version, and proving that it is served (docs/design.md, invariant 4)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from actors.driver.transports import Transport
from actors.wait import answers
from effrl.errors import WeightsNotServedError
from effrl.learn.canary import CONCLUSIVE, Reading, over_prompts, read
from effrl.run.metrics import Stopwatch
from effrl.types import (
    Canary,
    Float32,
    Int32,
    Publication,
    Receipt,
    Update,
)

DRILL_MOVE = 30
"""How many tolerances a perturbation of the drill must move a log-prob: far more than any disagreement."""


@dataclass
class WeightSync:
    """Hands versions to every rollout worker; all must confirm, and serve what the learner computes."""

    transport: Transport
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
        after = await self.transport.learner.first("logprobs", update.canary)
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
        canary, learner = over_prompts(prompts), self.transport.learner
        base = await learner.first("logprobs", canary)
        await self._read(canary, base, base, f"version {version} as loaded")
        unproven: list[str] = []
        kinds = await learner.first("parameter_kinds")
        for kind in kinds:
            moved = await learner.first("perturb", kind, canary, DRILL_MOVE * self.tolerance)
            await self.hand_out(version)
            readings = await self._read(canary, base, moved, f"a perturbed {kind}")
            unproven += [kind] if any(reading.moved < CONCLUSIVE * self.tolerance for reading in readings) else []
            await learner.all("undo_perturb")
        await self.hand_out(version)
        await self._read(canary, base, base, f"version {version} after the drill")
        return len(kinds), unproven

    async def hand_out(self, version: int) -> tuple[list[Receipt], int]:
        """Give the learner's current weights to every worker as ``version``; receipts, and the bytes of one copy."""
        receipts, manifest = await self.transport.deliver(version)
        for receipt in receipts:
            if (receipt.version, receipt.checksum) != (version, manifest.checksum):
                raise WeightsNotServedError(f"{receipt.worker} did not load all of version {version}: {receipt}")
        return receipts, manifest.size

    async def _read(self, canary: Canary, old: Float32, new: Float32, what: str) -> list[Reading]:
        """One reading per worker; any that contradicts ends the run."""
        workers = self.transport.workers
        refs = {name: worker.logprobs.remote(canary) for name, worker in workers.items()}
        served = await answers(refs, self.transport.wait_s, "the canary's log-probs")
        readings = [read(old, new, values, self.tolerance) for values in served]
        for name, reading in zip(workers, readings, strict=True):
            if reading.verified is False:
                raise WeightsNotServedError(
                    f"{name} does not serve {what}: its log-probs differ by {reading.gap:.2g} nats from the learner's"
                    f" (tolerance {self.tolerance:.2g})"
                )
        return readings


@dataclass
class WeightService:
    """Publishes what was learned."""

    sync: WeightSync
    clock: Stopwatch

    async def publish(self, update: Update) -> Publication | None:
        with self.clock.stage("publish"):
            return await self.sync.publish(update)
