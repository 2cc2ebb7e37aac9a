"""Hands each row of metrics to Ray, whose agents show them to Prometheus beside Ray's own."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ray.util.metrics import Counter, Gauge

from effrl.report.exported import Exported, ExportedValue, samples
from effrl.run.metrics import MetricsRow


@dataclass
class RayExporter:
    """A :class:`~effrl.run.metrics.Sink`: like the others, it is off once it has failed."""

    run: str
    """Name of the run, a label of all its metrics."""
    now: Callable[[], float] = time.time
    _made: dict[str, Gauge | Counter] = field(default_factory=dict)
    """By name; made when there is a first value, so that nothing is shown that a run does not measure."""

    def write(self, row: MetricsRow) -> None:
        """Set what is a gauge, and add to what counts."""
        for sample in samples(row, self.now()):
            instrument = self._instrument(sample.exported)
            if isinstance(instrument, Gauge):
                instrument.set(sample.value, self._tags(sample))
            elif sample.value > 0:
                instrument.inc(sample.value, self._tags(sample))

    def close(self) -> None:
        """Nothing is held: Ray shows the last values until the driver ends."""

    def _instrument(self, exported: Exported) -> Gauge | Counter:
        if exported.name not in self._made:
            kind = Counter if exported.counts else Gauge
            self._made[exported.name] = kind(exported.name, exported.help, exported.labels)
        return self._made[exported.name]

    def _tags(self, sample: ExportedValue) -> dict[str, str]:
        tag = sample.exported.tag
        return {"run": self.run} if tag is None else {"run": self.run, tag: sample.tagged}
