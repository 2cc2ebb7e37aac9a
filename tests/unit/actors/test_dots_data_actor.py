"""The data actor with ``select.kind=dots``, without Ray: what it wants to know, tells, keeps, and takes up again."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

import effrl
from actors import role
from actors.data.actor import DataActor
from effrl.config.schema import Config
from effrl.types import Observation, Prompt

SELECT = {"kind": "dots", "reference": 4, "warmup": 1, "epochs": 2, "hidden": 8}


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], DataActor]:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    config = Config.model_validate({"data": {"train": "tasks:chain?size=40"}, "select": SELECT})
    return lambda: DataActor("data", tmp_path, effrl.__version__, config, [])


def rate(prompt: Prompt) -> float:
    """Longer problems are harder."""
    return max(0.0, 1 - len(prompt.text) / 16)


def step(actor: DataActor, number: int) -> tuple[list[str], dict[str, float]]:
    """What a run does with it in one step."""
    if request := actor.request(number):
        actor.receive(number, {prompt.id: rate(prompt) for prompt in request.prompts})
    prompts = [pick.prompt for pick in (*actor.select(6), *actor.select(2))]
    return [prompt.id for prompt in prompts], actor.observe(
        number, [Observation(p, 8 * rate(p), 8) for p in prompts], [p.id for p in prompts]
    )


@pytest.mark.parametrize("done", [1, 2, 3, 4])
def test_resumed_equals_uninterrupted(data: Callable[[], DataActor], done: int) -> None:
    actor = data()
    for number in range(1, done + 1):
        step(actor, number)
    saved = json.dumps(actor.state())
    expected = [step(actor, number) for number in range(done + 1, 7)]
    resumed = data()
    resumed.restore(json.loads(saved))
    assert [step(resumed, number) for number in range(done + 1, 7)] == expected


def test_it_says_what_took_time_and_how_well_it_predicts(data: Callable[[], DataActor]) -> None:
    actor = data()
    assert len(actor.notes()) == 1 and "40 prompts embedded in" in actor.notes()[0]
    metrics = [step(actor, number)[1] for number in range(1, 7)]
    assert [found["select/fitted"] for found in metrics] == [0, 0, 1, 1, 1, 1]
    assert ["select/pearson" in found for found in metrics] == [False, False, False, False, True, True]
    assert metrics[4]["select/pearson"] == metrics[5]["select/pearson"], "until the next references are measured"
    assert all(0 <= found["select/difficulty_expected"] <= 1 for found in metrics[2:])
