"""Rows on their way to Ray's metrics."""

from typing import ClassVar

import pytest
from prometheus_client import REGISTRY, generate_latest
from ray._private.telemetry.open_telemetry_metric_recorder import OpenTelemetryMetricRecorder

from actors.driver import exporter
from actors.driver.exporter import RayExporter
from effrl.report.exported import TABLE


class Instrument:
    """Takes the place of Ray's."""

    made: ClassVar[list[str]] = []

    def __init__(self, name: str, description: str, tag_keys: tuple[str, ...]) -> None:
        self.name, self.tag_keys = name, tag_keys
        self.values: list[tuple[float, dict[str, str]]] = []
        Instrument.made.append(name)
        assert description

    def _record(self, value: float, tags: dict[str, str]) -> None:
        assert set(tags) == set(self.tag_keys), "Ray refuses others"
        self.values.append((value, tags))


class FakeGauge(Instrument):
    def set(self, value: float, tags: dict[str, str]) -> None:
        self._record(value, tags)


class FakeCounter(Instrument):
    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0, "Ray refuses 0"
        self._record(value, tags)


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> RayExporter:
    monkeypatch.setattr(exporter, "Gauge", FakeGauge)
    monkeypatch.setattr(exporter, "Counter", FakeCounter)
    Instrument.made = []
    return RayExporter("demo", now=lambda: 7.0)


def test_gauges_are_set_and_counters_add_up(exported: RayExporter) -> None:
    for step in (1, 2):
        exported.write({"step": step, "reward/outcome_mean": step / 4, "groups/trained": 3, "groups/failed": 0})
    groups, outcome = exported._made["effrl_groups_total"], exported._made["effrl_outcome_ratio"]
    assert isinstance(groups, FakeCounter) and groups.values == [(3, {"run": "demo", "fate": "trained"})] * 2
    assert isinstance(outcome, FakeGauge) and outcome.values == [(0.25, {"run": "demo"}), (0.5, {"run": "demo"})]


def test_each_is_made_once_and_only_what_was_measured(exported: RayExporter) -> None:
    exported.write({"step": 1})
    exported.write({"step": 2})
    assert sorted(Instrument.made) == ["effrl_advice", "effrl_commit_timestamp_seconds", "effrl_step"]


def test_ray_shows_all_under_the_names_that_queries_use() -> None:
    """By the part of Ray's agent that Prometheus talks to: it puts ``ray_`` before a name, and nothing behind it."""
    shown = OpenTelemetryMetricRecorder()
    for entry in TABLE:
        register = shown.register_counter_metric if entry.counts else shown.register_gauge_metric
        register(entry.name, entry.help)
        shown.set_metric_value(entry.name, dict.fromkeys(entry.labels, "x"), 1.0)
    text = generate_latest(REGISTRY).decode()
    assert [entry.series for entry in TABLE if f"\n{entry.series}{{" not in text] == []
    assert [entry.series for entry in TABLE if f" {entry.series} {entry.help}\n" not in text] == []
    kinds = [f"# TYPE {entry.series} {'counter' if entry.counts else 'gauge'}" for entry in TABLE]
    assert [kind for kind in kinds if f"{kind}\n" not in text] == []
