"""Ratios within a round, medians over rounds, and their table. A round is one run of every arm, one after the other."""

from collections.abc import Mapping, Sequence
from statistics import median

from tests.bench.speed.rows import Row

Round = Mapping[str, Sequence[Row]]
"""Rows of every arm; the first step of each warms up and is not among them."""

RATIOS = {
    "step_over_floor": "effrl's step over bare engine + bare learner",
    "rollout_over_engine": "effrl's sampling over the bare engine",
    "learn_over_learner": "effrl's learning over the bare learner",
    "publish_over_floor": "effrl's publish over a bare file and reload",
    "rollouts_over_trl": "effrl's rollouts per second over TRL's",
}


def per_step(rows: Sequence[Row]) -> Row:
    """The mean of every number that all steps have."""
    names = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: sum(row[name] for row in rows) / len(rows) for name in names}


def ratios(arms: Round) -> Row:
    """Of one round, in which effrl and the floor did the same tokens."""
    effrl, trl, engine, learner = (per_step(arms[name]) for name in ("effrl", "trl", "engine", "learner"))
    return {
        "step_over_floor": effrl["wall_s"] / (engine["wall_s"] + learner["wall_s"]),
        "rollout_over_engine": effrl["rollout_s"] / engine["wall_s"],
        "learn_over_learner": effrl["learn_s"] / learner["wall_s"],
        "publish_over_floor": effrl["publish_s"] / engine["publish_s"],
        "rollouts_over_trl": (effrl["rollouts"] / effrl["wall_s"]) / (trl["rollouts"] / trl["wall_s"]),
    }


def medians(rows: Sequence[Row]) -> Row:
    """Of every number that all rows have."""
    return {name: median(row[name] for row in rows) for name in rows[0] if all(name in row for row in rows)}


def summary(rounds: Sequence[Round]) -> dict[str, Row]:
    """Medians over rounds: of each arm's mean step, and of the ratios."""
    arms = {name: medians([per_step(arms[name]) for arms in rounds]) for name in rounds[0]}
    return {**arms, "ratios": medians([ratios(arms) for arms in rounds])}


def table(found: Mapping[str, Row]) -> str:
    """As Markdown: an arm a row, then the ratios."""
    columns = ("wall_s", "cpu_s", "rollout_s", "learn_s", "publish_s", "rollouts", "tokens", "learned_tokens")
    arms = [(name, row) for name, row in found.items() if name != "ratios"]
    head = [["of a step", *columns], ["---", *("---:" for _ in columns)]]
    lines = head + [[name, *(_figure(row, column) for column in columns)] for name, row in arms]
    said = [["ratio", "median"], ["---", "---:"]] + [[RATIOS[name], f"{r:.2f}"] for name, r in found["ratios"].items()]
    return "\n\n".join("\n".join(f"| {' | '.join(line)} |" for line in part) for part in (lines, said))


def _figure(row: Row, column: str) -> str:
    if column not in row:
        return ""
    return f"{row[column]:.2f}" if column.endswith("_s") else f"{row[column]:.0f}"
