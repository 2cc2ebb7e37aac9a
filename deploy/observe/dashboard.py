"""A dashboard for Grafana: what a run learns, what it costs, and what goes wrong, of one run or of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from effrl.report.exported import TABLE

WIDTH, COLUMNS, HEIGHT = 8, 24, 7
"""Of a panel and of the page, in Grafana's units."""
SERIES = {entry.name: f'{entry.series}{{run=~"$run"}}' for entry in TABLE}
SOURCE = {"type": "prometheus", "uid": "${source}"}


@dataclass(frozen=True, slots=True)
class Graph:
    """Queries by what their legend says; ``NAME`` in a query stands for an exported metric of the chosen runs."""

    title: str
    unit: str
    """As Grafana calls it."""
    queries: Mapping[str, str]


def one(name: str, legend: str = "{{run}}") -> dict[str, str]:
    """The metric itself; of several that stand for the same run, as after a resume, the greatest."""
    labels = next(entry.labels for entry in TABLE if entry.name == name)
    return {legend: f"max by ({', '.join(labels)}) ({SERIES[name]})"}


def rate(name: str, legend: str = "{{run}}") -> dict[str, str]:
    """What a counter gains in a second. A step may be long, and a rate needs two of them."""
    labels = next(entry.labels for entry in TABLE if entry.name == name)
    return {legend: f"sum by ({', '.join(labels)}) (rate({SERIES[name]}[$window]))"}


ROWS: Mapping[str, Sequence[Graph]] = {
    "Learning": (
        Graph("Step", "none", one("effrl_step")),
        Graph("Mean outcome", "percentunit", one("effrl_outcome_ratio")),
        Graph(
            "Held-out accuracy",
            "percentunit",
            one("effrl_eval_accuracy_ratio") | one("effrl_eval_pass_ratio", "{{run}} pass@{{k}}"),
        ),
        Graph("Advice that holds now", "none", one("effrl_advice", "{{run}} {{rule}}")),
        Graph("Groups with signal", "percentunit", one("effrl_signal_ratio")),
        Graph("Terms of the reward", "none", one("effrl_reward_term", "{{run}} {{term}}")),
    ),
    "Labels": (
        Graph(
            "Labels owned, left and open",
            "none",
            one("effrl_labels_owned", "{{run}} owned")
            | one("effrl_labels_left", "{{run}} left")
            | one("effrl_labels_open", "{{run}} open"),
        ),
        Graph("Tokens by what supervises them", "percentunit", one("effrl_supervision_ratio", "{{run}} {{source}}")),
        Graph(
            "Votes: the majority's share, and how many are right",
            "percentunit",
            one("effrl_majority_ratio", "{{run}} majority") | one("effrl_vote_accuracy_ratio", "{{run}} right"),
        ),
    ),
    "Speed": (
        Graph("Seconds of a step", "s", one("effrl_step_seconds")),
        Graph("Seconds by phase", "s", one("effrl_phase_seconds", "{{run}} {{phase}}")),
        Graph("Tokens a second", "none", rate("effrl_tokens_total")),
        Graph(
            "Time since the last commit",
            "s",
            {"{{run}}": f"time() - max by (run) ({SERIES['effrl_commit_timestamp_seconds']})"},
        ),
        Graph("Share of a step in which nobody worked", "percentunit", one("effrl_overhead_ratio")),
        Graph("Cores in use by role", "none", rate("effrl_cpu_seconds_total", "{{run}} {{role}}")),
    ),
    "Failures": (
        Graph("Groups by fate, a second", "none", rate("effrl_groups_total", "{{run}} {{fate}}")),
        Graph("Rollouts by how scoring ended, a second", "none", rate("effrl_scores_total", "{{run}} {{status}}")),
        Graph(
            "Workers lost, and rollouts aborted",
            "none",
            one("effrl_workers_lost_total", "{{run}} workers") | one("effrl_rollouts_failed_total", "{{run}} rollouts"),
        ),
        Graph("Rollouts at the token limit", "percentunit", one("effrl_truncated_ratio")),
        Graph("Memory by role", "bytes", one("effrl_memory_bytes", "{{run}} {{role}}")),
        Graph("Publish verified", "none", one("effrl_publish_verified")),
    ),
    "Policy": (
        Graph("Entropy, nats a token", "none", one("effrl_policy_entropy_nats")),
        Graph("Mismatch of engine and learner, KL in nats", "none", one("effrl_mismatch_kl_nats")),
        Graph("Norm of the gradient", "none", one("effrl_policy_gradient_norm")),
        Graph("Versions that the oldest rollout was behind", "none", one("effrl_staleness_versions")),
        Graph("KL from the initial model, nats", "none", one("effrl_loss_kl_nats")),
        Graph("Process reward of a solution", "none", one("effrl_process_reward")),
    ),
}


def dashboard() -> dict[str, Any]:
    """What Grafana imports, and what its side-car takes from a ConfigMap."""
    return {
        "uid": "effrl",
        "title": "effrl",
        "tags": ["effrl"],
        "schemaVersion": 39,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "templating": {"list": [_source(), _runs(), _window()]},
        "panels": _panels(),
    }


def _source() -> dict[str, Any]:
    return {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}


def _runs() -> dict[str, Any]:
    series = next(entry.series for entry in TABLE if entry.name == "effrl_step")
    query = f"label_values({series}, run)"
    return {
        "name": "run", "label": "Run", "type": "query", "datasource": SOURCE, "query": query, "definition": query,
        "refresh": 2, "multi": True, "includeAll": True, "current": {"text": "All", "value": "$__all"},
    }  # fmt: skip


def _window() -> dict[str, Any]:
    """Steps of minutes need more than Grafana's own interval, which is four scrapes."""
    return {
        "name": "window", "label": "Window of rates", "type": "custom", "query": "2m,10m,1h",
        "current": {"text": "10m", "value": "10m"},
    }  # fmt: skip


def _panels() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    top = 0
    for title, graphs in ROWS.items():
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        found.append({"id": len(found) + 1, "type": "row", "title": title, "gridPos": place, "panels": []})
        for index, graph in enumerate(graphs):
            line, column = divmod(index * WIDTH, COLUMNS)
            place = {"x": column, "y": top + 1 + line * HEIGHT, "w": WIDTH, "h": HEIGHT}
            found.append(_panel(len(found) + 1, graph, place))
        top += 1 + HEIGHT * -(-len(graphs) * WIDTH // COLUMNS)
    return found


def _panel(number: int, graph: Graph, place: Mapping[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + index), "datasource": SOURCE, "expr": query, "legendFormat": legend}
        for index, (legend, query) in enumerate(graph.queries.items())
    ]
    return {
        "id": number,
        "type": "timeseries",
        "title": graph.title,
        "datasource": SOURCE,
        "gridPos": dict(place),
        "fieldConfig": {"defaults": {"unit": graph.unit}, "overrides": []},
        "targets": targets,
    }
