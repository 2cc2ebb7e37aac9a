"""From a config to selectors with predictors: sizes, parts of large pools, and what does not fit."""

from pathlib import Path
from typing import Any

import pytest

from effrl.config.schema import Config
from effrl.config.select import DotsSelect
from effrl.data.reader import pools, read_pool
from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.saved import Card, save
from effrl.errors import UserError
from effrl.models import TINY, find_model, fingerprint
from effrl.select.build import selector
from effrl.select.control import ControlledSelector
from effrl.select.dots.build import check_dots
from effrl.select.mixed import MixedSelector


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def config(train: Any = "tasks:chain?size=40", prompts: int = 16, **select: Any) -> Config:
    raw = {"data": {"train": train}, "rollout": {"prompts": prompts}, "select": {"kind": "dots", **select}}
    return Config.model_validate(raw)


def made(of: Config) -> tuple[Any, list[str]]:
    notes: list[str] = []
    weighted = [(pool.weight, [row.prompt for row in read_pool(pool)]) for pool in pools(of.data.train)]
    return selector(of, weighted, notes.append), notes


@pytest.mark.parametrize(("prompts", "given", "expected"), [(512, None, 128), (32, None, 8), (4, None, 2), (32, 3, 3)])
def test_a_quarter_of_a_step_is_measured_by_default(prompts: int, given: int | None, expected: int) -> None:
    found = config(prompts=prompts, **({} if given is None else {"reference": given}))
    assert isinstance(found.select, DotsSelect)
    assert found.select.references(prompts) == expected


def test_a_run_draws_uniformly_and_fits_later() -> None:
    dots, notes = made(config())
    assert isinstance(dots, ControlledSelector) and len(dots.prompts) == 40
    assert [len(request.prompts) for step in (1, 3, 5) if (request := dots.request(step))] == [0, 0, 4]
    assert len(notes) == 1 and "40 prompts embedded in" in notes[0] and "128 dimensions" in notes[0]
    assert "found embedded" in made(config())[1][0], "the second run has them already"


def test_of_a_large_pool_a_random_part_is_chosen_from_and_that_is_said() -> None:
    dots, notes = made(config(pool=10))
    assert len(dots.prompts) == 10 and "among 10 of 40" in notes[0]
    assert made(config(pool=10))[0].prompts == dots.prompts
    assert len(made(config(pool=100))[0].prompts) == 40


def test_parts_of_a_mix_share_the_references_by_weight() -> None:
    parts = [{"source": "tasks:chain?size=20", "weight": 3}, "tasks:strings?size=30"]
    mix, notes = made(config({"kind": "mix", "parts": parts}, prompts=32))
    assert isinstance(mix, MixedSelector) and len(notes) == 2
    request = mix.request(5)
    assert request is not None
    assert [sum(prompt.id.startswith(f"{part}/") for prompt in request.prompts) for part in (1, 2)] == [6, 2]


def test_a_saved_predictor_predicts_from_the_first_round_on(tmp_path: Path) -> None:
    path = tmp_path / "predictor.safetensors"
    save(path, DifficultyNetwork(128, hidden=8, layers=1), Card(fingerprint(TINY), "mean", 1))
    found = config(predictor=path)
    assert isinstance(found.select, DotsSelect) and found.select.uniform_rounds == 0
    check_dots(found.select, 40, find_model("tiny"))
    dots, _ = made(found)
    request = dots.request(1)
    assert request is not None and len(request.prompts) == 4
    dots.receive(1, {prompt.id: n / 3 for n, prompt in enumerate(request.prompts)})
    dots.select(8)
    assert dots.metrics()["select/fitted"] == 1


def refusal(prompts: int, **select: Any) -> str:
    found = config(**select)
    assert isinstance(found.select, DotsSelect)
    with pytest.raises(UserError) as caught:
        check_dots(found.select, prompts, find_model("tiny"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_does_not_fit_is_one_line_before_anything_starts(tmp_path: Path) -> None:
    assert "select.reference (50) is more than the 40 prompts" in refusal(40, reference=50)
    assert "more than the 20 prompts" in refusal(40, reference=30, pool=20)
    assert "does not exist" in refusal(40, predictor=tmp_path / "nothing")
    other = tmp_path / "other"
    save(other, DifficultyNetwork(128, hidden=8, layers=1), Card("3f2a", "mean", 1))
    assert "fitted on embeddings of model 3f2a" in refusal(40, predictor=other)
    save(other, DifficultyNetwork(64, hidden=8, layers=1), Card(fingerprint(TINY), "mean", 1))
    assert "64 dimensions, these have 128" in refusal(40, predictor=other)
    assert "neither a directory nor" in refusal(40, embeddings="/nowhere") or "no model directory" in refusal(
        40, embeddings="/nowhere"
    )


def test_rounds_that_are_not_kept_cannot_refer() -> None:
    with pytest.raises(ValueError, match=r"select.recent .* raise keep"):
        DotsSelect(keep=3, recent=3)
