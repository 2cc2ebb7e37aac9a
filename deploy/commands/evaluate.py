"""Evaluating any model, as the command line does it."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

import effrl
from deploy.commands.engines import on_engines
from deploy.commands.notes import tell_notes
from effrl.config import load
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.evaluation import Estimate, Graded, measure, record
from effrl.preflight.check import Measurable, check_evaluation
from effrl.preflight.judge import Judge, find_judge
from effrl.report.show import printable, show_groups
from effrl.run.trained import Trained, find

Sets = Mapping[str, Sequence[Graded]]
PICKS = ("best", "weighted")
"""How metrics of a PRM's picks begin: they stand in a table of their own, since one would be too wide."""


@dataclass(frozen=True, slots=True)
class EvalWish:
    """What to measure a model on, how, and what to tell of it."""

    arguments: Sequence[str]
    """A recipe or a file, unless a run's own config is meant; then overrides."""
    best_of: int | None = None
    """Samples per prompt, of which the PRM picks one."""
    prm: Path | None = None
    """The run, or the checkpoint, whose PRM it is."""
    show: int = 0
    """Prompts of each set to show."""
    out: Path | None = None
    """JSON file to write."""

    def __post_init__(self) -> None:
        if self.best_of is not None and self.prm is None:
            raise UserError(
                f"--best-of {self.best_of} does not say who picks: add --prm RUN, a run with process.kind=implicit_prm"
            )
        if self.prm is not None and self.best_of is None:
            raise UserError(
                f"--prm {self.prm} does not say from how many samples to pick: add --best-of 8, for example"
            )

    @property
    def config(self) -> list[str]:
        """The arguments, and what ``--best-of`` sets."""
        return [*self.arguments, *([f"eval.per_prompt={self.best_of}"] if self.best_of else [])]


def evaluate(target: str, wish: EvalWish, console: Console) -> None:
    """Measure a model on held-out prompts, with engines of its own, and print what was found.

    Args:
        target: a run, one of its checkpoints, or any model.

    Raises:
        UserError: something is wrong with model, config or data; nothing was started.
        RunError: a worker failed.
    """
    trained = find(Path(target))
    config = _config(target, trained, wish.config)
    found = check_evaluation(config)
    judge = None if wish.prm is None else _judge(wish.prm, config, found)
    if wish.out is not None and not wish.out.parent.is_dir():
        raise UserError(f"cannot write {wish.out}: there is no directory {wish.out.parent}")
    name = trained.name if trained else target
    console.print(_headline(name, config), highlight=False, soft_wrap=True)
    if judge is not None:
        console.print(_picking(judge, config), highlight=False, soft_wrap=True)
    tell_notes(found.notes, console)
    sets = _graded(config, found, judge, console)
    _tell(sets, config, found, console)
    if wish.show:
        _show(sets, wish.show, console)
    if wish.out is not None:
        report = _report(name, sets, config) | ({} if judge is None else {"prm": judge.name})
        wish.out.write_text(json.dumps(report, indent=1, ensure_ascii=False, allow_nan=False))
        console.print(wish.out, highlight=False, soft_wrap=True)


def _judge(prm: Path, config: Config, found: Measurable) -> Judge:
    if config.eval_temperature == 0:
        raise UserError("at eval.temperature=0 all samples of a prompt are alike, and none is the best: set it to 1")
    return find_judge(prm, config, found)


def _config(target: str, trained: Trained | None, arguments: Sequence[str]) -> Config:
    """The config that is named, else the run's own, else one of overrides alone; the model is always the target.

    A run was trained with the arguments of its chat template, so they hold wherever else it is measured on, unless
    others are given.
    """
    named = [argument for argument in arguments if "=" not in argument]
    overrides = [argument for argument in arguments if "=" in argument]
    if len(named) > 1:
        raise UserError(f"one recipe or file says what to evaluate on, not {len(named)}: {', '.join(named)}")
    if not named and trained is not None and trained.run.config.is_file():
        named = [str(trained.run.config)]
    config = load.load(named[0], overrides) if named else load.load_overrides(overrides)
    update: dict[str, Any] = {"path": str(trained.model) if trained else target}
    if trained and trained.run.config.is_file() and "chat_template_kwargs" not in config.model.model_fields_set:
        update["chat_template_kwargs"] = load.load(str(trained.run.config)).model.chat_template_kwargs
    return config.model_copy(update={"model": config.model.model_copy(update=update)})


def _headline(name: str, config: Config) -> str:
    sampling = f"temperature {config.eval_temperature:g} · up to {config.eval_max_tokens:,} tokens"
    return f"effrl {effrl.__version__} · evaluation · {printable(name)} · {sampling} · seed {config.run.seed}"


def _picking(judge: Judge, config: Config) -> str:
    end = printable(json.dumps(judge.process.separator, ensure_ascii=False))
    return f"the PRM of {printable(judge.name)} picks one of {config.eval.per_prompt} · a step ends at {end}"


def _graded(config: Config, found: Measurable, judge: Judge | None, console: Console) -> dict[str, list[Graded]]:
    from actors.driver.evaluation import evaluate

    return on_engines(config, lambda cluster, tell: evaluate(config, found, cluster, tell, judge), "eval", console)


def _tell(sets: Sets, config: Config, found: Measurable, console: Console) -> None:
    measured = {name: measure(graded, config) for name, graded in sets.items()}
    metrics = list(dict.fromkeys(metric for estimates in measured.values() for metric in estimates))
    picks = [metric for metric in metrics if metric.startswith(PICKS)]
    console.print(_table(sets, measured, [metric for metric in metrics if metric not in picks], config, found))
    if picks:
        console.print(_table(sets, measured, picks, config, found))
    console.print(Text("± is half of the 95 % interval over prompts", "dim"))
    for name, graded in sets.items():
        if line := _unscored(name, graded):
            console.print(Text(line, "yellow"), soft_wrap=True)


def _table(
    sets: Sets,
    measured: Mapping[str, Mapping[str, Estimate]],
    metrics: Sequence[str],
    config: Config,
    found: Measurable,
) -> Table:
    """Some of the metrics of every set."""
    titles = {"accuracy": f"avg@{config.eval.per_prompt}"}
    table = Table("", "prompts", *(titles.get(metric, metric) for metric in metrics), box=None, pad_edge=False)
    for name, estimates in measured.items():
        rows = found.held_out[name].rows
        prompts = f"{len(sets[name]):,}" + (f" of {rows:,}" if rows > len(sets[name]) else "")
        table.add_row(Text(name, "bold"), prompts, *(_number(estimates[metric]) for metric in metrics))
    return table


def _show(sets: Sets, prompts: int, console: Console) -> None:
    """The first prompts of each set, with their samples and verdicts."""
    for name, graded in sets.items():
        console.print(Text(f"\n{name}", "bold"))
        show_groups(map(record, graded[:prompts]), console)


def _number(estimate: Estimate) -> str:
    if math.isnan(estimate.mean):
        return "—"
    return f"{estimate.mean:.3f}" + ("" if math.isnan(estimate.margin) else f" ± {estimate.margin:.3f}")


def _unscored(name: str, graded: Sequence[Graded]) -> str:
    """What the verifier failed on; it must not go unseen that a metric leaves samples out."""
    scores = [score for entry in graded for score in entry.scores]
    failed = Counter(score.status.value for score in scores if score.outcome is None)
    reasons = ", ".join(f"{status} {count}" for status, count in failed.most_common())
    return (
        f"{name}: {failed.total()} of {len(scores)} samples could not be scored ({reasons}): they count in no metric"
        if failed
        else ""
    )


def _report(model: str, sets: Sets, config: Config) -> dict[str, Any]:
    return {
        "effrl": effrl.__version__,
        "model": model,
        "config": config.model_dump(mode="json"),
        "sets": {
            name: {
                "metrics": {metric: _plain(estimate) for metric, estimate in measure(graded, config).items()},
                "prompts": [record(entry) for entry in graded],
            }
            for name, graded in sets.items()
        },
    }


def _plain(estimate: Estimate) -> dict[str, float | None]:
    values = {"mean": estimate.mean, "error": estimate.error, "prompts": estimate.prompts}
    return {name: value if math.isfinite(value) else None for name, value in values.items()}
