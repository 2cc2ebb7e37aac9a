"""Rolling out a few prompts of a scored data set, as ``effrl score --check`` does it."""

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from deploy.commands.engines import on_engines
from effrl.config.schema import Config
from effrl.errors import RunError
from effrl.preflight.check import Measurable, check_evaluation
from effrl.select.ufo import trial
from effrl.select.ufo.cache import ScoredPrompt
from effrl.types import Prompt

if TYPE_CHECKING:
    from actors.cluster import Cluster

ROLLOUTS = 8
"""Of a prompt: a group as most recipes have it."""


def check_scores(
    config: Config,
    prompts: Sequence[Prompt],
    scored: Sequence[ScoredPrompt],
    ratio: float,
    count: int,
    console: Console,
) -> None:
    """Measure whether groups of a zone have signal more often than random ones, and say which setting does best.

    Args:
        config: ``data.eval`` is the source that was scored; the reward is what outcomes are read with.
        prompts: [N] of the source.
        scored: [N] of the same prompts.
        ratio: share of the prompts in a zone.
        count: prompts to measure at random, and of each setting's zone.

    Raises:
        UserError: the config does not fit the data; nothing was started.
        RunError: a worker failed, or no rollout could be scored.
    """
    chosen = trial.sample(scored, ratio, count, config.run.seed)
    rates = _pass_rates(config, check_evaluation(config), [prompts[place] for place in chosen.places], console)
    if not rates:
        raise RunError("no rollout could be scored: look at --reward and the labels (effrl reward check)")
    places = {prompts[place].id: place for place in chosen.places}
    found = trial.verdicts(scored, chosen, {places[prompt_id]: rate for prompt_id, rate in rates.items()})
    console.print(_table(found))
    console.print(_conclusion(found), highlight=False, soft_wrap=True)


def _pass_rates(config: Config, found: Measurable, prompts: Sequence[Prompt], console: Console) -> dict[str, float]:
    from actors.driver.evaluation import started

    async def measure(cluster: "Cluster", tell: Callable[[str], None]) -> dict[str, float]:
        evaluation = await started(config, found, cluster, tell)
        evaluation.sets = {name: prompts for name in found.held_out}
        [graded] = (await evaluation.grade(tell)).values()
        return {entry.read.group.prompt.id: fmean(entry.outcomes) for entry in graded if entry.outcomes}

    return on_engines(config, measure, "score-check", console)


def _table(found: Sequence[trial.ZoneVerdict]) -> Table:
    table = Table("normalise", "center", box=None, pad_edge=False)
    for name in ("groups with signal", "at random", "Spearman"):
        table.add_column(name, justify="right")
    for verdict in found:
        setting = verdict.setting
        shares = (f"{share.value:.2f} ± {share.error:.2f}" for share in (verdict.share, verdict.random))
        table.add_row(setting.normalise, setting.center, *shares, f"{verdict.spearman:.2f}")
    return table


def _conclusion(found: Sequence[trial.ZoneVerdict]) -> str:
    best = found[0]
    if not best.pays:
        return (
            f"no zone is clearly better than random prompts ({best.gain:+.2f} at best): train on all of them"
            " (select.kind=uniform), or score another --target"
        )
    setting = best.setting
    return (
        f"select.normalise={setting.normalise} select.center={setting.center} tells most: {best.gain:+.2f} groups with"
        " signal in a group drawn"
    )
