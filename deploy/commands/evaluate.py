"""Evaluating any model, as the command line does it."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
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
from effrl.report.show import printable, show_groups
from effrl.run.trained import Trained, find

Sets = Mapping[str, Sequence[Graded]]


def evaluate(target: str, arguments: Sequence[str], show: int, out: Path | None, console: Console) -> None:
    """Measure a model on held-out prompts, with engines of its own, and print what was found.

    Args:
        target: a run, one of its checkpoints, or any model.
        arguments: a recipe or a file, unless a run's own config is meant; then overrides.
        show: prompts of each set to show.
        out: JSON file to write.

    Raises:
        UserError: something is wrong with model, config or data; nothing was started.
        RunError: a worker failed.
    """
    trained = find(Path(target))
    config = _config(target, trained, arguments)
    found = check_evaluation(config)
    if out is not None and not out.parent.is_dir():
        raise UserError(f"cannot write {out}: there is no directory {out.parent}")
    name = trained.name if trained else target
    console.print(_headline(name, config), highlight=False, soft_wrap=True)
    tell_notes(found.notes, console)
    sets = _graded(config, found, console)
    _tell(sets, config, found, console)
    if show:
        _show(sets, show, console)
    if out is not None:
        out.write_text(json.dumps(_report(name, sets, config), indent=1, ensure_ascii=False, allow_nan=False))
        console.print(out, highlight=False, soft_wrap=True)


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


def _graded(config: Config, found: Measurable, console: Console) -> dict[str, list[Graded]]:
    from actors.driver.evaluation import evaluate

    return on_engines(config, lambda cluster, tell: evaluate(config, found, cluster, tell), "eval", console)


def _tell(sets: Sets, config: Config, found: Measurable, console: Console) -> None:
    measured = {name: measure(graded, config) for name, graded in sets.items()}
    titles = {"accuracy": f"avg@{config.eval.per_prompt}"}
    metrics = list(dict.fromkeys(metric for estimates in measured.values() for metric in estimates))
    table = Table("", "prompts", *(titles.get(metric, metric) for metric in metrics), box=None, pad_edge=False)
    for name, estimates in measured.items():
        rows = found.held_out[name].rows
        prompts = f"{len(sets[name]):,}" + (f" of {rows:,}" if rows > len(sets[name]) else "")
        table.add_row(Text(name, "bold"), prompts, *(_number(estimates[metric]) for metric in metrics))
    console.print(table)
    console.print(Text("± is half of the 95 % interval over prompts", "dim"))
    for name, graded in sets.items():
        if line := _unscored(name, graded):
            console.print(Text(line, "yellow"), soft_wrap=True)


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
