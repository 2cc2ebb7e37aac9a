"""A phase that does not end: no row of metrics tells of it, since the row comes with the end of the step."""

from statistics import median_high

from effrl.advice.rule import RunRows, values

TIMES, LEAST_S = 10.0, 300.0
"""A phase is overdue that takes so many times its median, and so many seconds."""
OF_ITS_OWN = ("people", "prepare")
"""Phases that last as long as people or a pool of prompts take."""
KNOWN = 5
"""Steps from which a median is known. Before that, the deadlines of waits are all there is (``cluster.wait_s``)."""


def overdue(phase: str, waited_s: float, rows: RunRows) -> str | None:
    """A line on a phase that has taken ``waited_s`` seconds by now, by what it took in the newest rows."""
    known = [seconds for seconds in values(rows, f"time/{phase}_s") if seconds > 0]
    if phase in OF_ITS_OWN or len(known) < KNOWN or waited_s < max(LEAST_S, TIMES * (usual := median_high(known))):
        return None
    return (
        f"{phase} has taken {waited_s:,.0f} s by now, {usual:,.1f} s as a rule: logs/ROLE.log say what its workers do,"
        " `effrl stop RUN` ends the run with a checkpoint; a wait that is in vain ends after cluster.wait_s"
    )
