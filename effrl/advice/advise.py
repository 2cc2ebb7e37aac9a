"""All rules, and what they say of a run: while it goes on, and when its rows are read again."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from effrl.advice import failures, groups, policy
from effrl.advice.rule import PREFIX, AdviceRule, RunRows
from effrl.label import collapse
from effrl.process import hacking
from effrl.run.metrics import MetricsRow
from effrl.select import advice

QUIET = 100
"""RunRows for which a rule that has spoken says nothing again, in which its sign may go and come back."""


def _told(look: Callable[[RunRows], object | None]) -> Callable[[RunRows], str | None]:
    return lambda rows: None if (found := look(rows)) is None else str(found)


RULES: tuple[AdviceRule, ...] = (
    *groups.RULES,
    *failures.RULES,
    *policy.RULES,
    AdviceRule("collapse", "Votes feed on themselves", collapse.REMEDY, _told(collapse.collapsing), None),
    AdviceRule("hacking", "Process rewards are hacked", hacking.REMEDY, _told(hacking.hacked), 2 * hacking.REACH),
    AdviceRule("no_gain", "Selection does not pay", advice.REMEDY, _told(advice.no_gain), 1),
)


class History(Protocol):
    """The rows before the one that is looked at (:class:`effrl.run.metrics.Metrics` is one)."""

    def rows(self) -> Sequence[MetricsRow]:
        """All, in order."""
        ...

    def newest(self, count: int) -> Sequence[MetricsRow]:
        """The last ``count``, in order."""
        ...


@dataclass(frozen=True, slots=True)
class Advice:
    """What a rule says of a step."""

    rule: AdviceRule
    step: int
    seen: str
    new: bool
    """Whether nothing was said of it in the rows before."""

    def __str__(self) -> str:
        return f"step {self.step}: {self.seen}. {self.rule.remedy}"


def advise(history: History, row: MetricsRow, rules: Sequence[AdviceRule] = RULES) -> list[Advice]:
    """What the rules say of the newest row, whose ``advice/*`` are to be 1."""
    recent = [*history.newest(QUIET), row]
    whole = [*history.rows(), row] if any(name.startswith("eval/") for name in row) else []
    asked = (_asked(rule, whole if rule.reach is None else recent) for rule in rules)
    return [found for found in asked if found is not None]


def _asked(rule: AdviceRule, rows: RunRows) -> Advice | None:
    seen = rule.look(rows[-(rule.reach or len(rows)) :]) if rows else None
    if seen is None:
        return None
    told_before = any(row.get(rule.metric) for row in rows[:-1])
    return Advice(rule, int(rows[-1]["step"]), seen, new=not told_before)


@dataclass
class _Recorded:
    """The rows of a run so far, when it is read again."""

    kept: list[MetricsRow]

    def rows(self) -> Sequence[MetricsRow]:
        return self.kept

    def newest(self, count: int) -> Sequence[MetricsRow]:
        return self.kept[-count:]


def told(rows: RunRows) -> Iterator[Advice]:
    """What was new in a run, from its rows; of a run that is older than a rule, too."""
    history = _Recorded([])
    for row in rows:
        bare = {name: value for name, value in row.items() if not name.startswith(PREFIX)}
        found = advise(history, bare)
        history.kept.append(bare | marks(found))
        yield from (entry for entry in found if entry.new)


def marks(found: Sequence[Advice]) -> dict[str, float]:
    """Metrics of the row that the advice is about."""
    return {entry.rule.metric: 1.0 for entry in found}
