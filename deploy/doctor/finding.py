"""What a check finds: whether it is as it should be, and what to do if not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

GIB = 1 << 30
SHOWN = 2
"""Different values of a row that are shown, and nodes that are named."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``Finding("lscpu", "failure", "missing", "present", "install util-linux")``."""

    name: str
    level: Literal["ok", "warning", "failure"]
    """A warning stands in no run's way; a failure does, or will."""
    found: str
    expected: str = ""
    """Empty for what is only good to know."""
    remedy: str = ""
    """What to do where it is not ok."""
    nodes: tuple[str, ...] = ()
    """Of a cluster, to which it applies; none for what is true of this machine, or of all of it together."""


def must(name: str, ok: bool, found: str, expected: str, remedy: str) -> Finding:
    """What a run cannot do without."""
    return Finding(name, "ok" if ok else "failure", found, expected, "" if ok else remedy)


def should(name: str, ok: bool, found: str, expected: str, remedy: str) -> Finding:
    """What a run can do without, at a price that the remedy says."""
    return Finding(name, "ok" if ok else "warning", found, expected, "" if ok else remedy)


def healthy(findings: Iterable[Finding]) -> bool:
    """True where nothing stands in the way of a run."""
    return all(finding.level != "failure" for finding in findings)


def merged(by_node: Mapping[str, Iterable[Finding]]) -> list[Finding]:
    """The findings of many nodes, a row for each check and outcome: nobody reads a table per node."""
    rows: dict[str, dict[tuple[str, str], list[Finding]]] = {}
    for node, findings in by_node.items():
        for finding in findings:
            row = rows.setdefault(finding.name, {}).setdefault((finding.level, finding.remedy), [])
            row.append(replace(finding, nodes=(node,)))
    return [
        replace(
            first,
            found=_few([finding.found for finding in (first, *others)], "; "),
            expected=_few([finding.expected for finding in (first, *others)], "; "),
            nodes=tuple(node for finding in (first, *others) for node in finding.nodes),
        )
        for outcomes in rows.values()
        for first, *others in outcomes.values()
    ]


def named(nodes: Sequence[str]) -> str:
    """``10.0.0.1, 10.0.0.2 and 6 more``."""
    return _few(nodes, ", ")


def _few(texts: Sequence[str], between: str) -> str:
    different = list(dict.fromkeys(texts))
    more = f" and {len(different) - SHOWN} more" if len(different) > SHOWN else ""
    return between.join(different[:SHOWN]) + more


def gib(size: float) -> str:
    """``3.5 GiB``."""
    return f"{size / GIB:.1f} GiB"
