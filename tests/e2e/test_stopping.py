"""Ctrl-C once: this step ends, a checkpoint is written, the run can go on. Twice: it stops now."""

import json
import signal
import time
from pathlib import Path
from typing import Any

from runs import SMALL, START_S, STEP_S, rows


def test_ctrl_c_once_and_twice(effrl: Any, command_line: Any, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "quickstart"
    first = effrl("train", "quickstart", *SMALL, "run.steps=500", "run.save_every=500")
    first.until(lambda: len(rows(run)) >= 2, START_S, "the first step")
    code, _, refused = command_line("train", "quickstart", *SMALL, f"run.dir={run}")
    assert code == 2 and "is in use by process" in refused
    first.process.send_signal(signal.SIGINT)
    assert first.end(STEP_S) == 0, first.output()
    last = rows(run)[-1]["step"]
    assert (run / "checkpoints" / f"step_{last}" / "manifest.json").exists()
    assert f"stopped after step {last} of 500" in first.output() and "effrl resume" in first.output()
    assert first.orphans() == []

    second = effrl("resume", "runs/quickstart", "--profile")
    second.until(lambda: len(rows(run)) >= last + 2, START_S, "another step")
    second.process.send_signal(signal.SIGINT)
    second.process.send_signal(signal.SIGINT)
    began = time.monotonic()
    assert second.end(30) in (0, 130), second.output()
    assert time.monotonic() - began < 30
    assert f"resuming after step {last}" in second.output()
    assert second.orphans() == []
    shown = json.loads((run / "profile" / "trace.json").read_text())["traceEvents"]
    names = {event["args"]["name"] for event in shown if event["name"] == "process_name"}
    assert names >= {"driver", "data", "oracle", "reward", "rollout-0", "learner-0"}
    assert {"sample", "rollouts", f"step {last + 1}", "commit"} <= {event["name"] for event in shown}
    assert (run / "profile" / "table.txt").read_text() in second.output()
