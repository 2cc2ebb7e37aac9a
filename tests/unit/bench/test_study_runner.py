"""Cells are run once, kept whole or not at all, and do not pull each other down."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from invented import STUDY, Inventor, invented_rows, write_study

from effrl.config.schema import Config
from effrl.errors import RunError, UserError
from tests.bench.grid import Cell, Study, read_study
from tests.bench.results import CellStore, Costs, Result, curve, series
from tests.bench.runner import Runner, plan, run_directories, time_left, unfinished

SMALL = STUDY.replace("  strings: [learn.lr=5e-5]\n", "").replace("[1, 2, 3]", "[1, 2]")


@dataclass
class Bench:
    """A study of six cells, and one attempt at it after the other."""

    folder: Path
    text: str = SMALL
    keep: Path | None = None
    said: list[str] = field(default_factory=list)

    @property
    def study(self) -> Study:
        return read_study(write_study(self.folder, self.text))

    @property
    def store(self) -> CellStore:
        return CellStore(self.folder / "results" / "cells")

    def run(self, execute: Callable[[Config, Path], None], cells: Sequence[Cell] | None = None) -> list[Cell]:
        study = self.study
        todo = unfinished(plan(study, study.cells() if cells is None else cells, self.store), self.store)
        with run_directories(self.keep) as directory:
            runner = Runner(study.metric, self.store, execute, directory, self.keep is not None, self.said.append)
            return runner.run(todo)

    def states(self) -> list[str]:
        return [entry.state for entry in plan(self.study, self.study.cells(), self.store)]

    def result(self, arm: str, seed: int = 1) -> Result:
        found = self.store.read(Cell("chain", arm, seed))
        assert found is not None
        return found


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    return Bench(tmp_path)


def left_behind(bench: Bench) -> list[Path]:
    """Run directories in the temporary folder."""
    return sorted((bench.folder / "temporary").glob("*/*"))


def broken(config: Config, run_dir: Path) -> None:
    """Before every run of seed 2 with 16 rollouts."""
    if config.run.seed == 2 and config.rollout.per_prompt == 16:
        run_dir.mkdir()
        raise RunError("the engine\ndied")


def stopped(config: Config, run_dir: Path) -> None:
    """Ctrl-C in seed 2."""
    if config.run.seed == 2:
        run_dir.mkdir()
        raise KeyboardInterrupt


# --- what is run


def test_every_cell_is_run_and_nothing_else_is_left(bench: Bench) -> None:
    assert bench.run(Inventor()) == []
    assert bench.states() == ["done"] * 6
    assert len(list(bench.store.directory.iterdir())) == 6, "no drafts"
    assert list((bench.folder / "temporary").iterdir()) == []
    assert bench.said[0].startswith("1/6 chain--grpo--1  eval/accuracy 0.270 → 0.6")
    assert " left" in bench.said[0] and " left" not in bench.said[-1]


def test_arms_are_paired_by_seed(bench: Bench) -> None:
    bench.run(inventor := Inventor())
    assert [config.run.seed for config in inventor.configs] == [1, 1, 1, 2, 2, 2]
    grpo, renamed, double = inventor.configs[:3]
    assert grpo == renamed
    wider = grpo.rollout.model_copy(update={"per_prompt": 16})
    assert double == grpo.model_copy(update={"rollout": wider}), "the arm's override is the only difference"
    for seed in (1, 2):
        assert bench.result("grpo", seed).curve == bench.result("renamed", seed).curve


def test_what_is_finished_is_not_run_again(bench: Bench) -> None:
    bench.run(Inventor(), bench.study.select(arm="double"))
    before = bench.store.path(Cell("chain", "double", 1)).stat().st_mtime_ns
    bench.run(again := Inventor())
    assert len(again.configs) == 4 and {config.rollout.per_prompt for config in again.configs} == {8}
    assert bench.store.path(Cell("chain", "double", 1)).stat().st_mtime_ns == before
    bench.run(nothing := Inventor())
    assert nothing.configs == []


def test_a_changed_config_is_an_error_before_anything_runs(bench: Bench) -> None:
    bench.run(Inventor(), bench.study.select(arm="double"))
    bench.text = SMALL.replace("per_prompt=16", "per_prompt=32")
    with pytest.raises(UserError) as error:
        bench.run(inventor := Inventor())
    assert str(error.value).startswith("run with another config than today's: chain--double--1, chain--double--2;")
    assert "delete" in str(error.value) and "rename the arm" in str(error.value) and "\n" not in str(error.value)
    assert inventor.configs == []
    assert bench.states().count("changed") == 2
    assert bench.run(Inventor(), bench.study.select(arm="grpo")) == [], "other arms are not concerned"


# --- what goes wrong


def test_a_failing_cell_does_not_stop_the_others(bench: Bench) -> None:
    assert bench.run(Inventor(before=broken)) == [Cell("chain", "double", 2)]
    assert bench.states() == ["done"] * 5 + ["missing"]
    [run_dir] = left_behind(bench)
    assert bench.said[-1] == f"6/6 chain--double--2  failed, see {run_dir} (RunError: the engine died)"
    assert "the engine" in (run_dir / "traceback.txt").read_text()
    bench.run(again := Inventor())
    assert len(again.configs) == 1 and bench.states() == ["done"] * 6


def test_ctrl_c_loses_the_current_cell_only(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt):
        bench.run(Inventor(before=stopped))
    assert bench.states() == ["done"] * 3 + ["missing"] * 3
    assert list((bench.folder / "temporary").iterdir()) == []


def test_a_result_is_written_whole_or_not_at_all(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full_disk)
        assert len(bench.run(Inventor())) == 6
    assert bench.states() == ["missing"] * 6, "drafts are not results"
    bench.run(Inventor())
    assert bench.states() == ["done"] * 6


@pytest.mark.parametrize("text", ["{", "{}"])
def test_a_damaged_result_is_not_taken_for_one(bench: Bench, text: str) -> None:
    bench.run(Inventor())
    bench.store.path(Cell("chain", "grpo", 2)).write_text(text)
    with pytest.raises(UserError, match=r"chain--grpo--2.json does not hold a finished cell: delete it"):
        bench.run(Inventor())


def test_a_result_under_another_name_is_not_taken_for_one(bench: Bench) -> None:
    """The renamed arm has the same config: a copied file would pass for its own run."""
    bench.run(Inventor(), bench.study.select(arm="grpo"))
    copy = bench.store.path(Cell("chain", "renamed", 1))
    copy.write_bytes(bench.store.path(Cell("chain", "grpo", 1)).read_bytes())
    with pytest.raises(UserError, match="holds the cell chain--grpo--1"):
        bench.run(Inventor())


@pytest.mark.parametrize(
    ("cut", "finished", "reason"),
    [
        (slice(0, 16), False, "it stopped after step 15 of 20"),
        (slice(1, None), True, "no eval/accuracy at step 0"),
        (slice(0, 0), False, "no eval/accuracy at step 0"),
    ],
)
def test_a_run_that_did_not_end_is_no_result(bench: Bench, cut: slice, finished: bool, reason: str) -> None:
    assert len(bench.run(Inventor(rows=lambda config: invented_rows(config)[cut], finished=finished))) == 6
    assert reason in bench.said[0]


def test_a_run_that_its_own_rule_ends_early_is_a_result(bench: Bench) -> None:
    """EasyRL's stages end where precision on the anchor falls."""
    assert bench.run(Inventor(rows=lambda config: invented_rows(config)[:16])) == []
    result = bench.store.read(Cell("chain", "grpo", 1))
    assert result is not None and result.curve[-1].step == 15


def test_runs_are_kept_on_demand_and_never_overwritten(bench: Bench) -> None:
    bench.keep = bench.folder / "kept"
    (bench.keep / "chain--grpo--1").mkdir(parents=True)
    bench.run(Inventor())
    assert len(list(bench.keep.iterdir())) == 7
    assert (bench.keep / "chain--grpo--1-2" / "metrics.jsonl").exists()


# --- what is kept


def test_a_result_is_small_and_names_no_machine(bench: Bench) -> None:
    bench.run(Inventor())
    text = bench.store.path(Cell("chain", "double", 1)).read_text()
    assert len(text) < 6000
    assert str(bench.folder) not in text
    assert json.loads(text)["overrides"] == ["run.steps=20", "rollout.per_prompt=16", "run.seed=1"]


def test_costs_add_up_by_hand(bench: Bench) -> None:
    bench.run(Inventor())
    points = bench.result("grpo").curve
    assert [point.step for point in points] == [0, 5, 10, 15, 20]
    assert points[0].costs == Costs(eval_tokens=20_000)
    expected = Costs(labels=400, rollouts=2560, tokens=102_400, learner_tokens=76_800, wall_s=60, eval_tokens=60_000)
    assert points[2].costs == expected, "60 s: evaluation is left out"
    assert bench.result("grpo").finals == points[-1].metrics
    assert "eval/tokens" not in points[-1].metrics


def test_scoring_tokens_count_from_the_base_on() -> None:
    rows = [
        {"step": 0, "eval/accuracy": 0.1, "scout/forward_tokens": 500},
        {"step": 1, "time/eval_s": 9.0, "time/step_s": 12.5, "rollout/count": 8, "scout/rollouts": 4},
        {"step": 2, "prepare/rollouts": 5, "prepare/tokens": 50, "prepare/easy_rollouts": 2, "prepare/easy_tokens": 9},
        {"step": 3, "eval/accuracy": 0.25, "scout/forward_tokens": 7, "label/bought_total": None},
    ]
    base, final = curve(rows, "eval/accuracy")
    assert base.costs == Costs(scoring_tokens=500)
    expected = Costs(scoring_tokens=507, rollouts=19, tokens=59, wall_s=3.5)
    assert final.costs == expected, "looking ahead has its price, and so has labelling a pool"


def test_an_evaluation_without_a_number_is_not_comparable() -> None:
    rows = [{"step": 0, "eval/accuracy": 0.1}, {"step": 1, "eval/accuracy": None}]
    with pytest.raises(RunError, match="no eval/accuracy at step 1"):
        curve(rows, "eval/accuracy")


def test_cpu_seconds_add_up_by_role() -> None:
    rows = [
        {"step": 0, "eval/accuracy": 0.1},
        {"step": 1, "cpu/learner-0_s": 1.5, "cpu/ray_s": 0.25},
        {"step": 2, "eval/accuracy": 0.25, "cpu/learner-0_s": None, "cpu/ray_s": 0.5},
    ]
    base, final = curve(rows, "eval/accuracy")
    assert base.costs.cpu_s == {}
    assert final.costs.cpu_s == {"learner-0": 1.5, "ray": 0.75}


def test_series_are_rounded_and_keep_gaps() -> None:
    rows = [{"step": 0}, {"step": 1, "reward/outcome_mean": 1 / 3}, {"step": 2, "select/effective_ratio": float("nan")}]
    found = series(rows)
    assert found["reward/outcome_mean"] == (0.3333, None)
    assert found["select/effective_ratio"] == found["time/overhead_ratio"] == (None, None)


def test_what_was_bought_and_how_well_is_kept_of_every_step() -> None:
    found = series([{"step": 0}, {"step": 1, "label/bought": 7}, {"step": 2, "monitor/gap_captured": 0.5}])
    assert (found["label/bought"], found["monitor/gap_captured"]) == ((7, None), (None, 0.5))


def test_time_left_by_hand() -> None:
    assert time_left(3, [20.0, 40.0]) == ", 1m30 left"
    assert time_left(3, []) == time_left(0, [20.0]) == ""
