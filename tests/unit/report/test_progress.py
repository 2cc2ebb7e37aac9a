import io
import random
import re

import pytest
from fake_run import base_row, step_row
from rich.console import Console

from effrl.report.progress import Progress, duration


class Terminal:
    """A console of a given width, and a clock that the test sets."""

    def __init__(self, width: int, live: bool = True, encoding: str = "utf-8") -> None:
        self.seconds = 0.0
        self.bytes = io.BytesIO()
        file = io.TextIOWrapper(self.bytes, encoding=encoding, write_through=True)
        self.console = Console(file=file, force_terminal=live, width=width, legacy_windows=False, _environ={})

    def progress(self, total: int = 60) -> Progress:
        return Progress(total, self.console, now=lambda: self.seconds)

    @property
    def text(self) -> str:
        return self.bytes.getvalue().decode(self.console.encoding)

    @property
    def last_line(self) -> str:
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", re.split(r"\r", self.text.rstrip())[-1]).rstrip()


def run_steps(terminal: Terminal, steps: int, total: int = 60) -> None:
    numbers = random.Random(1)
    with terminal.progress(total) as progress:
        progress.start(0)
        terminal.seconds += 30.0
        progress.step_done(base_row())
        for step in range(1, steps + 1):
            progress.start(step)
            progress.stage("rollout")
            terminal.seconds += 2.0
            progress.step_done({**step_row(step, total, numbers), "reward/outcome_mean": step / 30})


def test_the_line_tells_everything_where_there_is_room() -> None:
    terminal = Terminal(130)
    run_steps(terminal, 12)
    assert re.fullmatch(
        r"step 12/60 ━+╺━+ reward 0\.40 ↑  eval 0\.36 \(base 0\.30\)  labels 384  waste \d\d %  2\.0 s/step  1m36 left",
        terminal.last_line,
    )


@pytest.mark.parametrize("width", [1, 8, 20, 40, 60, 80, 100, 130])
def test_the_line_never_exceeds_the_terminal(width: int) -> None:
    terminal = Terminal(width)
    run_steps(terminal, 12)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.text)
    assert max(len(line) for line in re.split(r"[\r\n]", plain)) <= width


def test_80_columns_keep_reward_evaluation_and_time_left() -> None:
    terminal = Terminal(80)
    run_steps(terminal, 12)
    for part in ("step 12/60", "reward 0.40 ↑", "eval 0.36 (base 0.30)", "1m36 left"):
        assert part in terminal.last_line


def test_the_pace_is_that_of_the_stage_without_what_preparing_it_took() -> None:
    terminal = Terminal(130)
    with terminal.progress(0) as progress:
        for name, first, preparing, pace in (("warm-up", 1, 0.0, 2.0), ("main", 3, 300.0, 4.0)):
            terminal.seconds += preparing
            progress.enters(name, first, first + 9)
            for step in (first, first + 1):
                progress.start(step)
                terminal.seconds += pace
                progress.step_done(step_row(step, 60, random.Random(1)))
    assert terminal.last_line.startswith("main 2/10 (step 4) ")
    assert terminal.last_line.endswith("4.0 s/step  32s left")


def test_a_stage_that_takes_long_is_shown_on_narrow_terminals_too() -> None:
    terminal = Terminal(80)
    with terminal.progress() as progress:
        progress.start(0)
        for step in range(3):
            progress.step_done({**step_row(step, 60, random.Random(1)), "eval/accuracy": 0.3})
        progress.stage("publish")
        terminal.seconds += 45.0
        progress.note("a note")
    assert "publish 45s…" in terminal.text


def test_without_a_terminal_there_is_one_plain_line_per_step() -> None:
    terminal = Terminal(40, live=False)
    run_steps(terminal, 3, total=3)
    lines = terminal.text.splitlines()
    assert [line[:8] for line in lines] == ["step 0/3", "step 1/3", "step 2/3", "step 3/3"]
    assert lines[0] == "step 0/3  eval 0.30"
    assert lines[3].startswith("step 3/3  reward 0.10  eval 0.43 (base 0.30)  labels 96  waste ")
    assert lines[3].endswith("2.0 s/step")
    assert "\x1b" not in terminal.text and "\r" not in terminal.text


@pytest.mark.parametrize(
    ("rewards", "arrow"),
    [([0.1] * 9, ""), ([0.1] * 5 + [0.3] * 5, " ↑"), ([0.3] * 5 + [0.1] * 5, " ↓"), ([0.2] * 10, " →")],
)
def test_the_arrow_compares_five_steps_with_the_five_before(rewards: list[float], arrow: str) -> None:
    terminal = Terminal(100, live=False)
    progress = terminal.progress()
    for step, reward in enumerate(rewards, start=1):
        progress.step_done({"step": step, "reward/outcome_mean": reward})
    assert f"reward {rewards[-1]:.2f}{arrow}" in re.split("  |\n", terminal.text)


def test_waste_accumulates_and_nulls_leave_the_last_value() -> None:
    terminal = Terminal(100, live=False)
    progress = terminal.progress()
    progress.step_done({"step": 1, "reward/outcome_mean": 0.5, "groups/rolled": 10, "groups/trained": 10})
    progress.step_done({"step": 2, "reward/outcome_mean": None, "groups/rolled": 10, "groups/trained": 5})
    assert terminal.text.splitlines()[-1].startswith("step 2/60  reward 0.50  waste 25 %")


def test_a_resumed_run_goes_on_from_its_rows() -> None:
    terminal = Terminal(120, live=False)
    progress = terminal.progress()
    rows = [base_row(), *(step_row(step, 60, random.Random(step)) for step in range(1, 13))]
    progress.resume(rows)
    progress.start(13)
    terminal.seconds += 3.0
    progress.step_done({"step": 13})
    assert "(base 0.30)" in terminal.text and "labels 384" in terminal.text
    assert "3.0 s/step  2m21 left" in terminal.text


def test_notes_are_printed_as_they_are_and_close_may_come_twice() -> None:
    for live in (True, False):
        terminal = Terminal(60, live=live)
        progress = terminal.progress()
        progress.start(1)
        progress.note("[bold]not markup[/bold] " + "long " * 20)
        progress.close()
        progress.close()
        assert "[bold]not markup[/bold]" in terminal.text


def test_an_encoding_without_arrows_is_no_reason_to_fail() -> None:
    for live in (True, False):
        terminal = Terminal(130, live=live, encoding="ascii")
        run_steps(terminal, 12)
        assert "reward 0.40 ^" in terminal.text


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59.6, "1m00"), (96, "1m36"), (7500, "2h05"), (-3, "0s")])
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_what_is_replayed_is_told_where_anything_is() -> None:
    for uses, told in ((0, False), (16, True)):
        terminal = Terminal(160, live=False)
        with terminal.progress() as progress:
            progress.step_done({**step_row(1, 60, random.Random(1)), "groups/replay_uses": uses})
        assert ("replayed 16" in terminal.text) is told and ("replayed" in terminal.text) is told
