"""What the processes of a run use: memory now, and CPU seconds since the row before."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from actors.machine import Usage, driver_cpu_s


@dataclass
class UsageWatch:
    """Metrics ``memory/rss_mb/ROLE`` and ``cpu/ROLE_s`` of every actor, ``cpu/driver_s`` and ``cpu/ray_s``."""

    actors: Callable[[], Awaitable[Mapping[str, Usage | None]]]
    """By role; None for one that cannot be had soon."""
    own: Callable[[], Mapping[str, float]] = driver_cpu_s
    """CPU seconds so far of the driver and of the Ray that it started."""
    _before: dict[str, float] = field(default_factory=dict)
    """CPU seconds at the last reading, by role."""

    async def metrics(self) -> dict[str, float | None]:
        """One row's; seconds of a role that could not be read this time are in the next row that has it.

        The first row counts from the start of each process, unless metrics were asked for before.
        """
        found = await self.actors()
        held = {f"memory/rss_mb/{role}": usage.rss_mb if usage else None for role, usage in found.items()}
        used = {role: usage.cpu_s if usage else None for role, usage in found.items()}
        spent = {f"cpu/{role}_s": self._since(role, seconds) for role, seconds in {**used, **self.own()}.items()}
        return {**held, **spent}

    def _since(self, role: str, seconds: float | None) -> float | None:
        """Never negative: a child that was killed takes its time along, and another process begins at zero."""
        if seconds is None:
            return None
        before, self._before[role] = self._before.get(role, 0.0), seconds
        return max(0.0, seconds - before)
