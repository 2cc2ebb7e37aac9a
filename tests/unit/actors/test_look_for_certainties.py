"""The scout's looks for certainties: what is scored, on which ranks, at what cost, and what is kept of it."""

import asyncio
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fake_actor import Method
from reads import ids_of, replies, step_of
from test_scout import Oracle, Rewards, Sampling

from actors.driver.certainty import CertaintyService
from actors.driver.sampler import Sampler
from actors.driver.scout import Scout
from actors.learner.group import LearnerGroup
from actors.learner.service import LearnerService
from effrl.config.schema import Config
from effrl.data.survey import Survey
from effrl.errors import RunError, UserError
from effrl.learn.packing import MicroBatch
from effrl.models import TINY, fingerprint
from effrl.questions import Label, Question, Reply, Standing
from effrl.run.metrics import Stopwatch
from effrl.select.build import form_of
from effrl.select.ufo.records import ScoreRecords, certainties
from effrl.select.ufo.selector import UfoSelector
from effrl.types import Continuation, Float32, Prompt, Step

POOL = [Prompt(f"p/{number}", "x" * (number + 1)) for number in range(6)]


class LabelOracle(Oracle):
    """Labels are ``aa`` and so on: a letter per prompt, one more time for every prompt."""

    def __init__(self, owned: Sequence[str] = (), none: Sequence[str] = ()) -> None:
        super().__init__(owned)
        self.none = none

    async def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        self.bought += ids_of(questions)
        return replies([None if name in self.none else label(name) for name in ids_of(questions)])

    async def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        return [Label(label(name)) if name in self.has else None for name in prompt_ids]


def label(prompt_id: str) -> str:
    number = int(prompt_id.removeprefix("p/"))
    return "abcdef"[number] * (number % 3 + 1)


class Rank:
    """Knows the log-prob of every token from a table, whatever stands before it; counts rows of real texts."""

    def __init__(self) -> None:
        self.rows = 0
        self.widths: list[int] = []
        self.view = Method(self._score)

    def _score(
        self, batches: Sequence[MicroBatch], temperature: float, states: bool
    ) -> list[list[tuple[Float32, None]]]:
        assert temperature == 1 and not states
        self.rows += sum(int(batch.mask.any(1).sum()) for batch in batches)
        self.widths += [batch.ids.size for batch in batches]
        return [
            [(TABLE[ids[mask > 0]], None) for ids, mask in zip(batch.ids, batch.mask, strict=True)] for batch in batches
        ]


TABLE = -np.arange(128, dtype=np.float32) / 100
"""Nats per character code."""


class Tokeniser:
    """One token per character."""

    def __init__(self) -> None:
        self.asked: list[tuple[Prompt, str]] = []
        self.target_ids = Method(self._ids)

    def _ids(self, targets: Sequence[tuple[Prompt, str]], prefix: str) -> list[Continuation]:
        self.asked += targets
        texts = [(str(prompt.content) + prefix, target) for prompt, target in targets]
        return [Continuation(np.array([*map(ord, before + text)], np.int32), len(before)) for before, text in texts]


class Pool:
    """A data actor with one selector."""

    def __init__(self, selector: UfoSelector) -> None:
        self.found: dict[str, float] = {}
        self.selector = selector
        self.request = Method(selector.request)
        self.receive = Method(self._saw)

    def _saw(self, step: int, found: Mapping[str, float]) -> Mapping[str, Any]:
        self.found = dict(found)
        self.selector.receive(step, found)
        return self.selector.reasons()


class Run:
    """Everything around one scout."""

    def __init__(self, path: Path, oracle: Oracle, ranks: int = 2, context: int = 100, **sections: Any) -> None:
        select = {"kind": "ufo", "target": "final_answer", "normalise": "length", "prefix": "#"}
        given = {"select": select, "label": {"kind": "gold"}, **sections}
        rollout = {"prompts": 2, "per_prompt": 4, "refill": 0, "max_tokens": 8}
        learn = {"micro_batch_tokens": 12}
        self.config = Config.model_validate(
            {"data": {"train": "tasks:chain"}, "rollout": rollout, "learn": learn, "reward": {"kind": "exact"}, **given}
        )
        self.path = path / "select" / "scores.jsonl"
        self.oracle, self.sampling, self.tokeniser = oracle, Sampling(), Tokeniser()
        self.ranks = {f"learner-{rank}": Rank() for rank in range(ranks)}
        self.data = Pool(UfoSelector(POOL, 1, ratio=0.5))
        learner = LearnerService(LearnerGroup(self.ranks, 5.0), self.config, 3, Stopwatch(), 512)
        self.scout = Scout(
            self.data,
            self.sampling,  # type: ignore[arg-type]
            Rewards(),  # type: ignore[arg-type]
            oracle,  # type: ignore[arg-type]
            self.config,
            form_of(self.config, Survey(6, 6, 9, "p")),
            Stopwatch(),
            CertaintyService(learner, Sampler({"rollout-0": self.tokeniser}, 5.0), context),
            ScoreRecords(self.path, TINY),
        )

    def request(self, step: int = 1) -> Mapping[str, Any]:
        return asyncio.run(self.scout(step_of(step)))

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()]


def expected(target: str) -> float:
    """Geometric mean of the table's probabilities, by hand."""
    return math.prod(math.exp(-ord(letter) / 100) for letter in target) ** (1 / len(target))


def test_gold_targets_cost_one_forward_each_and_no_rollout(tmp_path: Path) -> None:
    run = Run(tmp_path, oracle := LabelOracle())
    assert run.request() == {} and run.sampling.asked == [], "not a token is generated"
    assert oracle.bought == [prompt.id for prompt in POOL], "every label once"
    assert sum(rank.rows for rank in run.ranks.values()) == len(POOL), "one forward per prompt"
    assert all(rank.rows > 0 and max(rank.widths) <= 12 for rank in run.ranks.values()), "shared out, within the limit"
    assert run.data.found == {prompt.id: pytest.approx(expected(label(prompt.id)), rel=1e-6) for prompt in POOL}
    cost = run.scout.metrics(1)
    assert cost["scout/forwards"] == 6 and cost["scout/rollouts"] == cost["scout/tokens"] == 0
    assert cost["scout/forward_tokens"] == sum(len(str(p.content)) + 1 + len(label(p.id)) for p in POOL)
    assert run.request(2) == {} and run.scout.metrics(2) == {}, "the selection is static"


@pytest.mark.parametrize("ranks", [1, 2, 7])
def test_nothing_depends_on_the_number_of_ranks(tmp_path: Path, ranks: int) -> None:
    run = Run(tmp_path, LabelOracle(), ranks=ranks)
    run.request()
    assert run.data.found == {prompt.id: pytest.approx(expected(label(prompt.id)), rel=1e-6) for prompt in POOL}


def test_what_has_no_label_or_no_room_is_in_no_zone_and_counted(tmp_path: Path) -> None:
    run = Run(tmp_path, LabelOracle(none=["p/1"]), context=8)  # p/5 has 6 characters, a prefix and a label of 3
    run.request()
    assert run.data.found.keys() == {"p/0", "p/2", "p/3", "p/4"}
    cost = run.scout.metrics(1)
    assert (cost["scout/without_target"], cost["scout/too_long"], cost["scout/forwards"]) == (1, 1, 4)
    with pytest.raises(UserError, match=r"none of 6 prompts could be scored: 6 have no label"):
        Run(tmp_path, LabelOracle(none=[prompt.id for prompt in POOL])).request()


def test_votes_are_scored_where_no_label_is_owned_and_no_other_label_is_seen(tmp_path: Path) -> None:
    sections = {"select": {"kind": "ufo", "prefix": "#", "target": "pseudo_answer"}, "label": {"kind": "vote"}}
    run = Run(tmp_path, oracle := LabelOracle(owned=["p/2"]), **sections)
    sampled = run.request()
    assert oracle.bought == []
    asked = {prompt.id: target for prompt, target in run.tokeniser.asked}
    # the policy answers aaab, abcd and aabb; to what it is not asked, aabb
    assert asked == {"p/0": "a", "p/1": "a", "p/2": label("p/2"), "p/3": "a", "p/4": "a", "p/5": "a"}
    assert sampled.keys() == asked.keys() - {"p/2"}, "an owned label needs no rollouts"
    cost = run.scout.metrics(1)
    assert cost["scout/rollouts"] == 5 * 4 and cost["scout/forwards"] == 6
    sources = {record["prompt_id"]: record["label_source"] for record in run.records()}
    assert sources == {name: "gold" if name == "p/2" else "vote" for name in asked}


def test_why_prompts_were_chosen_is_kept(tmp_path: Path) -> None:
    run = Run(tmp_path, LabelOracle())
    run.request()
    records = run.records()
    assert [record["prompt_id"] for record in records] == [prompt.id for prompt in POOL]
    assert all((r["step"], r["version"], r["model"]) == (1, 3, fingerprint(TINY)) for r in records)
    values = [record["certainty"] for record in records]
    middle = sum(values) / len(values)
    assert [record["score"] for record in records] == pytest.approx([1 - (value - middle) ** 2 for value in values])
    nearest = sorted(POOL, key=lambda prompt: abs(expected(label(prompt.id)) - middle))[:3]
    assert {r["prompt_id"] for r in records if r["selected"]} == {prompt.id for prompt in nearest}
    assert [record["target_tokens"] for record in records] == [1, 2, 3, 1, 2, 3]
    names = [prompt.id for prompt in POOL]
    assert certainties(run.path, 1, names) == dict(zip(names, values, strict=True))
    assert certainties(run.path, 0, [POOL[0].id]) == {}


def test_a_log_prob_that_is_no_number_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "TABLE", np.full(128, np.nan, np.float32))
    with pytest.raises(RunError, match=r"prompt p/\d cannot be scored: a log-prob"):
        Run(tmp_path, LabelOracle()).request()
