"""Remote sinks: a slow or broken one never holds up a step, and a resumed run goes on in the same curve."""

import sqlite3
import threading
from pathlib import Path

import pytest

from effrl.run import metrics
from effrl.run.metrics import Metrics, MetricsLog, MetricsRow
from effrl.run.sinks import RemoteSink, numbers, sinks


class Recorder(RemoteSink):
    """Notes what it gets, once it may."""

    def __init__(self, run: Path, fails_at: int | None = None) -> None:
        super().__init__(run, run / "config.yaml")
        self.fails_at = fails_at
        self.may_go_on = threading.Event()
        self.got: list[int] = []

    def _open(self) -> None:
        self.got.append(-1)

    def _send(self, row: MetricsRow) -> None:
        assert self.may_go_on.wait(10)
        if row["step"] == self.fails_at:
            raise ConnectionError("no route to host")
        self.got.append(row["step"])

    def _finish(self) -> None:
        self.got.append(99)


def written(tmp_path: Path, sink: RemoteSink, steps: int = 3) -> tuple[Metrics, list[str]]:
    warnings: list[str] = []
    out = Metrics(MetricsLog(tmp_path / "metrics.jsonl"), [sink], warn=warnings.append)
    for step in range(steps):
        out.write({"step": step})
    return out, warnings


def test_steps_do_not_wait_for_a_slow_sink_and_the_end_does(tmp_path: Path) -> None:
    sink = Recorder(tmp_path)
    out, warnings = written(tmp_path, sink)
    assert len(metrics.read(tmp_path / "metrics.jsonl")) == 3 and 0 not in sink.got
    sink.may_go_on.set()
    out.close()
    assert (sink.got, warnings) == ([-1, 0, 1, 2, 99], [])


def test_the_end_waits_only_so_long(tmp_path: Path) -> None:
    sink = Recorder(tmp_path)
    sink.close_s = 0.05
    out, warnings = written(tmp_path, sink)
    out.close()
    assert "not taken within 0 s" in warnings[0]
    sink.may_go_on.set()


def test_a_sink_that_loses_its_server_is_off_and_says_so_once(tmp_path: Path) -> None:
    sink = Recorder(tmp_path, fails_at=1)
    out, warnings = written(tmp_path, sink)
    sink.may_go_on.set()
    out.close()
    assert sink.got == [-1, 0]
    assert warnings == ["Recorder is off from now on (no route to host); metrics.jsonl still has everything"]
    out.write({"step": 3})
    assert len(warnings) == 1 and len(metrics.read(tmp_path / "metrics.jsonl")) == 4


def test_a_sink_that_was_never_written_to_ends_at_once(tmp_path: Path) -> None:
    sink = Recorder(tmp_path)
    sink.close()
    assert sink.got == []


def test_numbers_are_what_can_be_drawn() -> None:
    row = {"step": 3, "loss/policy": 0.5, "sync/verified": True, "name": "text", "x": None, "nan": float("nan")}
    assert numbers(row) == {"loss/policy": 0.5, "sync/verified": True}


def run_directory(tmp_path: Path) -> Path:
    run = tmp_path / "my-run"
    run.mkdir()
    (run / "config.yaml").write_text("learn: {lr: 1.0e-4}\n")
    return run


def test_mlflow_goes_on_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow", reason="MLflow is not installed: this sink is not tested")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    monkeypatch.chdir(tmp_path)
    run = run_directory(tmp_path)
    for first in (0, 2):
        [sink] = sinks(["mlflow"], run, run / "config.yaml")
        for step in (first, first + 1):
            sink.write({"step": step, "eval/pass@4": step / 10})
        sink.close()
    query = "select run_uuid, key, value, step from metrics order by step"
    rows = sqlite3.connect(tmp_path / "mlflow.db").execute(query).fetchall()
    assert rows == [((run / "mlflow-id").read_text(), "eval/pass_at_4", step / 10, step) for step in range(4)]


def test_wandb_goes_on_after_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="W&B is not installed: this sink is not tested")
    monkeypatch.setenv("WANDB_MODE", "offline")
    run = run_directory(tmp_path)
    for first in (0, 2):
        [sink] = sinks(["wandb"], run, run / "config.yaml")
        sink.write({"step": first, "eval/pass@4": 0.5})
        sink.close()
    name = (run / "wandb-id").read_text()
    assert len(list((run / "wandb").glob(f"offline-run-*-{name}"))) == 2
