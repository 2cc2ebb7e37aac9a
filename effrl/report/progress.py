"""The progress of a run: one live line in a terminal, one plain line per step everywhere else."""

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from effrl.advice.rule import PREFIX
from effrl.run.metrics import MetricsRow

_WINDOW = 5
"""Steps in each of the two means that the arrow compares."""
_FLAT = 0.005
"""Difference of the two means below which the reward counts as flat."""
_LONG_S = 10.0
"""Seconds after which a stage is worth more room on the line than pace and time left."""
_BAR = (6, 21)
"""Narrowest and widest bar, in columns."""
_ASCII = str.maketrans({"━": "=", "╺": "-", "↑": "^", "↓": "v", "→": ">", "…": "~", "·": "-"})


def duration(seconds: float) -> str:
    """Seconds for people: ``48s``, ``1m36``, ``2h05``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes, seconds_left = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours}h{minutes_left:02}" if hours else f"{minutes}m{seconds_left:02}"


class Progress:
    """Tells how a run goes. Feed it every row of ``metrics.jsonl``; row 0 gives the base.

    Example of the live line::

        step 12/60 ━━━━╺━━━━━━━ reward 0.41 ↑  eval 0.38 (base 0.30)  labels 384  waste 12 %  2.0 s/step  1m36 left
    """

    def __init__(
        self,
        total_steps: int | None,
        console: Console,
        now: Callable[[], float] = time.monotonic,
        keep: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Without a total, what a stage says that it enters is what there is to do.

        Args:
            keep: gets every message, and one line per step, in a terminal too, where the line is gone with the next.
        """
        self._keep = keep
        self._total = total_steps or 0
        self._before = 0
        """Steps that are not of the stage."""
        self._within = ""
        self._console = console
        self._now = now
        self._tally = _Tally()
        self._step = 0
        self._done = 0
        self._stage = ""
        self._stage_since = 0.0
        self._marks: deque[float] = deque(maxlen=21)
        """Seconds at which the last steps ended; the first may be the begin of the first step."""
        live = console.is_terminal and not console.is_dumb_terminal
        self._live = Live(console=console, get_renderable=self._line, refresh_per_second=4) if live else None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def resume(self, rows: Iterable[MetricsRow]) -> None:
        """Count what earlier attempts did, and no more, so that base, labels, waste and arrow go on from there."""
        self._tally = _Tally()
        for row in rows:
            self._tally.add(row)
            self._step = self._done = row["step"]

    def start(self, step: int) -> None:
        """A step begins (0: the base is evaluated)."""
        self._step = step
        self._stage = ""
        if not self._marks:
            self._marks.append(self._now())
        if self._live is not None:
            self._live.start()

    def enters(self, within: str, first: int, last: int) -> None:
        """The run enters a stage; count and time left are of that, since how long later ones are is not known yet, and
        what preparing it took says nothing about its steps."""
        self._within, self._before, self._total = within, first - 1, last
        self._marks.clear()
        self._marks.append(self._now())

    def stage(self, name: str) -> None:
        """What the run waits for now; shown where there is room, and in any case once it takes long."""
        self._stage = name
        self._stage_since = self._now()

    @property
    def waits(self) -> tuple[str, float]:
        """The stage that the run is in, and for how many seconds; no stage between two steps."""
        return self._stage, self._now() - self._stage_since

    def step_done(self, row: MetricsRow) -> None:
        """A step ended with this row of metrics."""
        self._tally.add(row)
        self._step = self._done = row["step"]
        self._stage = ""
        if self._done == 0:
            self._marks.clear()  # The base takes no step: its time says nothing about the steps to come.
        self._marks.append(self._now())
        self._keep(self._plain_line())
        if self._live is None:
            self._print(self._plain_line())
        else:
            self._live.start()
            self._live.refresh()

    def note(self, text: str) -> None:
        """Print a message above the line."""
        self._keep(text)
        self._print(text)
        if self._live is not None:
            self._live.refresh()

    def close(self) -> None:
        """Leave the last line where it is and give the terminal back; may be called twice."""
        self._stage = ""
        if self._live is not None:
            self._live.stop()

    def _print(self, text: str) -> None:
        self._console.print(Text(self._encodable(text)), soft_wrap=True)

    def _encodable(self, text: str) -> str:
        """What the console's encoding cannot express must not end a run."""
        encoding = self._console.encoding
        if encoding.lower().startswith("utf"):
            return text
        return text.translate(_ASCII).encode(encoding, "replace").decode(encoding)

    def _parts(self) -> list[tuple[int, str]]:
        """(rank, text) in the order of the line; where it is too long the highest rank goes first."""
        pace = self._pace()
        eta = "" if pace is None else f"{duration(pace * (self._total - self._done))} left"
        parts = [
            (1, self._tally.reward()),
            (3, self._tally.evaluation()),
            (6, self._tally.labels()),
            (7, self._tally.waste()),
            (7, self._tally.replayed()),
            (2, self._tally.advice()),
            (5, "" if pace is None else f"{_seconds(pace)} s/step"),
            (4, eta if self._done < self._total else ""),
            self._waiting(),
        ]
        return [part for part in parts if part[1]]

    def _waiting(self) -> tuple[int, str]:
        if not self._stage:
            return 8, ""
        waited = self._now() - self._stage_since
        return (2, f"{self._stage} {duration(waited)}…") if waited >= _LONG_S else (8, f"{self._stage}…")

    def _head(self) -> str:
        if not self._within:
            return f"step {self._step}/{self._total}" if self._total else f"step {self._step}"
        return f"{self._within} {self._step - self._before}/{self._total - self._before} (step {self._step})"

    def _plain_line(self) -> str:
        return "  ".join([self._head(), *(text for _, text in self._parts())])

    def _line(self) -> Text:
        # One column stays free: some terminals wrap when the last one is used.
        width = self._console.width - 1
        parts = self._parts()
        head = self._head()
        room = width - len(head) - _BAR[0] - 2
        while parts and _width(parts) > room:
            parts.remove(max(parts))
        line = Text(self._encodable(head), no_wrap=True, overflow="crop", end="")
        if (space := width - len(head) - _width(parts) - 2) >= _BAR[0]:
            line.append(" ").append_text(self._bar(min(space, _BAR[1])))
        for position, (rank, text) in enumerate(parts):
            line.append("  " if position else " ").append(self._encodable(text), "dim" if rank >= 4 else None)
        line.truncate(max(1, width), overflow="crop")
        return line

    def _bar(self, width: int) -> Text:
        done, of = self._done - self._before, self._total - self._before
        filled = max(0, min(width, width * done // max(1, of)))
        rest = width - filled
        tip = "╺" if filled and rest else ""
        text = Text(self._encodable("━" * filled), "green")
        return text.append(self._encodable(tip + "━" * (rest - len(tip))), "bright_black")

    def _pace(self) -> float | None:
        """Mean seconds per step over the last 20 steps."""
        steps = len(self._marks) - 1
        return (self._marks[-1] - self._marks[0]) / steps if steps > 0 else None


class _Tally:
    """What the rows add up to; a metric that is missing or null leaves the last value standing."""

    def __init__(self) -> None:
        self._rewards: deque[float] = deque(maxlen=2 * _WINDOW)
        self._last: dict[str, Any] = {}
        self._base: float | None = None
        self._shown: list[str] = []
        self._rolled = 0
        self._trained = 0

    def add(self, row: MetricsRow) -> None:
        known = {key: value for key, value in row.items() if value is not None}
        self._last.update(known)
        self._shown = [name.removeprefix(PREFIX).replace("_", " ") for name in known if name.startswith(PREFIX)]
        if "reward/outcome_mean" in known:
            self._rewards.append(known["reward/outcome_mean"])
        if known["step"] == 0 and "eval/accuracy" in known:
            self._base = known["eval/accuracy"]
        if "groups/rolled" in known and "groups/trained" in known:
            self._rolled += known["groups/rolled"]
            self._trained += known["groups/trained"]

    def reward(self) -> str:
        return f"reward {self._rewards[-1]:.2f}{_arrow(tuple(self._rewards))}" if self._rewards else ""

    def evaluation(self) -> str:
        if "eval/accuracy" not in self._last:
            return ""
        base = f" (base {self._base:.2f})" if self._base is not None and self._last["step"] > 0 else ""
        return f"eval {self._last['eval/accuracy']:.2f}{base}"

    def labels(self) -> str:
        return f"labels {self._last['label/bought_total']:,.0f}" if "label/bought_total" in self._last else ""

    def waste(self) -> str:
        """Share of rolled groups that were not trained, over the whole run."""
        return f"waste {1 - self._trained / self._rolled:.0%}".replace("%", " %") if self._rolled else ""

    def advice(self) -> str:
        """What the last step showed that a line above it has advice on."""
        return f"! {', '.join(self._shown)}" if self._shown else ""

    def replayed(self) -> str:
        """Groups of earlier steps that the last step learned from again."""
        count = self._last.get("groups/replay_uses", 0)
        return f"replayed {count}" if count else ""


def _arrow(rewards: Sequence[float]) -> str:
    """Where the mean of the last steps went, compared with as many before; nothing while there are too few."""
    if len(rewards) < 2 * _WINDOW:
        return ""
    change = (sum(rewards[_WINDOW:]) - sum(rewards[:_WINDOW])) / _WINDOW
    return " →" if abs(change) < _FLAT else " ↑" if change > 0 else " ↓"


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f}" if seconds < 100 else f"{seconds:,.0f}"


def _width(parts: Sequence[tuple[int, str]]) -> int:
    """Columns of the joined parts, two blanks between them."""
    return sum(len(text) for _, text in parts) + 2 * max(0, len(parts) - 1)
