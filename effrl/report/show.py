"""One step of a run in the terminal: prompts, rollouts, rewards, labels and fates."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import NotRequired, TypedDict, cast

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from effrl.acceptable import listed
from effrl.errors import UserError
from effrl.run import metrics
from effrl.run.groups import rolled_back_file, rolled_back_steps, settled_file, settled_steps
from effrl.select.ufo.records import certainties

_COLOURS = {
    "trained": "green",
    "filtered": "yellow",
    "unbalanced": "yellow",
    "dropped": "magenta",
    "failed": "red",
    "rolled_back": "blue",
}
_TEXT_LIMIT = 320
"""Characters of a prompt or completion that are shown; the middle of a longer one is left out."""
_UNREAD: dict[str, object] = {
    "prompt": "",
    "reason": "lost before it was read",
    "grounds": {},
    "label_source": None,
    "answer": None,
    "rollouts": [],
}
"""What is missing of a group that was taken back before its step committed; older runs kept no grounds of any."""


class RolloutRecord(TypedDict):
    """One rollout as ``groups/`` keeps it."""

    text: str
    tokens: int
    finish_reason: str
    outcome: float | None
    reward: float | None
    status: str | None
    answer: str | None
    version_min: int
    version_max: int
    process: NotRequired[list[tuple[str, float]]]
    """Text and process reward of each token; of the few groups whose rewards are kept."""
    prm: NotRequired[float | None]
    """What a process reward model made of a held-out sample; None of one without text."""


class GroupRecord(TypedDict):
    """One group as ``groups/`` keeps it."""

    id: str
    step: int
    prompt_id: str
    prompt: str
    fate: str
    reason: str | None
    grounds: dict[str, float]
    label_source: str | None
    answer: str | None
    rollouts: list[RolloutRecord]


def read_groups(run: Path, step: int) -> list[GroupRecord]:
    """The groups of a step, then those that a resume rolled back."""
    files = (settled_file(run / "groups", step), rolled_back_file(run / "groups", step))
    return [cast(GroupRecord, {**_UNREAD, **group}) for file in files for group in metrics.read(file)]


def known_groups(run: Path, step: int) -> list[GroupRecord]:
    """The groups of a step that has some.

    Raises:
        UserError: there is no such run or step.
    """
    if not run.is_dir():
        raise UserError(f"there is no run {run}{_neighbours(run)}")
    if not (groups := read_groups(run, step)):
        raise UserError(_no_such_step(run, step))
    return groups


def printable(text: str) -> str:
    """Text that is safe to print: a model may write escape sequences, which would act on the terminal."""
    return "".join(_visible(character) for character in text)


def show_step(run: Path, step: int, console: Console, limit: int = 5) -> None:
    """Print the first ``limit`` groups of a step.

    Raises:
        UserError: there is no such run or step.
    """
    groups = known_groups(run, step)
    shown = groups[: max(1, limit)]
    console.print(_summary(step, groups, _replayed(run, step), len(shown)))
    prompt_ids = {group["prompt_id"] for group in shown}
    show_groups(shown, console, certainties(run / "select" / "scores.jsonl", step, prompt_ids))


def show_groups(
    groups: Iterable[GroupRecord], console: Console, certainty: Mapping[str, float] = MappingProxyType({})
) -> None:
    """Print groups with their rollouts and verdicts, and the certainty (by prompt id) that their prompts had."""
    for group in groups:
        console.print()
        _show_group(group, certainty.get(group["prompt_id"]), console)


def show_prompt(group: GroupRecord, console: Console, certainty: float | None = None) -> None:
    """Print what became of a group, and its prompt."""
    console.print(_header(group, certainty))
    console.print(Padding(Text(_excerpt(group["prompt"]), "bold"), (0, 0, 0, 2)))


def ranges(steps: Sequence[int]) -> str:
    """``[1, 2, 3, 7]`` as ``1-3, 7``."""
    runs = [[value for _, value in block] for _, block in groupby(enumerate(steps), lambda pair: pair[1] - pair[0])]
    return ", ".join(f"{block[0]}-{block[-1]}" if len(block) > 1 else str(block[0]) for block in runs)


def counted(number: int, noun: str) -> str:
    """``1 group``, ``2 groups``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _visible(character: str) -> str:
    # What Python does not call printable (controls, direction overrides, lone surrogates) is shown as its code.
    if character.isprintable() or character in "\n\t" or unicodedata.category(character) == "Zs":
        return character
    return f"\\x{ord(character):02x}" if ord(character) < 256 else f"\\u{ord(character):04x}"


def _neighbours(run: Path) -> str:
    parent = run.parent
    names = sorted(path.parent.name for path in parent.glob("*/metrics.jsonl")) if parent.is_dir() else []
    return f": {parent} has {', '.join(names)}" if names else ""


def _no_such_step(run: Path, step: int) -> str:
    steps = sorted({*settled_steps(run / "groups"), *rolled_back_steps(run / "groups")})
    if not steps:
        return f"{run} has no groups yet: its first step is not committed"
    return f"{run} has no groups of step {step}: it has {ranges(steps)}"


def _replayed(run: Path, step: int) -> int:
    """Groups of earlier steps that a step learned from again."""
    rows = [row for row in metrics.read(run / "metrics.jsonl") if row["step"] == step]
    return sum(row.get("groups/replay_uses") or 0 for row in rows)


def _summary(step: int, groups: Sequence[GroupRecord], replayed: int, shown: int) -> Text:
    line = Text.assemble((f"step {step}", "bold"), f" · {counted(len(groups), 'group')}: ")
    for position, (fate, count) in enumerate(Counter(group["fate"] for group in groups).most_common()):
        line.append(", " if position else "").append(f"{count} {_words(fate)}", _colour(fate))
    line.append(f" · {counted(replayed, 'group')} of earlier steps replayed" if replayed else "")
    return line.append(f" · the first {shown}" if shown < len(groups) else "", "dim")


def _show_group(group: GroupRecord, certainty: float | None, console: Console) -> None:
    show_prompt(group, console, certainty)
    console.print(Padding(_rollouts(group["rollouts"]), (0, 0, 0, 2)))


def _header(group: GroupRecord, certainty: float | None) -> Text:
    fate = group["fate"]
    parts = [Text(_words(fate), _colour(fate)), Text(_label(group)), Text(_mean_outcome(group["rollouts"]))]
    parts += [] if certainty is None else [Text(f"certainty {certainty:.2f}")]
    parts += [Text(printable(group["reason"]))] if group["reason"] else []
    parts += [Text(f"{_words(name)} {value:.2f}", "dim") for name, value in group["grounds"].items()]
    parts += [Text(_versions(group["rollouts"]), "dim")] if group["rollouts"] else []
    title = Text.assemble((printable(group["prompt_id"]), "cyan"), "  ")
    return title.append_text(Text(" · ").join(part for part in parts if part.plain))


def _label(group: GroupRecord) -> str:
    if group["label_source"] is None:
        return "no label"
    return f"label {_one_line(listed(group['answer'] or '?'))} ({group['label_source']})"


def _mean_outcome(rollouts: Iterable[RolloutRecord]) -> str:
    outcomes = [rollout["outcome"] for rollout in rollouts if rollout["outcome"] is not None]
    return f"mean outcome {sum(outcomes) / len(outcomes):.2f}" if outcomes else ""


def _versions(rollouts: Sequence[RolloutRecord]) -> str:
    first = min(rollout["version_min"] for rollout in rollouts)
    last = max(rollout["version_max"] for rollout in rollouts)
    return f"policy {first}" if first == last else f"policy {first}-{last}"


def _rollouts(rollouts: Sequence[RolloutRecord]) -> Table:
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for rollout in rollouts:
        tokens = Text(f"{rollout['tokens']} tok{_judgement(rollout)}", "dim")
        table.add_row(_rewards(rollout), _status(rollout), tokens, _completion(rollout))
    return table


def _rewards(rollout: RolloutRecord) -> Text:
    outcome, reward = rollout["outcome"], rollout["reward"]
    if outcome is None:
        return Text("-", "dim")
    shaped = f" ({reward:.2f})" if reward is not None and reward != outcome else ""
    return Text(f"{outcome:.2f}{shaped}", "green" if outcome > 0.5 else "red")


def _status(rollout: RolloutRecord) -> Text:
    status = rollout["status"]
    return Text("not scored" if status is None else _words(status), "dim" if status in (None, "ok") else "yellow")


def _judgement(rollout: RolloutRecord) -> str:
    if "prm" not in rollout:
        return ""
    return " · prm -" if rollout["prm"] is None else f" · prm {rollout['prm']:+.3f}"


def _completion(rollout: RolloutRecord) -> Text:
    answer = rollout["answer"]
    found = Text("", "dim") if answer is None else Text(f"  → {_one_line(answer)}", "dim")
    return Text(_one_line(_excerpt(rollout["text"]))).append_text(found)


def _excerpt(text: str) -> str:
    """The beginning and the end, where the answer is."""
    text = printable(text.strip())
    head, tail = _TEXT_LIMIT * 2 // 3, _TEXT_LIMIT // 3
    return text if len(text) <= _TEXT_LIMIT else f"{text[:head]} [… {len(text) - head - tail:,} …] {text[-tail:]}"


def _one_line(text: str) -> str:
    return printable(text).replace("\n", " ⏎ ").replace("\t", " ")


def _colour(fate: str) -> str:
    return _COLOURS.get(fate, "white")


def _words(name: str) -> str:
    return printable(name).replace("_", " ")
