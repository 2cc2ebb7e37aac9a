"""Solutions whose tokens are coloured by their process rewards: in the terminal here, and for the page of a report."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nlargest, nsmallest
from operator import attrgetter
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from effrl.errors import UserError
from effrl.report.show import (
    GroupRecord,
    RolloutRecord,
    counted,
    known_groups,
    printable,
    ranges,
    read_groups,
    show_prompt,
)
from effrl.run.groups import settled_file, settled_steps

SHADES = (0.1, 0.4, 0.7)
"""Shares of the largest reward, up or down, from which on a token is shaded lightly, clearly and strongly."""
_STYLES = {
    -3: "bold white on red", -2: "bold red", -1: "red", 0: "", 1: "green", 2: "bold green", 3: "bold black on green",
}  # fmt: skip
"""Colours of the terminal's own theme, which are legible on light and dark: any depth of them would not be."""
_BREAK = "\n"
_HEAD, _TAIL = 1000, 500
"""Tokens of a long solution that are shown: its beginning, and its end, where the answer is."""
_NAMED = 3
"""Tokens of a solution that are named with their numbers, of the highest and of the lowest."""
_MARK = b'"process": ['
"""What only a line with process rewards has: inside of a text that a model wrote, the quotes would be escaped."""


@dataclass(frozen=True, slots=True)
class ShadedToken:
    """A token as people see it."""

    place: int
    """Of the solution's tokens, from 1."""
    text: str
    """Safe to print, with line breaks that can be seen."""
    reward: float
    shade: int
    """-3 (far below 0) to 3 (far above)."""


@dataclass(frozen=True, slots=True)
class Solution:
    """A rollout with its process rewards."""

    outcome: float | None
    tokens: list[ShadedToken]

    @property
    def parts(self) -> list[list[ShadedToken]]:
        """What is shown: all of it, or beginning and end."""
        return [self.tokens[:_HEAD], self.tokens[-_TAIL:]] if self.left_out else [self.tokens]

    @property
    def left_out(self) -> int:
        """Tokens between beginning and end."""
        return max(0, len(self.tokens) - _HEAD - _TAIL)

    @property
    def total(self) -> float:
        """The sum of all rewards: of an implicit PRM, the reward of the whole solution."""
        return sum(token.reward for token in self.tokens)

    @property
    def highest(self) -> list[ShadedToken]:
        """Those with the largest rewards above 0, the largest first."""
        return nlargest(_NAMED, [token for token in self.tokens if token.reward > 0], key=attrgetter("reward"))

    @property
    def lowest(self) -> list[ShadedToken]:
        """Those with the smallest rewards below 0, the smallest first."""
        return nsmallest(_NAMED, [token for token in self.tokens if token.reward < 0], key=attrgetter("reward"))


@dataclass(frozen=True, slots=True)
class Contrast:
    """A right and a wrong solution of one prompt; others where a step has no such pair."""

    step: int
    group: GroupRecord
    largest: float
    """The largest reward, up or down, that strong shades are near."""
    solutions: list[Solution]


def rewarded_steps(run: Path) -> Iterator[int]:
    """Yield the steps of a run that kept process rewards, the newest first."""
    for step in reversed(settled_steps(run / "groups")):
        if _MARK in settled_file(run / "groups", step).read_bytes():
            yield step


def contrast(run: Path) -> Contrast | None:
    """Two solutions of the last step that kept process rewards; None where none did."""
    step = next(rewarded_steps(run), None)
    if step is None:
        return None
    groups = _rewarded(read_groups(run, step))
    pairs = [(group, _right_and_wrong(_kept(group))) for group in groups]
    group, chosen = next(((group, pair) for group, pair in pairs if len(pair) == 2), (groups[0], _kept(groups[0])[:2]))
    largest = largest_reward(chosen)
    return Contrast(step, group, largest, [solution(rollout, largest) for rollout in chosen])


def solution(rollout: RolloutRecord, largest: float) -> Solution:
    """A rollout with its tokens shaded; ``largest`` is the reward, up or down, that the strongest shade is of."""
    kept = enumerate(_pairs(rollout), start=1)
    tokens = [ShadedToken(place, seen(piece), reward, shade(reward, largest)) for place, (piece, reward) in kept]
    return Solution(rollout["outcome"], tokens)


def shade(reward: float, largest: float) -> int:
    """From -3 to 3; 0 for all where the largest is 0, as before a PRM has learned anything."""
    depth = sum(abs(reward) >= share * largest for share in SHADES) if largest else 0
    return depth if reward > 0 else -depth


def largest_reward(rollouts: Iterable[RolloutRecord]) -> float:
    """The largest reward of a token, up or down; 0 where there is none."""
    return max((abs(reward) for rollout in rollouts for _, reward in _pairs(rollout)), default=0.0)


def seen(piece: str) -> str:
    """A token's text with its line breaks and tabs marked: these tokens have rewards, too."""
    return printable(piece).replace("\n", "⏎\n").replace("\t", "⇥")


def show_process(run: Path, step: int, console: Console, limit: int = 5) -> None:
    """Print the solutions of the first ``limit`` groups of a step that kept process rewards.

    Raises:
        UserError: there is no such run or step, or it kept none.
    """
    groups = _rewarded(known_groups(run, step))
    if not groups:
        raise UserError(_none_kept(run, step))
    shown = groups[: max(1, limit)]
    largest = largest_reward(rollout for group in shown for rollout in group["rollouts"])
    console.print(_legend(step, len(groups), len(shown), largest))
    for group in shown:
        console.print()
        show_prompt(group, console)
        for rollout in _kept(group):
            _show_solution(solution(rollout, largest), console)


def _rewarded(groups: Sequence[GroupRecord]) -> list[GroupRecord]:
    return [group for group in groups if _kept(group)]


def _kept(group: GroupRecord) -> list[RolloutRecord]:
    return [rollout for rollout in group["rollouts"] if "process" in rollout]


def _pairs(rollout: RolloutRecord) -> list[tuple[str, float]]:
    none: list[tuple[str, float]] = []
    return rollout.get("process", none)


def _right_and_wrong(rollouts: Sequence[RolloutRecord]) -> list[RolloutRecord]:
    """The first right one and the first wrong one; fewer where there are none."""
    scored = [(rollout["outcome"], rollout) for rollout in rollouts]
    right = [rollout for outcome, rollout in scored if outcome is not None and outcome > 0.5]
    wrong = [rollout for outcome, rollout in scored if outcome is not None and outcome <= 0.5]
    return [*right[:1], *wrong[:1]]


def _none_kept(run: Path, step: int) -> str:
    steps = sorted(rewarded_steps(run))
    if not steps:
        return f"{run} has no process rewards: it was trained without `process.kind`, or none of its steps learned"
    return f"step {step} of {run} kept no process rewards: those of {ranges(steps)} are there"


def _legend(step: int, groups: int, shown: int, largest: float) -> Text:
    line = Text.assemble((f"step {step}", "bold"), f" · process rewards of {counted(groups, 'group')}")
    line.append(f" · the first {shown}" if shown < groups else "", "dim")
    if not largest:
        return line.append(" · all are 0")
    line.append("\nreward of a token")
    for depth in (-3, -2, -1, 1, 2, 3):
        bound = SHADES[abs(depth) - 1] * largest
        line.append("  ").append(f"≤ {-bound:.2g}" if depth < 0 else f"≥ {bound:.2g}", _STYLES[depth])
    return line.append(f"  · the largest is {largest:.2g}", "dim")


def _show_solution(shown: Solution, console: Console) -> None:
    for indent, text in ((2, _head(shown)), (4, _body(shown)), (4, _named(shown))):
        if text.plain:
            console.print(Padding(text, (0, 0, 0, indent)))


def _head(shown: Solution) -> Text:
    length = len(shown.tokens)
    told = f" · {counted(length, 'token')} · sum {shown.total:+.3g} · mean {shown.total / max(1, length):+.2g}"
    if shown.outcome is None:
        return Text(f"not scored{told}", "dim")
    return Text.assemble((f"{shown.outcome:.2f}", "green" if shown.outcome > 0.5 else "red"), (told, "dim"))


def _body(shown: Solution) -> Text:
    parts = [Text.assemble(*[(_dotted(token), _STYLES[token.shade]) for token in part]) for part in shown.parts]
    return Text.assemble((f" [… {shown.left_out:,} more tokens …] ", "dim")).join(parts)


def _dotted(token: ShadedToken) -> str:
    """Blanks alone have no colour of their own in a terminal."""
    return token.text.replace(" ", "␣") if token.shade and token.text.isspace() else token.text


def _named(shown: Solution) -> Text:
    """The tokens that matter most, in numbers: what a pipe, or an eye without colours, gets."""
    ends = (("highest", shown.highest), ("lowest", shown.lowest))
    parts = [f"{name} {', '.join(map(_in_numbers, tokens))}" for name, tokens in ends if tokens]
    return Text(" · ".join(parts), "dim")


def _in_numbers(token: ShadedToken) -> str:
    return f"'{token.text.replace(_BREAK, '')}' {token.reward:+.2g} at {token.place}"
