"""``effrl doctor``: is this machine, or a cluster, fit for a run? Findings, each with what to do about it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from deploy.commands.arguments import Overrides
from effrl.errors import RunError

if TYPE_CHECKING:
    from deploy.doctor.facts import ClusterSeen
    from deploy.doctor.finding import Finding

SelfTest = Callable[[], None]


def doctor(
    recipe: Annotated[
        str | None, typer.Argument(help="A recipe or YAML file whose run is to find what it needs.")
    ] = None,
    overrides: Overrides = None,
    address: Annotated[
        str,
        typer.Option(envvar="RAY_ADDRESS", help="Ray cluster to check, HOST:6379 or auto; this machine by default."),
    ] = "",
    json: Annotated[bool, typer.Option("--json", help="Print findings and the facts behind them as JSON.")] = False,
    self_test: Annotated[
        bool, typer.Option(help="Also run one real step here, in a temporary directory; none on a cluster.")
    ] = True,
) -> None:
    """Check this installation and this machine, or all of a cluster: effrl doctor my.yaml --address HOST:6379."""
    from deploy.commands.selftest import one_step
    from deploy.doctor import checks, gather
    from deploy.doctor.needs import needs_of

    needs = needs_of(recipe, overrides or []) if recipe else None
    is_cluster = address not in ("", "local")
    if is_cluster:
        with gather.connected(address):
            seen = gather.whole_cluster(needs)
    else:
        seen = gather.this_machine(needs)
    findings = (checks.of_cluster if is_cluster else checks.of_machine)(seen)
    tell = tell_json if json else tell_people
    raise typer.Exit(tell(Console(), findings, seen, one_step if self_test and not is_cluster else None))


def tell_people(
    console: Console, findings: "Sequence[Finding]", seen: "ClusterSeen", self_test: SelfTest | None
) -> int:
    """Print the findings and, where they allow it, run the self-test; the command's exit status: 0 fit, 1 not."""
    from deploy.doctor.finding import healthy
    from deploy.doctor.show import print_findings

    print_findings(console, findings, len(seen.nodes))
    if not healthy(findings):
        if self_test is not None:
            console.print("self-test left out: mend the above first")
        return 1
    if self_test is None:
        return 0
    if failure := failure_of(self_test):
        console.print(f"[red]self-test failed[/]: {escape(failure)}", highlight=False)
        return 1
    console.print("[green]self-test passed[/]")
    return 0


def tell_json(console: Console, findings: "Sequence[Finding]", seen: "ClusterSeen", self_test: SelfTest | None) -> int:
    """The same as one JSON object, in which the self-test is a finding."""
    from deploy.doctor.finding import healthy, must
    from deploy.doctor.show import as_json

    if self_test is not None and healthy(findings):
        failure = failure_of(self_test)
        found = must("self-test", failure is None, failure or "passed", "passed", "see the log that it names")
        findings = [*findings, found]
    console.print_json(data=as_json(findings, seen))
    return 0 if healthy(findings) else 1


def failure_of(self_test: SelfTest) -> str | None:
    """What went wrong in the step."""
    try:
        self_test()
    except RunError as error:
        return str(error)
    return None
