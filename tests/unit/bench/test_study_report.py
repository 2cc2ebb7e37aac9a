"""What a study's page says, and the commands that make it."""

import sys
from pathlib import Path
from types import ModuleType, TracebackType

import pytest
from invented import STUDY, Inventor, invented_rows, write_study
from matplotlib.figure import Figure
from PIL import Image

from effrl.config.schema import Config
from effrl.errors import RunError
from tests.bench import figures, report
from tests.bench import study as cli

ONE_FAMILY = STUDY.replace("  strings: [learn.lr=5e-5]\n", "")


class FakeEngines:
    """Stands in for the module's class, which starts vLLM and DeepSpeed; ``execute`` is set by a test."""

    execute: Inventor

    def __enter__(self) -> Inventor:
        return type(self).execute

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


pytestmark = pytest.mark.usefixtures("engines")


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without figures, which take a second each."""
    monkeypatch.setattr(report, "draw_family", lambda study, family, arms, path: None)


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> type[FakeEngines]:
    module = ModuleType("tests.bench.engines")
    module.Engines = FakeEngines  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.chdir(tmp_path)
    FakeEngines.execute = Inventor()
    return FakeEngines


def command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Exit code of ``python -m tests.bench.study ARGUMENTS``; results go to ``results``."""
    monkeypatch.setattr(sys, "argv", ["study", *arguments, "--results", "results"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    return int(end.value.code or 0)


def page(monkeypatch: pytest.MonkeyPatch, text: str = ONE_FAMILY, *options: str) -> str:
    """The report of a study after it was run."""
    write_study(Path(), text)
    assert command(monkeypatch, "run", "study.yaml", *options) == 0
    assert command(monkeypatch, "report", "study.yaml") == 0
    return Path("results/invented/README.md").read_text()


def cells(text: str, row: str, table: int = 0) -> list[str]:
    """The cells of a table's row, by its first cell."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith(f"| {row} |")]
    return rows[table]


@pytest.mark.usefixtures("undrawn")
def test_the_page_tells_what_was_compared_and_how_to_repeat_it(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(monkeypatch, STUDY)
    assert text.startswith("# invented\n\nIs twice as many rollouts worth it?\n")
    assert "python -m tests.bench.study run study.yaml\n" in text
    assert "- `double`: `rollout.per_prompt=16`" in text and "- `grpo`: no overrides" in text
    assert "Overrides: `learn.lr=5e-5`." in text
    assert "Cells: 18 of 18 finished." in text and "Missing" not in text
    assert "cores, " in text or "1 core, " in text
    assert "GiB memory" in text
    assert "**Seeds per arm and family: 3.** Three seeds show a direction, not a proof." in text
    assert "an effect of 3.3 standard deviations" in text


@pytest.mark.usefixtures("undrawn")
def test_numbers_by_hand(monkeypatch: pytest.MonkeyPatch, engines: type[FakeEngines]) -> None:
    """Finals 0.5, 0.6 and 0.7; the other arm is better by 0.1, 0.2 and 0.3."""

    def rows(config: Config) -> list[dict[str, float]]:
        twice = config.rollout.per_prompt // 16
        found = invented_rows(config)
        found[-1]["eval/accuracy"] = 0.4 + 0.1 * config.run.seed + twice * 0.1 * config.run.seed
        return found

    engines.execute = Inventor(rows=rows)
    text = page(monkeypatch)
    costs = ["800", "10.2k", "410k", "0", "307k", "2m00", "100k"]
    assert cells(text, "double") == ["double", "3", "0.270", "0.800 ± 0.497", "+0.200 [-0.048, +0.448]", *costs]
    assert cells(text, "grpo")[:5] == ["grpo", "3", "0.270", "0.600 ± 0.248", "-"]
    assert cells(text, "double", table=1) == [
        "double", "3", "0.800 [0.600, 1.000]", "+0.200 [-0.048, +0.448] (n = 3)", "0.83",
    ]  # fmt: skip


@pytest.mark.usefixtures("undrawn")
def test_one_run_tells_of_earlier_steps_and_of_a_share_of_what_can_be_gained(monkeypatch: pytest.MonkeyPatch) -> None:
    more = "ceiling: double\nalso_after: [10]\nfewer: {renamed: [2, 3]}\n"
    text = page(monkeypatch, ONE_FAMILY + more)
    assert "Cells: 8 of 8 finished." in text and "After 10 steps:" in text
    assert cells(text, "renamed")[1] == "2"
    early, late = [cells(text, "double", table) for table in (0, 1)]
    assert early[3] < late[3] and early[6:8] == ["400", "5,120"] and late[6:8] == ["800", "10.2k"]
    assert [cells(text, arm)[5] for arm in ("grpo", "renamed", "double")] == ["-", "0.000 [0.000, 0.000]", "-"]


@pytest.mark.usefixtures("undrawn")
def test_a_planted_no_op_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(monkeypatch)
    assert cells(text, "renamed")[4] == "+0.000 [+0.000, +0.000]"
    assert cells(text, "renamed")[1:4] == cells(text, "grpo")[1:4]
    assert cells(text, "renamed", table=1)[-1] == "0.50"


@pytest.mark.usefixtures("undrawn")
def test_one_seed_has_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(monkeypatch, ONE_FAMILY.replace("[1, 2, 3]", "[1]"))
    _, n, _, final, difference, *_ = cells(text, "double")
    assert n == "1" and final.endswith(", no interval") and difference.endswith(", no interval")
    assert cells(text, "double", table=1)[2].endswith(", no interval")
    assert "One seed has no interval" in text and "±0" not in text.replace(" ", "")


@pytest.mark.usefixtures("undrawn")
def test_an_unfinished_study_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    text = page(monkeypatch, STUDY, "--only-family", "chain", "--only-arm", "double", "--seeds", "1,3")
    assert "Cells: 2 of 18 finished. Missing: `chain--grpo--1`, " in text
    assert cells(text, "double")[:2] == ["double", "2"]
    assert cells(text, "double")[4] == "-", "there is no partner"
    assert cells(text, "grpo")[:5] == ["grpo", "0", "-", "-", "-"]
    assert cells(text, "double", table=2) == ["double", "2", "-", "-", "-"], "one of two families is missing"
    assert "](chain.png)" in text and "](strings.png)" not in text


@pytest.mark.usefixtures("undrawn")
def test_over_all_families_a_seed_counts_where_it_finished_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    write_study(Path())
    command(monkeypatch, "run", "study.yaml", "--only-family", "strings", "--seeds", "1,3")
    text = page(monkeypatch, STUDY, "--only-family", "chain")
    assert cells(text, "renamed", table=2)[1:] == [
        "5",
        cells(text, "grpo", table=2)[2],
        "+0.000 [+0.000, +0.000] (n = 2)",
        "0.50",
    ]


@pytest.mark.usefixtures("undrawn")
def test_results_of_another_config_are_pointed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    page(monkeypatch)
    write_study(Path(), ONE_FAMILY.replace("per_prompt=16", "per_prompt=32"))
    command(monkeypatch, "report", "study.yaml")
    told = "**Run with another config than the study has now: `chain--double--1`, `chain--double--2`, "
    assert told in Path("results/invented/README.md").read_text()


def test_the_figure_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    page(monkeypatch)
    figure = Path("results/invented/chain.png")
    assert figure.stat().st_size < 120_000
    with Image.open(figure) as image:
        assert image.width == 1000 and image.format == "PNG"


def test_nothing_names_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The study may be named by its absolute path."""
    study = write_study(Path())
    command(monkeypatch, "run", str(study.resolve()), "--only-family", "chain")
    command(monkeypatch, "report", str(study.resolve()))
    for file in Path("results").rglob("*.*"):
        assert str(tmp_path).encode() not in file.read_bytes(), file


# --- the commands


def test_list_shows_every_cell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(Path())
    command(monkeypatch, "run", "study.yaml", "--only-arm", "grpo", "--only-family", "chain", "--seeds", "2")
    capsys.readouterr()
    assert command(monkeypatch, "list", "study.yaml") == 0
    listed = capsys.readouterr().out.splitlines()
    assert len(listed) == 18
    assert [line for line in listed if not line.startswith("missing")] == ["done     chain--grpo--2"]


def test_failed_cells_are_exit_code_1(
    monkeypatch: pytest.MonkeyPatch,
    engines: type[FakeEngines],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    def broken(config: Config, run_dir: Path) -> None:
        if config.run.seed == 2:
            raise RunError("the engine died")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    engines.execute = Inventor(before=broken)
    write_study(Path(), ONE_FAMILY)
    assert command(monkeypatch, "run", "study.yaml") == 1
    told = capsys.readouterr().out
    assert "4/9 chain--grpo--2  failed, see " in told and "9/9 chain--double--3  eval/accuracy" in told
    assert "3 of 9 cells failed" in told


def test_ctrl_c_is_exit_code_130(monkeypatch: pytest.MonkeyPatch, engines: type[FakeEngines]) -> None:
    def stop(config: Config, run_dir: Path) -> None:
        raise KeyboardInterrupt

    engines.execute = Inventor(before=stop)
    write_study(Path())
    assert command(monkeypatch, "run", "study.yaml") == 130


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("run", "none.yaml"), "cannot read the study none.yaml"),
        (("run", "study.yaml", "--seeds", "1;2"), "such as 1,2"),
        (("run", "study.yaml", "--only-family", "chains"), "no family chains"),
        (("report", "study.yaml"), "no cell of invented is finished"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], told: str
) -> None:
    write_study(Path())
    assert command(monkeypatch, *arguments) == 2
    shown = capsys.readouterr().err
    assert told in shown and shown.count("\n") == 1


def test_arms_that_lie_on_a_curve_are_drawn_on_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each line has its own arms and the ends, whose unfinished ones are left out."""
    drawn: list[list[tuple[list[float], list[float]]]] = []

    def save(figure: Figure, path: Path) -> None:
        if path.name == "chain-curve.png":
            [axis] = figure.axes
            lines = [line for line in axis.lines if line.get_marker() == "o"]
            drawn.append([(list(line.get_xdata()), list(line.get_ydata())) for line in lines])

    monkeypatch.setattr(figures, "_save", save)
    curve = "curve: {over: rollouts, series: {mine: {16: double}, other: {12: renamed}}, ends: {8: grpo}}"
    text = page(monkeypatch, f"{ONE_FAMILY}{curve}\n", "--seeds", "1")
    final = {arm: float(cells(text, arm)[3].split(",")[0]) for arm in ("grpo", "renamed", "double")}
    assert "(chain-curve.png)" in text
    [[mine, other]] = drawn
    assert (mine[0], other[0]) == ([0, 2], [0, 1])
    assert mine[1] == pytest.approx([final["grpo"], final["double"]], abs=5e-4)
    assert other[1] == pytest.approx([final["grpo"], final["renamed"]], abs=5e-4)
