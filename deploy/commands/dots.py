"""Fitting a difficulty predictor on finished runs, as the command line does it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from effrl.config import load
from effrl.difficulty.embedding import POOLING, embedded
from effrl.difficulty.gather import Snapshot, snapshots
from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.offline import HeldOutSplit, Result, results, split, summary
from effrl.difficulty.saved import Card, save
from effrl.difficulty.training import Fit, steps_of_epoch
from effrl.errors import RunError, UserError
from effrl.models import fingerprint, locate
from effrl.run.directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Options:
    """What the command was asked for."""

    out: Path
    embeddings: str | None
    window: int
    fit: Fit
    hidden: int
    layers: int
    workers: int


def fit_predictor(runs: Sequence[Path], options: Options, console: Console) -> None:
    """Gather pass rates, embed their prompts, fit, say how well held-out prompts are predicted, and save.

    Raises:
        UserError: no usable run, or something that cannot be loaded or written; nothing was fitted.
        RunError: a worker failed.
    """
    if not options.out.parent.is_dir():
        raise UserError(f"cannot write {options.out}: there is no directory {options.out.parent}")
    found = snapshots(runs, options.window)
    model = locate(options.embeddings or _base_of(runs))
    data = _embedded(model, found, options.fit.seed, console)
    _check(data, options, console)
    network, losses = _trained(data, options)
    console.print(f"fitted: loss {losses[0]:.4f} → {losses[-1]:.4f} in {len(losses)} epochs", highlight=False)
    measured = results(network, data, options.fit.references, options.fit.seed)
    _tell(measured, console)
    policies = len(data.snapshots) - len(data.unseen)
    save(options.out, network, Card(fingerprint(model), POOLING, policies, summary(measured)))
    console.print(options.out, highlight=False, soft_wrap=True)


def _base_of(runs: Sequence[Path]) -> str:
    bases = sorted({load.load(str(RunDirectory(run).config)).model.path for run in runs})
    if len(bases) > 1:
        raise UserError(f"these runs began with {' and '.join(bases)}: say with --embeddings which model embeds")
    return bases[0]


def _embedded(model: Path, found: Sequence[Snapshot], seed: int, console: Console) -> HeldOutSplit:
    texts = sorted({text for snapshot in found for text in snapshot.rates})
    made = embedded(model, texts)
    took = "found embedded" if made.seconds is None else f"embedded in {made.seconds:.1f} s"
    console.print(
        f"{len(found)} snapshots of policies · {len(texts):,} prompts {took} with {model.name}",
        highlight=False,
        soft_wrap=True,
    )
    return split(made.rows, texts, found, seed)


def _check(data: HeldOutSplit, options: Options, console: Console) -> None:
    """That there is enough to fit on; and say where references are fewer than asked for."""
    parts = data.examples()
    if not parts:
        raise UserError("nothing to fit on: no snapshot has two prompts that are not held out; name more runs")
    if (steps := steps_of_epoch(parts, options.fit)) < options.workers:
        raise UserError(f"--workers={options.workers} for {steps} steps in an epoch: lower it")
    smallest, largest = (edge(len(part.references) for part in parts) for edge in (min, max))
    if smallest < options.fit.references:
        console.print(
            f"snapshots have {smallest} to {largest} prompts to refer to: where fewer than --reference"
            f" {options.fit.references}, all are used",
            highlight=False,
            soft_wrap=True,
        )


def _trained(data: HeldOutSplit, options: Options) -> tuple[DifficultyNetwork, list[float]]:
    import ray.train

    from actors.data.fitting import FitTask, train
    from actors.session import ray_session

    task = FitTask(data.examples(), options.fit, options.hidden, options.layers)
    try:
        with ray_session():
            return train(task, options.workers)
    except ray.train.TrainingFailedError as error:
        reason = str(error).strip().splitlines()[-1]
        raise RunError(f"a worker failed while fitting: {reason}") from error


def _tell(measured: Sequence[Result], console: Console) -> None:
    """One line per snapshot: held-out prompts, against the untrained attention and the mean of the references."""
    correlations = _table("held-out prompts: correlation", "Pearson", "untrained", "ceiling", "Spearman")
    errors = _table("held-out prompts: errors", "MAE", "untrained", "mean", "precision", "random")
    for entry in measured:
        steps = f"{entry.snapshot.first}-{entry.snapshot.last}"
        where = (Path(entry.snapshot.run).name, steps, "unseen" if entry.unseen else "seen", str(entry.prompts))
        fitted, untrained = entry.fitted, entry.untrained
        found = (fitted["pearson"], untrained["pearson"], entry.ceiling, fitted["spearman"])
        correlations.add_row(*map(Text, where), *(f"{number:.2f}" for number in found))
        wrong = (fitted["mae"], untrained["mae"], entry.mean["mae"], fitted["precision"], fitted["precision_random"])
        errors.add_row(*map(Text, where), *(f"{number:.2f}" for number in wrong))
    console.print(correlations)
    console.print(errors)


def _table(title: str, *numbers: str) -> Table:
    table = Table(box=None, pad_edge=False, title=Text(title, "bold"), title_justify="left")
    for name in ("run", "steps", "policy", "prompts"):
        table.add_column(name, overflow="fold")
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    return table
