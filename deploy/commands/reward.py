"""Checking a reward before any GPU is booked, as the command line does it."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table
from rich.text import Text

from effrl.acceptable import listed
from effrl.config import load
from effrl.config.reward import AnyVerifier, answering
from effrl.config.schema import Config
from effrl.data.reader import placed
from effrl.errors import RunError, UserError
from effrl.report.show import printable
from effrl.reward.check import SLOT, Check, Trial
from effrl.reward.check import check as check_reward
from effrl.reward.labels import trouble
from effrl.reward.probes import Probe
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
    source = _labelled(config, rows)
    _tell_troubles(source, limit, console)
    with console.status("scoring"), Sandbox(config.reward, [os.getcwd()]) as sandbox:
        found = check_reward(config.reward, source.rows, sandbox.score, form)
    put = found.form.replace(SLOT, "…")
    _tell(found, f"{config.reward.kind} · {len(source.rows):,} rows of {source.name} · answers put as {put}", console)
    for probe in found.probes:
        _tell_unexpected(probe, [trial for trial in found.of(probe) if trial.unexpected], limit, console)
    if failures := [*source.failures(), *found.failures()]:
        hint = "" if form else f" (if a completion puts its answer otherwise, say how: --form 'Answer: {SLOT}')"
        raise RunError(f"the reward is not fit for a run: {', '.join(failures)}{hint}")
    console.print(Text("ok: golds are right, the golds of other rows and empty completions are not", "green"))


@dataclass(slots=True)
class Labelled:
    """The labels of a source: all of them are read, and some rows are tried."""

    name: str
    count: int = 0
    rows: list[tuple[str, Row]] = field(default_factory=list)
    """The first ones with a label that an answer can equal, each with its place."""
    troubles: list[str] = field(default_factory=list)
    """A line for each label that no answer can equal."""

    def failures(self) -> list[str]:
        unequalled = f"{len(self.troubles):,} of {self.count:,} labels can be equalled by no answer"
        return [unequalled] if self.troubles else []


def _labelled(config: Config, most: int) -> Labelled:
    """The labels of the training data, or else of the held-out data.

    Raises:
        UserError: there are none, or a row is malformed.
        RunError: no answer can equal any of them.
    """
    held_out = {config.data.eval_field(name): source for name, source in config.data.held_out.items()}
    for name, source in {"data.train": config.data.train, **held_out}.items():
        found = Labelled(name)
        for place, row in placed(source, config.data.form):
            if row.label and row.label.strip():
                _take(found, place, row, answering(config.reward), most)
        if found.rows:
            return found
        if found.troubles:
            raise RunError(f"no answer can equal any label of {name}; the first: {found.troubles[0]}")
    raise UserError(
        "no row of data.train or data.eval has a label to check the reward with: name their key, for example"
        ' data.train="file.jsonl?label=answer"'
    )


def _take(found: Labelled, place: str, row: Row, verifier: AnyVerifier | None, most: int) -> None:
    assert row.label is not None
    found.count += 1
    if problem := trouble(verifier, row.label):
        found.troubles.append(f"{place}  {row.prompt.id}  {problem}: {_short(listed(row.label))}")
    elif len(found.rows) < most:
        found.rows.append((place, row))


def _tell_troubles(source: Labelled, limit: int, console: Console) -> None:
    if not source.troubles:
        return
    console.print(Text(f"labels that no answer can equal: {len(source.troubles):,} of {source.count:,}", "yellow"))
    for line in source.troubles[:limit]:
        console.print(Text(f"  {printable(line)}"), soft_wrap=True)
    if len(source.troubles) > limit:
        console.print(Text(f"  … and {len(source.troubles) - limit:,} more (--limit)", "dim"))


def _tell(found: Check, title: str, console: Console) -> None:
    console.print(Text(printable(title), "bold"), soft_wrap=True)
    table = Table("completion", "should be", box=None, pad_edge=False, header_style="dim")
    for name in ("right", "wrong", "no answer", "failed", "mean"):
        table.add_column(name, justify="right")
    for probe in found.probes:
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
        row = f"{trial.case.place}  {trial.case.id}"
        facts = f"{verdict}{detail}  label {_short(listed(trial.case.label))}  {_short(trial.completion)}"
        console.print(Text(f"  {printable(row)}  {printable(facts)}"), soft_wrap=True)
    if len(trials) > limit:
        console.print(Text(f"  … and {len(trials) - limit:,} more (--limit)", "dim"))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return f'"{text}"' if len(text) <= _SHOWN else f'"…{text[-_SHOWN:]}"'
