"""What ``--profile`` leaves behind, however a run ends."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from deploy.commands.profile import profiled
from effrl.run.directory import RunDirectory
from effrl.run.recording import spans_of
from effrl.run.timeline import Span


def test_a_run_that_is_interrupted_has_its_trace_and_table(tmp_path: Path) -> None:
    directory, told = RunDirectory(tmp_path), io.StringIO()
    directory.metrics.write_text('{"step": 1, "cpu/data_s": 1.25}\n')
    with pytest.raises(KeyboardInterrupt), profiled(directory, True, Console(file=told)):
        for role, span in (("driver", Span("driver", "step 1", 0.0, 4.0)), ("data", Span("data", "select", 1.0, 3.0))):
            file = spans_of(directory.profile, role)
            assert file is not None
            file.append([span])
        raise KeyboardInterrupt
    trace = json.loads((directory.profile / "trace.json").read_text())
    assert {event["name"] for event in trace["traceEvents"] if event["ph"] == "X"} == {"step 1", "select"}
    table = (directory.profile / "table.txt").read_text()
    assert "data             2.00     1.25  select 2.00" in table and table in told.getvalue()
    assert spans_of(directory.profile, "data") is None


def test_a_run_that_is_not_profiled_records_nothing(tmp_path: Path) -> None:
    """Also where a profiled attempt before it was killed."""
    directory, told = RunDirectory(tmp_path), io.StringIO()
    directory.profile.mkdir()
    (directory.profile / "recording").touch()
    with profiled(directory, False, Console(file=told)):
        assert spans_of(directory.profile, "data") is None
    assert told.getvalue() == ""
