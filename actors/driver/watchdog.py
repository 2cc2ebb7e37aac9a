"""Notices processes that are stopped: they answer nobody, and a wait for them would last until its deadline."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

PAUSE_S = 5.0
"""Between two looks; who is stopped at two in a row is ended."""


@dataclass
class Watchdog:
    """Ends what is stopped, so that whoever waits for it is told at once.

    The look is that of each node's own actor, which is never busy: a worker in a long computation is not asked.
    """

    stopped: Callable[[], Awaitable[Collection[str]]]
    """Roles whose process is stopped."""
    end: Callable[[str], Awaitable[None]]
    """Kill the process of a role."""
    tell: Callable[[str], None]
    pause_s: float = PAUSE_S

    async def watch(self) -> None:
        """Look until cancelled."""
        before: Collection[str] = ()
        while True:
            await asyncio.sleep(self.pause_s)
            now = await self.stopped()
            for role in sorted(set(before) & set(now)):
                self.tell(f"{role} is stopped: its process is ended")
                await self.end(role)
            before = now
