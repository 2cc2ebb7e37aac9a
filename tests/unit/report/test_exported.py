"""What of a row goes to Prometheus: names by its rules, and each value where it belongs."""

import re

import numpy as np
import pytest

from effrl.report.exported import COMMITTED, TABLE, Exported, samples
from tests.unit.sources import ROOT

UNITS = ("seconds", "bytes", "ratio", "nats", "versions")
PAGE = (ROOT / "docs" / "observability.md").read_text()


def sampled(**row: object) -> dict[tuple[str, str], float]:
    found = samples({name.replace("__", "/"): value for name, value in row.items()}, now=5.0)
    return {(sample.exported.name, sample.tagged): sample.value for sample in found}


@pytest.mark.parametrize("entry", TABLE, ids=lambda entry: entry.name)
def test_names_follow_the_rules_of_prometheus(entry: Exported) -> None:
    assert re.fullmatch(r"effrl_[a-z]+(_[a-z]+)*", entry.name)
    assert entry.name.endswith("_total") == entry.counts
    assert not re.search(r"_(mb|ms|s|percent|minutes|fraction|share)(_|$)", entry.name), f"base units: {UNITS}"
    assert entry.help[0].isupper() or entry.help[0] == "1"
    assert (entry.tag is not None) == ("*" in entry.source)
    assert f"`{entry.name}`" in PAGE, "it is on the page"


def test_each_is_there_once() -> None:
    assert len({entry.name for entry in TABLE}) == len({entry.source for entry in TABLE}) == len(TABLE)


def test_values_come_in_base_units_under_their_labels() -> None:
    found = sampled(step=3, memory__rss_mb__learner_0=2.0, time__learn_s=1.5, time__step_s=4, sync__verified=True)
    assert found["effrl_memory_bytes", "learner_0"] == 2 * 2**20
    assert found["effrl_phase_seconds", "learn"] == 1.5 and found["effrl_step_seconds", ""] == 4
    assert ("effrl_phase_seconds", "step") not in found
    assert (found["effrl_step", ""], found["effrl_publish_verified", ""]) == (3, 1)
    assert found[COMMITTED.name, ""] == 5.0


def test_fates_are_a_family_and_what_is_none_of_them_is_apart() -> None:
    found = sampled(step=1, groups__trained=5, groups__filtered=7, groups__rolled=12, groups__replay_uses=2)
    assert found["effrl_groups_total", "trained"] == 5 and found["effrl_groups_total", "filtered"] == 7
    assert found["effrl_groups_rolled_total", ""] == 12 and found["effrl_groups_replayed_total", ""] == 2
    assert sum(name == "effrl_groups_total" for name, _ in found) == 2


def test_what_is_unknown_is_left_out() -> None:
    found = sampled(step=1, sync__verified=None, stage__name="hard", loss__policy=float("nan"), my__own=3.0)
    assert {name for name, _ in found} == {COMMITTED.name, "effrl_step", "effrl_advice"}


def test_numbers_of_numpy_count() -> None:
    assert sampled(step=1, rollout__tokens=np.int32(7))["effrl_tokens_total", ""] == 7


def test_advice_goes_back_to_zero() -> None:
    found = sampled(step=1, advice__stale=1.0)
    assert found["effrl_advice", "stale"] == 1 and found["effrl_advice", "memory"] == 0
