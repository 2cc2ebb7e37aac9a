"""Advice: nothing on runs that go well, and on each planted fault its own line, once, with what to do."""

import random
import re
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from fake_run import base_row, step_row

from effrl.advice.advise import QUIET, RULES, advise, marks, told
from effrl.advice.rule import PREFIX, AdviceRule
from effrl.config import load
from effrl.run.metrics import Metrics, MetricsLog, read

STEPS, FAULT = 90, 41
Row = dict[str, Any]


def sections(part: Mapping[str, Any], path: str = "") -> dict[str, set[str]]:
    """Every section of the configs of some recipes, and the fields of each."""
    inner = {f"{path}{name}": value for name, value in part.items() if isinstance(value, dict)}
    found = {key: set(value) for key, value in inner.items()}
    return found | {key: names for where, value in inner.items() for key, names in sections(value, f"{where}.").items()}


SECTIONS: dict[str, set[str]] = {}
for recipe in ("quickstart", "prime", "care"):
    for where, names in sections(load.load(recipe).model_dump()).items():
        SECTIONS.setdefault(where, set()).update(names)


def healthy(seed: int = 1, steps: int = STEPS) -> list[Row]:
    """Rows of a run that learns: invented, with every metric that a rule reads."""
    numbers = random.Random(seed)
    rows: list[Row] = [base_row()]
    for step in range(1, steps + 1):
        row = step_row(step, steps, numbers)
        row |= {
            **{f"reward/status/{name}": 0 for name in ("timeout", "memory", "error", "crashed", "engine", "truncated")},
            "reward/status/unparseable": round(100 * 0.9**step),
            "reward/status/ok": 256 - round(100 * 0.9**step),
            "reward/terms/format": 0.9 + numbers.gauss(0, 0.02),
            "rollout/failed": 0,
            "rollout/truncated_fraction": 0.4 * 0.95**step,
            "rollout/workers_lost": int(step == 20),
            "groups/stale": int(numbers.random() < 0.3),
            "groups/unbalanced": 0,
            "label/majority_share": 0.5 + 0.3 * step / steps,
            "label/answer_entropy": 1 - step / (2 * steps),
            "label/token_share/vote": 1.0,
            "process/reward_mean": 0.01 + 0.001 * numbers.gauss(0, 1),
            "memory/rss_mb/rollout": 2300 - 400 * 0.8**step + numbers.gauss(0, 5),
            "select/zone_closed": 0.0,
            "time/people_s": 500.0 if step == 60 else 0.0,
        }
        row["time/step_s"] += row["time/people_s"]
        rows.append(row)
    return rows


def evaluation(change: Callable[[int], Row]) -> Callable[[int], Row]:
    """Of the steps that are evaluated."""
    return lambda step: change(step) if step % 4 == 0 else {}


def falling(at: int) -> float:
    return max(0.0, 1 - 0.02 * (at - FAULT))


FAULTS: Mapping[str, Callable[[int], Row]] = {
    "no_signal": lambda step: {"groups/trained": 1, "groups/filtered": 33, "reward/outcome_mean": 0.02},
    "no_label": lambda step: {
        "groups/trained": 0, "groups/filtered": 0, "groups/dropped": 34, "reward/outcome_mean": None,
    },
    "truncated": lambda step: {"rollout/truncated_fraction": 0.5},
    "unparseable": lambda step: {"reward/status/unparseable": 200, "reward/status/ok": 56},
    "stale": lambda step: {"groups/stale": 12},
    "longer": lambda step: {"rollout/tokens": 256 * min(120, 40 + 2 * (step - FAULT)), "reward/outcome_mean": 0.4},
    "aborted": lambda step: {"rollout/failed": 30},
    "lost_workers": lambda step: {"rollout/workers_lost": int(step % 3 == 0)},
    "verifier": lambda step: {"reward/status/timeout": 20, "reward/status/ok": 236},
    "memory": lambda step: {"memory/rss_mb/learner": 1450 + 6 * (step - FAULT)},
    "slow": lambda step: {"time/rollout_s": 300.0, "time/step_s": 302.0} if step == FAULT else {},
    "mismatch": lambda step: {"mismatch/kl": 0.2},
    "narrow": lambda step: {"policy/entropy": 0.004},
    "fallen": evaluation(lambda step: {"eval/accuracy": 0.43 * falling(step)}),
    "terms": lambda step: {"reward/terms/format": 2.0 + step / 60, "reward/outcome_mean": 0.45 * falling(step)},
    "collapse": evaluation(lambda step: {"eval/pass@4": 0.7 * falling(step)}),
    "hacking": lambda step: {"process/reward_mean": 0.1 + step / 60, "reward/outcome_mean": 0.45 * falling(step)},
    "no_gain": lambda step: {
        "select/zone_closed": float(step % 10 == 0), "select/effective_zone": 0.2, "select/effective_control": 0.3,
        "select/effective_error": 0.02,
    },
}  # fmt: skip
"""What each rule is to see: changes to the rows of all steps from :data:`FAULT` on."""


def planted(name: str, seed: int = 1) -> list[Row]:
    return [row | FAULTS[name](row["step"]) if row["step"] >= FAULT else row for row in healthy(seed)]


@pytest.mark.parametrize("seed", range(20))
def test_a_healthy_run_gets_none(seed: int) -> None:
    assert [str(found) for found in told(healthy(seed))] == []


def test_every_rule_has_a_fault() -> None:
    assert [rule.name for rule in RULES] == list(FAULTS), "in the order of the rules"


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_gets_its_own_line_once(name: str) -> None:
    [found] = told(planted(name))
    assert found.rule.name == name and FAULT <= found.step <= STEPS
    assert str(found) == f"step {found.step}: {found.seen}. {found.rule.remedy}"
    assert "\n" not in str(found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_remedy_names_fields_of_the_config(rule: AdviceRule) -> None:
    fields = {*SECTIONS, *(f"{path}.{name}" for path, part in SECTIONS.items() for name in part)}
    named = re.findall(r"\b[a-z_]+(?:\.[a-z_]+)+\b", re.sub(r"(docs|logs)/\S+", "", rule.remedy))
    assert [name for name in named if name not in fields] == []


SEEN = {
    "no_signal": "165 of 170 groups of the last 5 steps taught nothing, all right or all wrong (mean outcome 0.02)",
    "no_label": "all 180 groups were dropped or failed",
    "truncated": "% of the rollouts of the last 10 steps were cut off",
    "unparseable": "of the last 10 steps had no final answer",
    "stale": "of 360 groups of the last 10 steps came too late",
    "aborted": "engines aborted 90 of the 1280 rollouts",
    "lost_workers": "3 rollout workers were lost",
    "verifier": "the verifier hung for 80 of 1284 rollouts of the last 5 steps",
    "memory": "learner holds ever more memory",
    "slow": "the step took 302 s, 152 times the median, of which 300 s rollout",
    "narrow": "(0.004 nats a token)",
    "mismatch": "in the last 10 steps",
    "fallen": "held-out accuracy fell from 0.4",
}


@pytest.mark.parametrize("name", SEEN)
def test_a_line_has_the_figures(name: str) -> None:
    [found] = told(planted(name))
    assert SEEN[name] in found.seen


def test_a_sign_that_comes_back_is_told_again_only_after_a_while() -> None:
    rows = healthy(steps=3 * QUIET)
    for row in rows:
        if row["step"] in (40, 60, 250):
            row |= FAULTS["slow"](FAULT)
    assert [(found.rule.name, found.step) for found in told(rows)] == [("slow", 40), ("slow", 250)]


def test_an_evaluation_s_rule_speaks_once_in_a_run() -> None:
    """However many rows lie between two evaluations."""
    rows = [row | ({} if row["step"] in (0, 100, 250, 400) else {"eval/accuracy": None}) for row in healthy(steps=400)]
    for row in rows[200:]:
        row |= {"eval/accuracy": 0.1} if row["step"] in (250, 300, 400) else {}
    assert [(found.rule.name, found.step) for found in told(rows)] == [("fallen", 300)]


def test_a_run_marks_each_step_that_shows_it_and_reading_it_again_finds_the_same(tmp_path: Any) -> None:
    """Rows on disk are the only memory: a resume says nothing again."""
    path, said = tmp_path / "metrics.jsonl", []
    for row in planted("verifier"):
        metrics = Metrics(MetricsLog(path))
        found = advise(metrics, row)
        metrics.write(row | marks(found))
        said += [str(entry) for entry in found if entry.new]
    kept = read(path)
    shown = [row["step"] for row in kept if row.get(f"{PREFIX}verifier")]
    assert shown == list(range(shown[0], STEPS + 1)) and FAULT <= shown[0] < FAULT + 5
    assert said == [str(found) for found in told(kept)] and len(said) == 1


def test_no_rule_looks_farther_back_than_what_is_read() -> None:
    assert max(rule.reach or 0 for rule in RULES) <= QUIET
