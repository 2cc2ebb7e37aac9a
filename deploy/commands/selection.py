"""``effrl plan``: what a run will do and need, and whether a selector can pay in it."""

from pathlib import Path
from statistics import fmean
from typing import Annotated

import typer
from rich.console import Console

from deploy.commands.arguments import Overrides, Recipe
from effrl.errors import UserError

EFFECTIVE, ROLLOUT_SHARE = 0.5, 0.7
"""What is assumed where nobody says it: half of the groups teach, and rollouts take what they take of a large model."""


def plan(
    recipe: Recipe,
    overrides: Overrides = None,
    selection: Annotated[bool, typer.Option("--selection", help="From where on each selector pays.")] = False,
    run: Annotated[Path | None, typer.Option(help="A run with uniform draws, to take the two shares from.")] = None,
    effective: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Share of uniform draws' groups that have signal.")
    ] = None,
    rollout_share: Annotated[
        float | None, typer.Option(min=0.01, max=1, help="Share of a step's time that goes into rollouts.")
    ] = None,
    nodes: Annotated[int | None, typer.Option(min=1, help="Nodes of a cluster to plan for.")] = None,
    gpus_per_node: Annotated[int | None, typer.Option(min=0, help="GPUs of each of them; 0 by default.")] = None,
    params: Annotated[float | None, typer.Option(help="Parameters of a model to plan for, such as 7e9.")] = None,
    gpu: Annotated[str | None, typer.Option(help="h200, h100 (the default), a100, l40s or l4.")] = None,
    calibration: Annotated[
        Path | None, typer.Option("--calibrate", help="A run whose measured times correct the forecast.")
    ] = None,
    prompt_tokens: Annotated[int | None, typer.Option(min=1, help="Mean tokens of a prompt; 128 by default.")] = None,
    completion_tokens: Annotated[
        int | None, typer.Option(min=1, help="Mean tokens of a rollout; rollout.max_tokens by default.")
    ] = None,
) -> None:
    """Show what a run will do and need, also on a cluster you do not have: effrl plan grpo --nodes 8 --gpus-per-node 8.

    With --selection: what selectors cost.
    """
    from deploy.commands.forecast import ClusterWish, show_forecast
    from deploy.commands.plan import show_plan

    console = Console()
    wish = ClusterWish(nodes, gpus_per_node, params, gpu, calibration, prompt_tokens, completion_tokens)
    if wish.is_asked:
        show_forecast(recipe, overrides or [], wish, console)
        return
    if not selection:
        show_plan(recipe, overrides or [], console)
        return
    assumed = (EFFECTIVE, ROLLOUT_SHARE) if run is None else _measured(run)
    told = effective or assumed[0], rollout_share or assumed[1]
    _show(recipe, overrides or [], *told, console)


def _measured(run: Path) -> tuple[float, float]:
    """Mean effective share and rollout share of a run's steps.

    Raises:
        UserError: there is no run, or it has no step yet.
    """
    from effrl.run.directory import RunDirectory
    from effrl.run.metrics import read

    rows = [row for row in read(RunDirectory(run).metrics) if row["step"] > 0]
    told = [
        (row["select/effective_ratio"], row["time/rollout_s"] / (row["time/step_s"] - (row.get("time/eval_s") or 0.0)))
        for row in rows
        if row.get("select/effective_ratio") is not None
    ]
    if not told:
        raise UserError(
            f"{run} is no run with a finished step: leave --run out, or say --effective and --rollout-share"
        )
    effective, rollouts = fmean(share for share, _ in told), fmean(share for _, share in told)
    if not effective or not rollouts:
        raise UserError(f"no group of {run} had signal, or no time went into rollouts: nothing follows from it")
    return effective, min(1.0, rollouts)


def _show(recipe: str, overrides: list[str], effective: float, rollout_share: float, console: Console) -> None:
    from rich.table import Table

    from effrl.config import load
    from effrl.preflight.check import check
    from effrl.preflight.selection import outlooks, situation
    from effrl.select.advice import MOST_TEACH

    config = load.load(recipe, overrides)
    train = check(config).train
    found = situation(config, train.rows, effective, rollout_share)
    console.print(
        f"{found.pool:,} prompts, {found.steps:,} steps of {found.prompts:,} · uniform: {effective:.2f} of the groups"
        f" have signal, rollouts take {rollout_share:.0%} of a step",
        highlight=False,
        soft_wrap=True,
    )
    table = Table("", "rollouts", "a step's time", "", box=None, pad_edge=False)
    for outlook in outlooks(found):
        table.add_row(outlook.name, f"{1 + outlook.extra:.2f}", f"{outlook.step:.2f}", outlook.verdict)
    console.print(table)
    console.print(
        f"at most, a choice of prompts has {found.most:.1f} times as many groups with signal per unit of time"
        + (": draw uniformly" if effective > MOST_TEACH else ""),
        highlight=False,
        soft_wrap=True,
    )
