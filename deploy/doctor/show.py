"""Findings for people, and for programs."""

from collections.abc import Sequence
from typing import Any

from pydantic import TypeAdapter
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.doctor.facts import ClusterSeen
from deploy.doctor.finding import Finding, healthy, named

MARKS = {"ok": "[green]✓[/]", "warning": "[yellow]![/]", "failure": "[red]✗[/]"}
COLOURS = {"warning": "yellow", "failure": "red"}


def print_findings(console: Console, findings: Sequence[Finding], nodes: int = 1) -> None:
    """A table, and below it one line per remedy.

    Args:
        nodes: of the cluster; findings that are of some of them alone say so.
    """
    table = Table("", "", "found", "expected", box=None, pad_edge=False)
    for finding in findings:
        name = f"{finding.name}{_where(finding, nodes)}"
        table.add_row(MARKS[finding.level], *map(escape, (name, finding.found, finding.expected)))
    console.print(table)
    for finding in findings:
        if colour := COLOURS.get(finding.level):
            console.print(
                f"[{colour}]{escape(finding.name)}{escape(_where(finding, nodes))}[/]: {escape(finding.remedy)}",
                highlight=False,
                soft_wrap=True,
            )


def as_json(findings: Sequence[Finding], seen: ClusterSeen) -> dict[str, Any]:
    """Everything: whether it is healthy, what was found, and the facts that it was found in."""
    return {
        "healthy": healthy(findings),
        "findings": TypeAdapter(list[Finding]).dump_python(list(findings), mode="json"),
        "facts": TypeAdapter(ClusterSeen).dump_python(seen, mode="json"),
    }


def _where(finding: Finding, nodes: int) -> str:
    return f" ({named(finding.nodes)})" if 0 < len(finding.nodes) < nodes else ""
