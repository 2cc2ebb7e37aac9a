"""ExGRPO's choice: which buckets are drawn how often, when replay begins, and who is retired."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from effrl.batch import Settled, fate_of
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.replay.build import replay_store
from effrl.replay.exgrpo import ExGrpoStore, preference
from effrl.replay.store import ReplayStore
from effrl.types import ScoredGroup, Supervision
from tests.unit.replay.test_replay import group


def of(passes: dict[str, int], step: int, tries: int = 8) -> list[Settled]:
    """One group per prompt, with so many passes."""
    made = [labelled(group(name, (1.0,) * k + (0.0,) * (tries - k), step)) for name, k in passes.items()]
    return [Settled(scored, fate_of(scored)) for scored in made]


def labelled(scored: ScoredGroup) -> ScoredGroup:
    """The same with a true label in place of a vote."""
    return replace(scored, judged=replace(scored.judged, supervision=Supervision("gold", "2")))


def store(capacity: int = 100) -> ExGrpoStore:
    return ExGrpoStore(capacity, 1, seed=1, start=0.35, width=1.0)


@pytest.mark.parametrize(
    ("filled", "law"),
    [
        (range(1, 8), [0.004433, 0.054006, 0.242036, 0.399050, 0.242036, 0.054006, 0.004433]),
        ((2, 4, 7), [0.118048, 0.872262, 0.009690]),
    ],
)
def test_half_solved_groups_come_first(filled: range, law: list[float]) -> None:
    weights = [preference(k, 8, 1.0) for k in filled]
    assert [weight / sum(weights) for weight in weights] == pytest.approx(law, abs=5e-7)
    kept = store()
    kept.add(1, of({f"p{k}": k for k in filled} | {"q4": 4}, 1))  # a bucket's size does not matter
    chance = random.Random(1)
    places = [kept.choose(1, chance)[0] for _ in range(4000)]
    drawn = Counter("p4" if kept.groups[place].prompt_id == "q4" else kept.groups[place].prompt_id for place in places)
    for k, expected in zip(filled, law, strict=True):
        assert abs(drawn[f"p{k}"] / 4000 - expected) < 4 * (expected / 4000) ** 0.5 + 1e-3


def test_a_draw_has_no_group_twice_and_no_more_than_there_are() -> None:
    kept = store()
    kept.add(1, of({"a": 4, "b": 4, "c": 1}, 1))
    assert sorted(kept.choose(9, random.Random(1))) == [0, 1, 2]
    assert kept.choose(0, random.Random(1)) == []


def test_replay_begins_above_its_start_and_does_not_end() -> None:
    kept = ExGrpoStore(100, 1, 1, start=0.35, width=1.0)
    kept.add(1, of({"a": 7, "b": 7}, 1, tries=20))
    assert kept.groups == (), "0.35 exactly is not above"
    kept.add(2, of({"a": 8, "b": 7}, 2, tries=20))
    assert len(kept.groups) == 2
    kept.add(3, of({"c": 1}, 3))
    assert [entry.prompt_id for entry in kept.groups] == ["a", "b", "c"]


def test_a_solved_prompt_is_retired_for_good_before_the_start_too() -> None:
    kept = store()
    kept.add(1, of({"a": 8, "b": 0, "c": 0, "d": 0}, 1))
    kept.add(2, of({"a": 4, "b": 4}, 2))
    assert [entry.prompt_id for entry in kept.groups] == ["b"]
    kept.add(3, of({"b": 8, "c": 4}, 3))
    kept.add(4, of({"b": 4}, 4))
    assert [entry.prompt_id for entry in kept.groups] == ["c"]


def test_a_unanimous_vote_retires_nobody() -> None:
    kept = store()
    voted = group("a", (1.0,) * 8, 1)
    kept.add(1, [Settled(voted, fate_of(voted))])
    kept.add(2, of({"a": 4}, 2))
    assert [entry.prompt_id for entry in kept.groups] == ["a"]


def test_a_group_that_was_stopped_retires_nobody() -> None:
    kept = ExGrpoStore(100, 1, 1, start=0.35, width=1.0, screen=4)
    kept.add(1, [*of({"a": 4, "b": 4}, 1, tries=8), *of({"c": 4}, 1, tries=4)])
    kept.add(2, of({"c": 4}, 2, tries=8))
    assert [entry.prompt_id for entry in kept.groups] == ["a", "b", "c"]


def test_saved_and_loaded_it_draws_the_same(tmp_path: Path) -> None:
    kept = store()
    kept.add(1, of({"a": 8, **{f"p{k}": k for k in range(1, 8)}}, 1))
    kept.save(tmp_path)
    other = store()
    other.load(tmp_path)
    assert [entry.prompt_id for entry in other.draw(2, 3)] == [entry.prompt_id for entry in kept.draw(2, 3)]
    other.add(2, of({"a": 4, "e": 1}, 2))
    assert "a" not in {entry.prompt_id for entry in other.groups} and "e" in {entry.prompt_id for entry in other.groups}
    (tmp_path / "exgrpo.json").unlink()
    with pytest.raises(UserError, match=r"exgrpo\.json is missing or damaged"):
        store().load(tmp_path)


def test_from_a_config() -> None:
    def made(**replay: object) -> ReplayStore:
        config = Config.model_validate({"data": {"train": "tasks:chain"}, "replay": replay})
        assert config.replay is not None
        return replay_store(config.replay, config.rollout.prompts, 1)

    assert type(made(fresh=0.5)) is ReplayStore, "files of old need no kind"
    assert isinstance(made(kind="exgrpo"), ExGrpoStore)
