import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from effrl.errors import UserError
from effrl.run import metrics
from effrl.run.metrics import PHASES, Metrics, MetricsLog, MetricsRow, Stopwatch
from effrl.run.sinks import TensorBoardSink


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class BrokenSink:
    writes = 0

    def write(self, row: MetricsRow) -> None:
        self.writes += 1
        raise OSError("no space left")

    def close(self) -> None:
        raise AssertionError("a disabled sink is not closed")


def test_rows_are_written_step_first_and_read_back(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "run" / "metrics.jsonl")
    log.append({"sync/verified": None, "eval/accuracy": np.float32(0.5), "step": np.int64(0)})
    log.append({"loss/policy": math.nan, "step": 1, "sync/verified": np.bool_(True), "a": -math.inf})
    assert metrics.read(log.path) == [
        {"step": 0, "eval/accuracy": 0.5, "sync/verified": None},
        {"step": 1, "a": None, "loss/policy": None, "sync/verified": True},
    ]
    keys = [list(json.loads(line)) for line in log.path.read_text().splitlines()]
    assert keys == [["step", "eval/accuracy", "sync/verified"], ["step", "a", "loss/policy", "sync/verified"]]


def test_a_torn_last_line_is_skipped_and_then_removed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\n{"step": 1}\n{"step": 2, "rew')
    assert [row["step"] for row in metrics.read(path)] == [0, 1]
    MetricsLog(path).append({"step": 2})
    assert path.read_text() == '{"step": 0}\n{"step": 1}\n{"step": 2}\n'


def test_a_row_that_only_lacks_its_newline_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\n{"step": 1}')
    MetricsLog(path).append({"step": 2})
    assert [row["step"] for row in metrics.read(path)] == [0, 1, 2]


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\nnonsense\n{"step": 2}\n')
    with pytest.raises(UserError, match=r"metrics\.jsonl:2 is not JSON"):
        metrics.read(path)


def test_no_file_no_rows(tmp_path: Path) -> None:
    assert metrics.read(tmp_path / "metrics.jsonl") == []
    metrics.truncate_after(tmp_path / "metrics.jsonl", 3)


def test_truncate_after_and_append_go_together(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    for step in range(5):
        log.append({"step": step})
    metrics.truncate_after(log.path, 2)
    log.append({"step": 3, "again": True})
    assert [row["step"] for row in metrics.read(log.path)] == [0, 1, 2, 3]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_the_newest_rows_are_the_last_ones_in_order(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    assert Metrics(log).newest(3) == []
    for step in range(5):
        log.append({"step": step, "loss/policy": None})
    assert Metrics(log).newest(3) == Metrics(log).rows()[-3:]
    assert Metrics(log).newest(9) == Metrics(log).rows() and Metrics(log).newest(0) == []


def test_a_failing_sink_is_disabled_with_one_warning(tmp_path: Path) -> None:
    warnings: list[str] = []
    sink = BrokenSink()
    out = Metrics(MetricsLog(tmp_path / "metrics.jsonl"), [sink], warn=warnings.append)
    for step in range(3):
        out.write({"step": step})
    out.close()
    assert sink.writes == 1
    assert len(metrics.read(tmp_path / "metrics.jsonl")) == 3
    assert warnings == ["BrokenSink is off from now on (no space left); metrics.jsonl still has everything"]


def test_tensorboard_reads_what_was_written_and_forgets_what_was_rolled_back(tmp_path: Path) -> None:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    for first, value in ((1, 0.1), (2, 0.7)):
        out = Metrics(MetricsLog(tmp_path / f"{first}.jsonl"), [TensorBoardSink(tmp_path / "tensorboard")])
        for step in range(first, 4):
            out.write({"step": step, "reward/outcome_mean": value, "sync/verified": None, "name": "text"})
        out.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    scalars = [(event.step, round(event.value, 3)) for event in events.Scalars("reward/outcome_mean")]
    assert scalars == [(1, 0.1), (2, 0.7), (3, 0.7)]
    assert events.Tags()["scalars"] == ["reward/outcome_mean"]


def test_a_tensorboard_directory_that_cannot_be_made_costs_only_a_warning(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    (tmp_path / "tensorboard").write_text("a file is in the way")
    warnings: list[str] = []
    sinks = [TensorBoardSink(tmp_path / "tensorboard")]
    out = Metrics(MetricsLog(tmp_path / "metrics.jsonl"), sinks, warn=warnings.append)
    out.write({"step": 0})
    out.write({"step": 1})
    out.close()
    assert len(warnings) == 1
    assert len(metrics.read(tmp_path / "metrics.jsonl")) == 2


def test_stopwatch_adds_up_and_resets() -> None:
    now = Clock()
    clock = Stopwatch(now)
    now.seconds = 100.0
    for seconds in (2.0, 3.0):
        with clock.stage("rollout"):
            now.seconds += seconds
    now.seconds += 1.0
    with pytest.raises(ValueError, match="boom"), clock.stage("learn"):
        now.seconds += 4.0
        raise ValueError("boom")
    taken = clock.take()
    assert (taken["time/rollout_s"], taken["time/learn_s"], taken["time/step_s"]) == (5.0, 4.0, 10.0)
    assert taken.keys() == {f"time/{stage}_s" for stage in (*PHASES, "step")}
    assert set(clock.take().values()) == {0.0}


def test_an_open_stage_counts_up_to_now_and_the_rest_later() -> None:
    now = Clock()
    clock = Stopwatch(now)
    with clock.stage("commit"):
        now.seconds += 2.0
        assert clock.take()["time/commit_s"] == 2.0
        now.seconds += 3.0
    taken = clock.take()
    assert (taken["time/commit_s"], taken["time/step_s"]) == (3.0, 3.0)


@pytest.mark.parametrize(
    "module", ["effrl.run.metrics", "effrl.report.page", "effrl.report.show", "effrl.report.progress"]
)
def test_importing_a_module_stays_light(module: str) -> None:
    heavy = {"ray", "vllm", "deepspeed", "torch", "matplotlib", "jinja2", "tensorboard", "tensorboardX"}
    code = f"import sys, {module}; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
