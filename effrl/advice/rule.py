"""What a rule of advice is, and the sums and means that rules are made of."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from effrl.run.metrics import MetricsRow

PREFIX = "advice/"
"""Of the metric that is 1 in each row that shows what a rule is about."""

RunRows = Sequence[MetricsRow]


@dataclass(frozen=True, slots=True)
class AdviceRule:
    """One thing that goes wrong, the sign of it, and what helps.

    Example: ``AdviceRule("truncated", "Rollouts end at the token limit", "Raise rollout.max_tokens", truncated)``.
    """

    name: str
    """As in ``advice/NAME`` of ``metrics.jsonl``, and in the name of the alert."""
    means: str
    """What it is about, in a few words."""
    remedy: str
    """What to do, as a sentence."""
    look: Callable[[RunRows], str | None]
    """What the newest of these rows shows, with its figures; None where it shows nothing."""
    reach: int | None = 20
    """RunRows that it looks at, the newest included; None for all, which is asked after evaluations only."""

    @property
    def metric(self) -> str:
        return PREFIX + self.name


def values(rows: RunRows, name: str) -> list[float]:
    """What is known of a metric, in order."""
    return [float(row[name]) for row in rows if row.get(name) is not None]


def mean(rows: RunRows, name: str, least: int = 1) -> float | None:
    """Of what is known of a metric; None of fewer than ``least`` rows."""
    known = values(rows, name)
    return sum(known) / len(known) if len(known) >= least else None


def total(rows: RunRows, *names: str) -> float:
    """The sum of some metrics over rows; one that is missing adds nothing."""
    return sum(sum(values(rows, name)) for name in names)


def share(part: float, whole: float) -> float:
    """0 of nothing."""
    return part / whole if whole else 0.0
