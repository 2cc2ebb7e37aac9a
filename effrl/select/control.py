"""A zone under control: some of the draws stay uniform, and the zone is used only while it beats them."""

from collections.abc import Mapping, Sequence
from math import floor
from typing import Any, Protocol

from effrl.protocols import Explains, LookAhead, LooksAhead, Measures
from effrl.select.gate import Gate, share
from effrl.select.pool import PoolSelector
from effrl.select.uniform import UniformSelector
from effrl.types import Observation, Prompt

CLOSED = "select/zone_closed"
"""1 in the rows of steps after which no prompt is drawn from the zone, since it has fallen behind its control."""
ZONE_SHARE, CONTROL_SHARE = "select/effective_zone", "select/effective_control"
GAIN_ERROR = "select/effective_error"


class ZoneSelector(Protocol):
    """A selector that knows a part of the pool from which a group is likelier to have signal."""

    prompts: tuple[Prompt, ...]

    @property
    def ready(self) -> bool:
        """Whether it knows one by now. Until then all draws are uniform, and it observes them."""
        ...

    def renew(self) -> None:
        """Find the zone anew: it fell behind its control, and rested."""
        ...

    def draw(self, count: int) -> list[int]: ...

    def observe(self, seen: Sequence[Observation]) -> None: ...

    def state(self) -> Mapping[str, Any]: ...

    def restore(self, state: Mapping[str, Any]) -> None: ...


class ControlledSelector(PoolSelector):
    """A :class:`~effrl.protocols.Selector` that draws a share of its prompts uniformly, and the others from a zone.

    The uniform draws are an experiment that runs all the time: the share of their groups with signal is what the run
    would have without the zone (:class:`effrl.select.gate.Gate`). With a share of 0 there is none, and the zone is
    always used.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int, zone: ZoneSelector, control: float) -> None:
        """Start without draws.

        Args:
            prompts: the zone's pool, in its order.
            seed: of the uniform draws.
            zone: what chooses the others.
            control: share of the draws that stay uniform, rounded over the draws so far; in [0, 1).

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._zone, self._share = zone, control
        self._uniform = UniformSelector(prompts, seed)
        self._gate = Gate()
        self._owed = 0.0
        self._from_zone: set[str] = set()
        """Prompts that were drawn from the zone last, and not observed since."""

    def draw(self, count: int) -> list[int]:
        """The zone's prompts first; the uniform draws pass over them, and have them next time."""
        inside = self._zone.draw(self._wanted(count)) if self._uses_zone else []
        outside = self._uniform.draw(count - len(inside), but=inside)
        self._from_zone |= {self.prompts[index].id for index in inside}
        self._from_zone -= {self.prompts[index].id for index in outside}
        return inside + outside

    def observe(self, seen: Sequence[Observation]) -> None:
        """Tell the zone, and ask whether it still pays."""
        self._zone.observe(seen)
        known = self.of_pool(seen)
        parts: dict[bool, list[bool]] = {True: [], False: []}
        for entry in known:
            parts[entry.prompt.id in self._from_zone].append(0 < entry.passes < entry.tries)
        self._from_zone -= {entry.prompt.id for entry in known}
        if self._share and self._gate.observe(parts[True], parts[False]):
            self._zone.renew()

    def request(self, step: int) -> LookAhead | None:
        """What the zone asks; nothing while it rests."""
        return self._zone.request(step) if isinstance(self._zone, LooksAhead) and self._gate.is_open else None

    def receive(self, step: int, found: Mapping[str, float]) -> None:
        """Tell the zone."""
        if isinstance(self._zone, LooksAhead):
            self._zone.receive(step, found)

    def reasons(self) -> Mapping[str, Mapping[str, float | bool]]:
        """The zone's."""
        return self._zone.reasons() if isinstance(self._zone, Explains) else {}

    def metrics(self) -> Mapping[str, float]:
        """Shares of groups with signal of both parts, among the newest, and what the zone says."""
        told = dict(self._zone.metrics()) if isinstance(self._zone, Measures) else {}
        if not self._share:
            return told
        told[CLOSED] = float(not self._gate.is_open)
        if self._gate.control:
            told[CONTROL_SHARE] = share(self._gate.control)
        if self._gate.zone:
            told |= {ZONE_SHARE: share(self._gate.zone), GAIN_ERROR: self._gate.error}
        return told

    def state(self) -> Mapping[str, Any]:
        """States of both parts and of the gate, and which prompts are out."""
        return {
            "zone": self._zone.state(),
            "uniform": self._uniform.state(),
            "gate": self._gate.state(),
            "owed": self._owed,
            "from_zone": sorted(self._from_zone),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        self.must_know(state["from_zone"])
        self._zone.restore(state["zone"])
        self._uniform.restore(state["uniform"])
        self._gate = Gate.of(state["gate"])
        self._owed = state["owed"]
        self._from_zone = {*state["from_zone"]}

    @property
    def _uses_zone(self) -> bool:
        return self._gate.is_open and self._zone.ready

    def _wanted(self, count: int) -> int:
        """How many of ``count`` are the zone's."""
        self._owed += self._share * count
        uniform = min(count, floor(self._owed + 1e-9))
        self._owed -= uniform
        return count - uniform
