"""Checking a reward before any GPU is booked, as the command line does it."""

import os
from collections import Counter
from collections.abc import Sequence
from itertools import islice

from rich.console import Console
from rich.table import Table
from rich.text import Text

from effrl.acceptable import listed
from effrl.config import load
from effrl.config.schema import Config
from effrl.data.reader import read
from effrl.errors import RunError, UserError
from effrl.report.show import printable
from effrl.reward.check import PROBES, SLOT, Check, Probe, Trial
from effrl.reward.check import check as check_reward
from effrl.reward.sandbox.pool import Sandbox
from effrl.types import Row, Status

_SHOWN = 100
"""Characters of a label or completion that are shown; answers stand at the end."""


def check(recipe: str, overrides: Sequence[str], rows: int, form: str | None, limit: int, console: Console) -> None:
    """Score completions whose verdict is known, made from labelled rows of a config's data.

    Raises:
        UserError: there are no labels, or the reward cannot be loaded.
        RunError: golds are not right, or what cannot be right is.
    """
    config = load.load(recipe, overrides)
    if form is not None and SLOT not in form:
        raise UserError(f"--form {form!r} has no place for the answer: write {SLOT} where it goes")
    name, labelled = _labelled(config, rows)
    with console.status("scoring"), Sandbox(config.reward, [os.getcwd()]) as sandbox:
        found = check_reward(config.reward, labelled, sandbox.score, form)
    put = found.form.replace(SLOT, "…")
    _tell(found, f"{config.reward.kind} · {len(labelled):,} rows of {name} · answers put as {put}", console)
    for probe in PROBES:
        _tell_unexpected(probe, [trial for trial in found.of(probe) if trial.unexpected], limit, console)
    if failures := found.failures():
        hint = "" if form else f" (if a completion puts its answer otherwise, say how: --form 'Answer: {SLOT}')"
        raise RunError(f"the reward is not fit for a run: {', '.join(failures)}{hint}")
    console.print(Text("ok: golds are right, the golds of other rows and empty completions are not", "green"))


def _labelled(config: Config, count: int) -> tuple[str, list[Row]]:
    """The first rows with a label, of the training data or else of the held-out data, and where they are from."""
    held_out = {config.data.eval_field(name): source for name, source in config.data.held_out.items()}
    for name, source in {"data.train": config.data.train, **held_out}.items():
        labelled = (row for row in read(source, config.data.form) if row.label and row.label.strip())
        if found := list(islice(labelled, count)):
            return name, found
    raise UserError(
        "no row of data.train or data.eval has a label to check the reward with: name their key, for example"
        ' data.train="file.jsonl?label=answer"'
    )


def _tell(found: Check, title: str, console: Console) -> None:
    console.print(Text(printable(title), "bold"), soft_wrap=True)
    table = Table("completion", "should be", box=None, pad_edge=False, header_style="dim")
    for name in ("right", "wrong", "no answer", "failed", "mean"):
        table.add_column(name, justify="right")
    for probe in PROBES:
        if trials := found.of(probe):
            table.add_row(probe.name, {True: "right", False: "wrong", None: "-"}[probe.expected], *_counts(trials))
    console.print(table)


def _counts(trials: Sequence[Trial]) -> list[Text]:
    counts = Counter(_verdict(trial) for trial in trials)
    unexpected = {_verdict(trial) for trial in trials if trial.unexpected}
    outcomes = [trial.score.outcome for trial in trials if trial.score.outcome is not None]
    cells = [
        Text(f"{counts[verdict]:,}" if counts[verdict] else "", "red" if verdict in unexpected else "")
        for verdict in ("right", "wrong", "no answer", "failed")
    ]
    return [*cells, Text(f"{sum(outcomes) / len(outcomes):.2f}" if outcomes else "")]


def _verdict(trial: Trial) -> str:
    if not trial.score.status.scored:
        return "failed"
    if trial.right:
        return "right"
    return "wrong" if trial.score.status is Status.OK else "no answer"


def _tell_unexpected(probe: Probe, trials: Sequence[Trial], limit: int, console: Console) -> None:
    if not trials:
        return
    console.print(Text(f"{probe.name}: {len(trials):,} unexpected", "yellow"))
    for trial in trials[:limit]:
        verdict = f"{trial.score.outcome:g}" if trial.score.outcome is not None else trial.score.status
        detail = f" ({printable(trial.score.detail)})" if trial.score.detail else ""
        facts = (
            f"{trial.case.id}  {verdict}{detail}  label {_short(listed(trial.case.label))}  {_short(trial.completion)}"
        )
        console.print(Text(f"  {printable(facts)}"), soft_wrap=True)
    if len(trials) > limit:
        console.print(Text(f"  … and {len(trials) - limit:,} more (--limit)", "dim"))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return f'"{text}"' if len(text) <= _SHOWN else f'"…{text[-_SHOWN:]}"'
