"""Spans on disk, of the driver and of each actor."""

from pathlib import Path

from effrl.run import recording
from effrl.run.timeline import Span


def test_nothing_is_recorded_unless_it_was_begun(tmp_path: Path) -> None:
    folder = tmp_path / "profile"
    assert recording.spans_of(folder, "data") is None
    recording.begin(folder)
    assert recording.spans_of(folder, "data") is not None
    recording.end(folder)
    recording.end(folder)
    assert recording.spans_of(folder, "data") is None, "an attempt after a profiled one records nothing"


def test_what_driver_and_actors_recorded_is_told_apart(tmp_path: Path) -> None:
    seen = [Span("data", "selection", 1.0, 2.5), Span("driver", "step 1", 0.0, 3.0)]
    inside = [Span("data", "select", 1.25, 2.0)]
    recording.begin(tmp_path)
    for role, spans in (("driver", seen), ("data", inside)):
        file = recording.spans_of(tmp_path, role)
        assert file is not None
        file.append(spans)
    with (tmp_path / "data.jsonl").open("a") as torn:
        torn.write('{"role": "data", "na')  # the actor was killed
    assert recording.recorded(tmp_path) == (seen, inside)
    recording.begin(tmp_path)
    assert recording.recorded(tmp_path) == ([], []), "of an attempt before"
