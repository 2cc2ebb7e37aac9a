"""The dashboard and the alerts: every query names what a run exports, and each alert fires on what it is about."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.observe.__main__ import write
from deploy.observe.alerts import alert_name, alerts
from effrl.advice.advise import RULES
from effrl.report.exported import TABLE
from tests.unit.sources import ROOT

KEPT = ROOT / "k8s" / "components" / "prometheus"
EXPORTED = {entry.series: {"run", entry.tag} for entry in TABLE}
PANELS = [panel for panel in json.loads((KEPT / "dashboard.json").read_text())["panels"] if panel["type"] != "row"]
QUERIES = [(panel["title"], target["expr"], target["legendFormat"]) for panel in PANELS for target in panel["targets"]]
RULES_OF_ALERTS: list[dict[str, Any]] = alerts()["groups"][0]["rules"]
OTHERS = {
    "EffrlStalled": {"ray_effrl_commit_timestamp_seconds": "0x20", "ray_effrl_step_seconds": "20x20"},
    "EffrlLabelsSpent": {"ray_effrl_labels_left": "0x20"},
}
"""Values, one a minute, at which the alerts without a rule of advice fire."""
HEALTHY = {
    "ray_effrl_commit_timestamp_seconds": "0+60x20",
    "ray_effrl_step_seconds": "20x20",
    "ray_effrl_labels_left": "5x20",
}


def promtool(*arguments: str | Path) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: prometheus): rules were not checked")
    process = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


def test_the_kept_files_are_what_the_table_gives(tmp_path: Path) -> None:
    """Where it fails: ``python -m deploy.observe k8s/components/prometheus``."""
    write(tmp_path)
    for file in tmp_path.iterdir():
        assert (KEPT / file.name).read_text() == file.read_text(), file.name


# --- the dashboard


@pytest.mark.parametrize(("title", "query", "legend"), QUERIES)
def test_a_query_names_exported_metrics_alone(title: str, query: str, legend: str) -> None:
    named = re.findall(r"\b[a-z]+_\w+\b", re.sub(r"\{[^}]*\}|clamp_min", "", query))
    assert named and set(named) <= EXPORTED.keys()
    labels = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", query))))
    assert labels <= EXPORTED[named[0]]
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels, "what a legend shows is left by the query"


def test_panels_do_not_overlap() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24


def test_prometheus_can_read_every_query(tmp_path: Path) -> None:
    """As rules that record it: promtool has no other way to look at one."""
    texts = {expr.replace("$run", ".+").replace("$window", "10m") for _, expr, _ in QUERIES}
    rules = [{"record": f"query_{index}", "expr": text} for index, text in enumerate(sorted(texts))]
    (tmp_path / "queries.yml").write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    assert f"{len(texts)} rules found" in promtool("check", "rules", tmp_path / "queries.yml")


# --- alerts


def test_every_rule_of_advice_has_an_alert() -> None:
    named = [rule["alert"] for rule in RULES_OF_ALERTS]
    assert named == [*OTHERS, *map(alert_name, RULES)]


def test_alerts_name_exported_metrics_alone() -> None:
    named = {name for rule in RULES_OF_ALERTS for name in re.findall(r"ray_\w+", rule["expr"])}
    assert named <= EXPORTED.keys() and len(named) >= 4


def test_the_rules_pass_promtool() -> None:
    assert f"{len(RULES_OF_ALERTS)} rules found" in promtool("check", "rules", KEPT / "alerts.yml")


def cases() -> Iterator[dict[str, Any]]:
    """For each alert one case in which it fires and no other does; and one in which all is well again."""
    for rule in RULES_OF_ALERTS:
        texts = {key: text.replace("{{ $labels.run }}", "demo") for key, text in rule["annotations"].items()}
        fires = {"exp_labels": {"run": "demo", **rule["labels"]}, "exp_annotations": texts}
        yield case(bad(rule["alert"]), {rule["alert"]: [fires]})
    advised = {advice(rule.name): "1x5 0x15" for rule in RULES}
    yield case(advised | {f'{series}{{run="demo"}}': values for series, values in HEALTHY.items()}, {})


def advice(name: str) -> str:
    return f'ray_effrl_advice{{run="demo",rule="{name}"}}'


def bad(name: str) -> dict[str, str]:
    if name in OTHERS:
        return {f'{series}{{run="demo"}}': values for series, values in OTHERS[name].items()}
    return {advice(rule.name): "1x20" for rule in RULES if alert_name(rule) == name}


def case(series: dict[str, str], expected: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        "interval": "1m",
        "input_series": [{"series": key, "values": values} for key, values in series.items()],
        "alert_rule_test": [
            {"eval_time": "15m", "alertname": rule["alert"], "exp_alerts": expected.get(rule["alert"], [])}
            for rule in RULES_OF_ALERTS
        ],
    }


def test_each_alert_fires_on_its_fault_and_on_no_other(tmp_path: Path) -> None:
    tests = {"rule_files": [str(KEPT / "alerts.yml")], "evaluation_interval": "1m", "tests": list(cases())}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))
    assert "SUCCESS" in promtool("test", "rules", tmp_path / "tests.yml")


def test_a_test_of_an_alert_can_fail(tmp_path: Path) -> None:
    """Or all of the above would prove nothing."""
    wrong = case(bad("EffrlStale"), {})
    tests = {"rule_files": [str(KEPT / "alerts.yml")], "tests": [wrong]}
    (tmp_path / "tests.yml").write_text(yaml.safe_dump(tests))
    with pytest.raises(AssertionError, match="EffrlStale"):
        promtool("test", "rules", tmp_path / "tests.yml")
