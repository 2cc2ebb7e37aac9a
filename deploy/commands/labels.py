"""Finding out whether votes can be trusted, as the command line does it."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

import effrl
from deploy.commands.engines import on_engines
from deploy.commands.notes import tell_notes
from effrl.config import load
from effrl.config.reward import answering
from effrl.errors import UserError
from effrl.label.voting import Votes, advice
from effrl.preflight.check import check_sampling
from effrl.report.show import printable


def probe(recipe: str, overrides: Sequence[str], prompts: int | None, out: Path | None, console: Console) -> None:
    """Roll out the first training prompts and print what their votes are worth; nothing is bought or kept.

    Args:
        recipe: its name, or a file.
        overrides: dotted ones.
        prompts: how many; None for all.
        out: JSON Lines file to write, of ``prompt_id`` and ``share``.

    Raises:
        UserError: something is wrong with model, config or data; nothing was started.
        RunError: a worker failed.
    """
    from actors.driver.voting import POOL, sampling, vote

    config = load.load(recipe, list(overrides))
    if answering(config.reward) is None:
        raise UserError(
            f"nobody can vote: your own reward {config.reward.kind} does not tell answers; use reward.kind math, exact,"
            " task, choice or regex, or a sum with such a part"
        )
    if out is not None and not out.parent.is_dir():
        raise UserError(f"cannot write {out}: there is no directory {out.parent}")
    found = check_sampling(config)
    rows = found.held_out[POOL].rows
    config = sampling(config, rows if prompts is None else min(prompts, rows))
    console.print(_headline(config.model.path, config.eval.prompts, rows), highlight=False, soft_wrap=True)
    tell_notes(found.notes, console)
    votes = on_engines(config, lambda cluster, tell: vote(config, found, cluster, tell), "labels", console)
    _tell(votes, console)
    if out is not None:
        lines = [json.dumps({"prompt_id": name, "share": share}) for name, share in votes.shares.items()]
        out.write_text("".join(f"{line}\n" for line in lines))
        console.print(out, highlight=False, soft_wrap=True)


def _headline(model: str, prompts: int, rows: int) -> str:
    return f"effrl {effrl.__version__} · labels probe · {printable(model)} · {prompts:,} of {rows:,} training prompts"


def _tell(votes: Votes, console: Console) -> None:
    low, high = votes.accuracy
    counted = f"{votes.right} of {votes.labelled}, 95 % interval {low:.2f} to {high:.2f}"
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("right votes", counted if votes.labelled else "no prompt has a label to compare with")
    table.add_row("majority's share", f"{votes.share:.2f} of a group")
    table.add_row("entropy of answers", f"{votes.entropy:.2f} nats")
    console.print(table)
    console.print(Text(advice(votes)), soft_wrap=True)
