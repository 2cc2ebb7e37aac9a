"""Snapshots of runs, what of them is held out, and that held-out prompts are predicted without a look at them."""

import json
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest

from effrl.difficulty.gather import Snapshot, snapshots
from effrl.difficulty.metrics import evaluate, pearson
from effrl.difficulty.offline import HeldOutSplit, results, split, summary, untrained
from effrl.difficulty.training import Fit, fit
from tests.unit.difficulty.synthetic import World


def group(step: int, prompt: str, outcomes: list[float | None], source: str | None = "gold") -> dict[str, Any]:
    rollouts = [{"outcome": outcome} for outcome in outcomes]
    return {"step": step, "prompt": prompt, "prompt_id": f"x/{prompt}", "label_source": source, "rollouts": rollouts}


def run_of(path: Path, steps: dict[int, list[dict[str, Any]]]) -> Path:
    (path / "groups").mkdir(parents=True)
    (path / "config.yaml").touch()
    for step, records in steps.items():
        lines = "".join(json.dumps(record) + "\n" for record in records)
        (path / "groups" / f"step_{step:06d}.jsonl").write_text(lines)
    return path


def test_groups_of_a_few_steps_are_a_snapshot(tmp_path: Path) -> None:
    run = run_of(
        tmp_path / "run",
        {
            1: [group(1, "a", [1, 0, 0, 0]), group(1, "b", [1, 1, None, None]), group(1, "c", [1, None, None])],
            2: [group(2, "a", [1, 1, 1, 0]), group(2, "d", [1, 1], "vote"), group(2, "e", [0, 0], "bought")],
            3: [group(3, "a", [1, 1, 1, 1]), group(3, "f", [None, None], None)],
            4: [group(4, "g", [0, 1])],
        },
    )
    first, second = snapshots([run], window=2, at_least=2)
    assert (first.run, first.first, first.last) == (str(run), 1, 2)
    assert first.rates == {"a": fmean([0.25, 0.75]), "b": 1.0, "e": 0.0}
    assert first.ids == {"a": "x/a", "b": "x/b", "e": "x/e"} and first.tries == fmean([4, 2, 4, 2])
    assert (second.first, second.last, second.rates) == (3, 4, {"a": 1.0, "g": 0.5})
    assert [entry.first for entry in snapshots([run], window=2, at_least=3)] == [1]


def world_of(abilities: list[float], prompts: int = 400, each: int = 150) -> tuple[World, list[str], list[Snapshot]]:
    world, texts = World(prompts), [f"{number}" for number in range(prompts)]
    found = []
    for number, ability in enumerate(abilities):
        measured = world.measure(world.rates(ability))
        rows = world.random.permutation(prompts)[:each]
        rates = {texts[row]: float(measured[row]) for row in rows}
        found.append(Snapshot("run", 4 * number + 1, 4 * number + 4, rates, 8.0, {}))
    return world, texts, found


def test_prompts_and_last_snapshots_are_held_out() -> None:
    world, texts, found = world_of([0.0] * 8)
    data = split(world.embeddings, texts, found, seed=1)
    assert data.unseen == {6, 7}
    assert 40 < len(data.held_out) < 120
    shown = {text for snapshot in data.snapshots for text in data.shown(snapshot)}
    assert not shown & data.held_out
    assert all({**data.shown(entry), **data.hidden(entry)} == entry.rates for entry in found)
    fitted_on = [part.embeddings for part in data.examples()]
    assert len(fitted_on) == 6
    for part, snapshot in zip(fitted_on, found, strict=False):
        np.testing.assert_array_equal(part, [world.embeddings[int(text)] for text in data.shown(snapshot)])
    assert split(world.embeddings, texts, found[:3], seed=1).unseen == frozenset(), "too few to lose one"
    assert split(world.embeddings, texts, found, seed=2).held_out != data.held_out


def test_what_is_hidden_does_not_reach_its_prediction() -> None:
    """Poisoned rates of held-out prompts change no prediction: only what they are compared with."""
    world, texts, found = world_of([0.3], each=60)
    data = split(world.embeddings, texts, found, seed=1)
    network = untrained(16, 8, 1, seed=1)
    flipped = {text: 1 - rate if text in data.held_out else rate for text, rate in found[0].rates.items()}
    poisoned = HeldOutSplit(
        data.embeddings,
        data.places,
        [Snapshot("run", 1, 4, flipped, 8.0, {})],
        data.held_out,
        data.unseen,
    )
    [honest], [other] = results(network, data, 20, 1), results(network, poisoned, 20, 1)
    assert other.fitted["pearson"] == pytest.approx(-honest.fitted["pearson"])
    assert other.untrained["pearson"] == pytest.approx(-honest.untrained["pearson"])


def test_a_fit_predicts_policies_and_prompts_that_it_never_saw() -> None:
    world, texts, found = world_of([-1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0], prompts=1200, each=400)
    data = split(world.embeddings, texts, found, seed=1)
    network = untrained(16, 32, 3, seed=1)
    fit(network, data.examples(), Fit(epochs=12, batch=128))
    measured = results(network, data, 64, 1)
    assert [entry.unseen for entry in measured] == [False] * 6 + [True] * 2
    for entry in measured:
        assert entry.prompts == len(data.hidden(entry.snapshot))
        assert entry.mean["pearson"] == 0 and 0 < entry.ceiling <= 1
    told = summary(measured)
    assert told["pearson"] == fmean(entry.fitted["pearson"] for entry in measured[6:])
    assert told["pearson"] > 0.75 and told["pearson"] > told["untrained_pearson"] + 0.05
    assert summary([]) == {}


def test_the_mean_is_of_the_references() -> None:
    world, texts, found = world_of([0.3], each=60)
    data = split(world.embeddings, texts, found, seed=1)
    [entry] = results(untrained(16, 8, 1, 1), data, 10_000, 1)
    shown, hidden = (np.array([*part(found[0]).values()]) for part in (data.shown, data.hidden))
    assert entry.mean == evaluate(np.full(len(hidden), shown.mean()), hidden)
    assert pearson(shown, shown) == pytest.approx(1)
