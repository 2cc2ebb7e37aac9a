"""Whether runs that nothing was done to told of a loss: ``python -m tests.bench.alarms FOLDER``.

FOLDER has run directories, as ``python -m tests.bench.study run STUDY.yaml --keep-runs FOLDER`` keeps them. Told are
the hours of their steps, and each line about a worker or an actor that was taken for lost, stopped or overdue; the exit
code is 1 where there is one.
"""

import re
import sys
from pathlib import Path

from effrl.run import metrics
from tests.bench.engines import SAID

ALARM = re.compile(
    r"; it is replaced, and its work|does not come back|is stopped: its process is ended|; going on after step"
    r"|has taken [\d,]+ s by now"
)
"""What the driver says of losses (``actors/driver``), and of a phase that takes too long (``effrl/advice``)."""


def main(folder: Path) -> int:
    """Look at each run."""
    files = sorted(folder.rglob(SAID))
    rows = [row for file in files for row in metrics.read(file.with_name("metrics.jsonl"))]
    hours = sum(row["time/step_s"] for row in rows if row["step"]) / 3600
    lost = sum(row["rollout/workers_lost"] for row in rows if row["step"])
    said = [(file.parent.name, line) for file in files for line in file.read_text().splitlines()]
    alarms = [f"{run}: {line}" for run, line in said if ALARM.search(line)]
    print(
        *alarms,
        f"{len(files)} runs, {hours:.2f} hours of steps, {lost:.0f} workers lost, {len(alarms)} alarms",
        sep="\n",
    )
    return int(bool(alarms or lost))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
