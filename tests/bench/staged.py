"""The command line, of which a stage can be hit: ``python -m tests.bench.staged ORDER train …``.

Where the file ORDER says ``stage pid signal``, the driver sends the signal when the stage begins and removes the file.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deploy.cli import main
from effrl.run.metrics import Phase, Stopwatch

ORDER = Path(sys.argv.pop(1))
_stage: Any = Stopwatch.stage


@contextmanager
def stage(clock: Stopwatch, name: Phase) -> Iterator[None]:
    """As the original."""
    if ORDER.exists():
        wanted, pid, number = ORDER.read_text().split()
        if wanted == name:
            ORDER.unlink()
            os.kill(int(pid), int(number))
    with _stage(clock, name):
        yield


Stopwatch.stage = stage  # type: ignore[method-assign]
if __name__ == "__main__":
    main()
