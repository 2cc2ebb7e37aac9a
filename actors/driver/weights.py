"""Publishing a policy version, and proving that it is served (docs/design.md, invariant 4)."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from actors.driver.sampler import Sampler
from actors.driver.transports import Transport
from actors.snapshot import Manifest
from actors.wait import answer, answers
from effrl.errors import WeightsNotServedError
from effrl.learn.canary import Reading, Tolerance, read
from effrl.run.metrics import Stopwatch
from effrl.types import (
    Canary,
    Float32,
    Publication,
    Receipt,
    Update,
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What a worker's log-probs are compared with: the canary before and after the newest weights."""

    canary: Canary
    before: Float32
    after: Float32


@dataclass
class WeightSync:
    """Hands versions to every rollout worker; all must confirm, and serve what the learner computes."""

    transport: Transport
    tolerance: Tolerance
    proof: Proof | None = field(default=None, init=False)
    """Of the version that was published last; None while one is on its way."""

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
        self.proof = Proof(update.canary, update.canary_before, after)
        readings = await self.compare(update.canary, update.canary_before, after, f"version {update.version}")
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

    async def hand_out(self, version: int) -> tuple[list[Receipt], int]:
        """Give the learner's current weights to every worker as ``version``; receipts, and the bytes of one copy."""
        self.proof = None
        receipts, manifest = await self.transport.deliver(version)
        for receipt in receipts:
            _check(receipt, version, manifest)
        return receipts, manifest.size

    async def hand_to(self, name: str, worker: Any) -> int:
        """Give a worker that takes a lost one's place what was handed out last; it must confirm and serve it, too.

        Returns:
            The version.

        Raises:
            WeightsNotServedError: as :meth:`publish`.
        """
        receipt, version, manifest = await self.transport.repeat(worker, name)
        _check(receipt, version, manifest)
        if proof := self.proof:
            values = await answer(
                worker.logprobs.remote(proof.canary), self.transport.wait_s, "the canary's log-probs", name
            )
            _check_reading(name, read(proof.before, proof.after, values, self.tolerance), f"version {version}")
        return version

    async def compare(self, canary: Canary, old: Float32, new: Float32, what: str, remedy: str = "") -> list[Reading]:
        """One reading per worker.

        Raises:
            WeightsNotServedError: one of them contradicts; the error ends with ``remedy``.
        """
        served = await self.served(canary)
        readings = {name: read(old, new, values, self.tolerance) for name, values in served.items()}
        for name, reading in readings.items():
            _check_reading(name, reading, what, remedy)
        return list(readings.values())

    async def served(self, canary: Canary) -> dict[str, Float32]:
        """The canary's log-probs as each worker serves them now."""
        workers = self.transport.workers
        refs = {name: worker.logprobs.remote(canary) for name, worker in workers.items()}
        found = await answers(refs, self.transport.wait_s, "the canary's log-probs")
        return dict(zip(workers, found, strict=True))


@dataclass
class WeightService:
    """Publishes what was learned; who is lost meanwhile is replaced."""

    sync: WeightSync
    sampler: Sampler
    clock: Stopwatch

    async def publish(self, update: Update) -> Publication | None:
        with self.clock.stage("publish"):
            return await self.sampler.publish(update.version, lambda: self.sync.publish(update))


def _check_reading(name: str, reading: Reading, what: str, remedy: str = "") -> None:
    if reading.verified is False:
        raise WeightsNotServedError(f"{name} does not serve {what}: {reading}{remedy}")


def _check(receipt: Receipt, version: int, manifest: Manifest) -> None:
    if (receipt.version, receipt.checksum) != (version, manifest.checksum):
        raise WeightsNotServedError(f"{receipt.worker} did not load all of version {version}: {receipt}")
