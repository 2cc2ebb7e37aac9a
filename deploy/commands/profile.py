"""``--profile`` of the commands that train."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from effrl.report import profile
from effrl.run import metrics, recording
from effrl.run.directory import RunDirectory


@contextmanager
def profiled(directory: RunDirectory, wanted: bool, console: Console) -> Iterator[None]:
    """Record who works when, and write ``profile/trace.json`` and ``profile/table.txt``, however the run ends."""
    if not wanted:
        recording.end(directory.profile)
        yield
        return
    recording.begin(directory.profile)
    try:
        yield
    finally:
        recording.end(directory.profile)
        seen, inside = recording.recorded(directory.profile)
        trace, table = directory.profile / "trace.json", directory.profile / "table.txt"
        trace.write_text(json.dumps(profile.trace(seen, inside)))
        table.write_text(profile.table(seen, inside, metrics.read(directory.metrics)) + "\n")
        console.print(f"{table.read_text()}\ntrace   {trace}", highlight=False, soft_wrap=True, markup=False)
