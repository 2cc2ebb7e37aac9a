"""Following a run: a newer checkpoint is served as soon as it is there, and no request notices but by its name.

A server looks by itself, as a run writes checkpoints at times that nobody knows beforehand: a call to an admin route
would need somebody who watches, a second token, and a call to each replica.
"""

import asyncio
import logging
import os
import signal

from deploy.serve.policy.app import Policy
from deploy.serve.policy.source import ServedVersion, WeightsSource
from effrl.errors import DeadlineError, UserError, one_line

LOOK_S = 5.0
"""Between two looks at a run."""
DRAIN_S = 60.0
"""How long newcomers wait for answers that are under way before a change is put off."""
log = logging.getLogger("effrl.serve")


class Follower:
    """Loads what a source wants instead of what is served."""

    def __init__(self, source: WeightsSource, look_s: float = LOOK_S, drain_s: float = DRAIN_S) -> None:
        self._source, self._look_s, self._drain_s = source, look_s, drain_s

    async def __call__(self, policy: Policy) -> None:
        """Look again and again, until cancelled; a look that fails is logged, and the next one tries again."""
        while True:
            await asyncio.sleep(self._look_s)
            try:
                await self.look(policy)
            except (UserError, DeadlineError, OSError) as error:  # the old version is still served
                log.warning("%s stays: %s", policy.served.name, one_line(error))

    async def look(self, policy: Policy) -> bool:
        """Load another version if there is one; whether it did.

        Raises:
            UserError: there is no checkpoint, or it is damaged; the old version is served.
            DeadlineError: answers took too long; so it is here.
        """
        wanted = await asyncio.to_thread(self._source.wanted)
        if wanted == policy.served:
            return False
        digest = await asyncio.to_thread(self._source.prove, wanted)
        async with policy.door.alone(self._drain_s):
            await _load(policy, wanted, digest)
        return True


async def _load(policy: Policy, wanted: ServedVersion, digest: str) -> None:
    """Load or die: a model that took half of its weights must not answer, and who supervises starts a new server."""
    before = policy.served.name
    try:
        await policy.running.load(wanted, digest)
    except Exception as error:  # whatever it was, the weights are no version's
        log.error("cannot load %s: %s; this server ends, since its model is broken", wanted.name, one_line(error))
        policy.broken = True
        os.kill(os.getpid(), signal.SIGTERM)
        raise
    policy.served = wanted
    log.warning("serving %s instead of %s", wanted.name, before)
