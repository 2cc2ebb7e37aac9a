"""Rules about what fails or wears out: engines, workers, verifiers, memory and time."""

from itertools import pairwise
from statistics import median_high

from effrl.advice.rule import AdviceRule, RunRows, mean, share, total, values
from effrl.run.metrics import PHASES, MetricsRow

FEW, MANY = 5, 10
ABORTED = 0.05
"""Share of rollouts that the engine gave up."""
LOST = 3
"""Rollout workers within ``MANY`` steps: one may die of anything."""
FAILED, LEAST = 0.05, 8
"""Share, and number, of rollouts within ``FEW`` steps that a verifier could not judge."""
QUARTER = 10
"""RunRows in each of four parts whose means are compared."""
GROWTH, MEBIBYTES = 0.02, 16.0
"""What a process must have gained from each part to the next. A process that warms up gains less each time."""
SLOW, SPARE_S = 5.0, 60.0
"""A step is slow that took so many times the median, and so many seconds more."""
NOT_WORK = ("eval", "people", "prepare", "commit")
"""Phases that come once in a while, or wait for people, and make a step long for a reason."""

_CAUSES = {"timeout": "hung", "memory": "ran out of memory", "error": "raised an error", "crashed": "crashed"}
_VERIFIER = {f"reward/status/{status}": told for status, told in _CAUSES.items()}
_SCORED = tuple(f"reward/status/{status}" for status in ("ok", "unparseable", "truncated"))
_MEMORY = "memory/rss_mb/"


def aborted(rows: RunRows) -> str | None:
    gone, count = total(rows, "rollout/failed"), total(rows, "rollout/count")
    if len(values(rows, "rollout/count")) < FEW or share(gone, count) < ABORTED:
        return None
    return f"engines aborted {gone:.0f} of the {count:.0f} rollouts of the last {FEW} steps"


def lost_workers(rows: RunRows) -> str | None:
    lost = total(rows, "rollout/workers_lost")
    return f"{lost:.0f} rollout workers were lost in the last {MANY} steps" if lost >= LOST else None


def verifier(rows: RunRows) -> str | None:
    found = {told: total(rows, name) for name, told in _VERIFIER.items()}
    failed = sum(found.values())
    judged = failed + total(rows, *_SCORED)
    if len(values(rows, "reward/status/ok")) < FEW or failed < LEAST or share(failed, judged) < FAILED:
        return None
    worst = max(found, key=lambda told: found[told])
    return f"the verifier {worst} for {found[worst]:.0f} of {judged:.0f} rollouts of the last {FEW} steps"


def memory(rows: RunRows) -> str | None:
    """Of the process that grows most, where it has grown steadily."""
    roles = [name for name in rows[-1] if name.startswith(_MEMORY)]
    grown = [(found[-1] - found[0], name, found) for name in roles if (found := _quarters(rows, name)) is not None]
    if not grown:
        return None
    more, name, parts = max(grown)
    return (
        f"{name.removeprefix(_MEMORY)} holds ever more memory: {parts[0]:,.0f} MiB, then {parts[-1]:,.0f} MiB,"
        f" {more / (3 * QUARTER):.1f} MiB more in each step"
    )


def _quarters(rows: RunRows, name: str) -> list[float] | None:
    """Means of four parts, where each is clearly above the one before."""
    known = values(rows, name)
    if len(known) < 4 * QUARTER:
        return None
    parts = [sum(known[start : start + QUARTER]) / QUARTER for start in range(0, 4 * QUARTER, QUARTER)]
    gains = [(after - before, before) for before, after in pairwise(parts)]
    return parts if all(gain >= max(MEBIBYTES, GROWTH * before) for gain, before in gains) else None


def slow(rows: RunRows) -> str | None:
    seconds = [_work(row) for row in rows if row.get("time/step_s") and row["step"] > 0]
    if len(seconds) <= MANY or not rows[-1].get("time/step_s"):
        return None
    now, usual = seconds[-1], median_high(seconds[:-1])
    if now < SLOW * usual or now < usual + SPARE_S:
        return None
    gained = {phase: _phase(rows[-1], phase) - (mean(rows[:-1], f"time/{phase}_s") or 0) for phase in PHASES}
    worst = max((phase for phase in PHASES if phase not in NOT_WORK), key=lambda phase: gained[phase])
    return (
        f"the step took {now:,.0f} s, {now / max(usual, 1e-3):.0f} times the median, of which"
        f" {_phase(rows[-1], worst):,.0f} s {worst}"
    )


def _work(row: MetricsRow) -> float:
    return float(row["time/step_s"]) - sum(_phase(row, phase) for phase in NOT_WORK)


def _phase(row: MetricsRow, phase: str) -> float:
    return float(row.get(f"time/{phase}_s") or 0.0)


RULES = (
    AdviceRule(
        "aborted",
        "Engines abort rollouts",
        "logs/rollout-*.log say why; give the engine more cache (rollout.kv_cache_gb, rollout.gpu_memory) or shorter"
        " completions (rollout.max_tokens)",
        aborted,
        FEW,
    ),
    AdviceRule(
        "lost_workers",
        "Rollout workers die again and again",
        "The ends of logs/rollout-*.log say why; where it is memory, lower rollout.kv_cache_gb or rollout.gpu_memory",
        lost_workers,
        MANY,
    ),
    AdviceRule(
        "verifier",
        "The verifier fails",
        "Such rollouts are left out: mend it (effrl reward check, logs/reward.log), or raise reward.timeout_s,"
        " reward.memory_mb or reward.workers",
        verifier,
        FEW,
    ),
    AdviceRule(
        "memory",
        "A process holds ever more memory",
        "Save often (run.save_every) and resume before the machine ends it, since a resume starts every process anew",
        memory,
        4 * QUARTER,
    ),
    AdviceRule(
        "slow",
        "A step took far longer than others",
        "Look at logs/ROLE.log of who worked in it, and at what else runs there; --profile says who worked when",
        slow,
        2 * MANY + 1,
    ),
)
