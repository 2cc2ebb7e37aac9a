"""The doctor on a real Ray: every node reports itself, and one that cannot holds up nobody."""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from actors.node import survey as module
from actors.node.survey import Answered, members, survey
from deploy.doctor import checks, gather
from deploy.doctor.needs import needs_of
from effrl.models import TINY

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


class Broken:
    """A probe on a node whose Python is not what it seems."""

    def look(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        raise ImportError(f"no module named {wanted['name']}")


class Stuck:
    """A probe on a node whose disk does not answer."""

    def look(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        time.sleep(60)
        return {}


def test_a_node_reports_itself_and_leaves_nothing(tmp_path: Path) -> None:
    needs = needs_of("quickstart", [f"run.dir={tmp_path}/runs/mine"])
    seen = gather.whole_cluster(needs)
    [node] = seen.nodes
    assert seen.silent == {} and node.facts.source == seen.here.source
    assert node.facts.models == (str(TINY),) and node.facts.port is not None
    assert node.facts.visit is not None and node.facts.visit.locked, "the driver's lock is of another process"
    assert node.arrived and list(tmp_path.iterdir()) == []
    assert abs(node.offset_s) <= node.doubt_s + 0.1, "one clock"
    found = {finding.name: finding.level for finding in checks.of_cluster(seen)}
    expected = ("nodes", "effrl everywhere", "versions everywhere", "clocks", "run directory", "files of nodes")
    assert {found[name] for name in expected} == {"ok"}


def silence(probe: type) -> str:
    one: Answered
    [one] = asyncio.run(survey(members(), probe, lambda node: {"name": "effrl"}))
    assert one.facts is None
    return one.silence


def test_a_node_that_cannot_report_says_why() -> None:
    assert "failed in what there is: ImportError: no module named effrl" in silence(Broken)


def test_a_node_that_is_stuck_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 1.0)
    assert "waited 1 s in vain for what there is" in silence(Stuck)
