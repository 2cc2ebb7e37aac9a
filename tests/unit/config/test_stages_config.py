"""The config of each stage is a validated merge, and what cannot work is one line when the file is loaded."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.config import load
from effrl.config.overrides import override
from effrl.config.schema import Config
from effrl.config.stages import UNLIMITED, EasySplit
from effrl.errors import UserError
from effrl.stages import stretches

PSEUDO = "{name: self, epochs: 1, rounds: 2, pool: {kind: pseudo}}"


def loaded(stages: str, *overrides: str) -> Config:
    return load.validate(override({"data": {"train": "tasks:chain"}}, [f"stages={stages}", *overrides]), "run.yaml")


def test_a_stage_s_config_is_the_run_s_with_what_it_sets() -> None:
    run = loaded("[{name: a, steps: 3}, {name: b, steps: 4, set: {learn.lr: 1e-5, select: {kind: thompson}}}]")
    first, second = run.parts
    assert (first.run.steps, second.run.steps, run.run.steps) == (3, 4, 7)
    assert second.learn.lr == 1e-5 and second.select.kind == "thompson" and first.learn.lr == run.learn.lr
    same = {"learn": {"lr"}, "select": True, "run": {"steps"}, "stages": True}
    assert second.model_dump(exclude=same) == run.model_dump(exclude=same)


def test_another_kind_begins_with_its_defaults_and_keeps_the_ledger_and_the_budget() -> None:
    run = loaded(
        "[{name: a, steps: 3, set: {label.kind: vote}}, {name: b, steps: 3, set: {label: {buy: care, rest: drop}}}]",
        "label.budget.total=9",
        "label.ledger=/tmp/ledger.sqlite",
        "rollout.refill=0",
    )
    for part in run.parts:
        assert (part.label.ledger, part.label.budget.total) == ("/tmp/ledger.sqlite", 9)
    assert [part.label.kind for part in run.parts] == ["vote", "active"]


def test_the_length_of_a_stage_in_epochs_is_known_with_its_pool() -> None:
    run = loaded(f"[{PSEUDO}]", "rollout.prompts=32")
    (stage,) = run.stages
    assert run.run.steps == UNLIMITED and run.of(stage, pool=65).run.steps == 3
    assert run.of(stage, pool=64).run.steps == 2 and run.of(stage, pool=1).run.steps == 1
    assert [stretch.name for stretch in stretches(run.stages)] == ["self.1", "self.2"]
    assert loaded(f"[{PSEUDO}]", "run.steps=5").run.steps == 5, "a limit"


@given(st.integers(1, 10_000), st.floats(0.001, 0.999))
def test_some_are_easy_and_no_more_than_there_are(prompts: int, share: float) -> None:
    count = EasySplit(share=share).count(prompts)
    assert 1 <= count <= prompts and count - 1 <= share * prompts <= count + 1


@pytest.mark.parametrize(
    ("stages", "line"),
    [
        ("[{name: a, steps: 2, set: {model.path: x}}]", "a stage cannot set model.path, but select, label"),
        ("[{name: a, steps: 2, set: {lern.lr: 1}}]", "a stage cannot set lern.lr, but select, label"),
        ("[{name: a, steps: 2, set: {learn.lr: -1}}]", "stage a: learn.lr: input should be greater than 0"),
        ("[{name: a, steps: 2, set: {select.kind: dts}}]", "stage a: unknown kind select.kind=dts; did you mean"),
        ("[{name: a, steps: 2, set: {learn.warmup: 5}}]", "stage a: learn.warmup (5) leaves no step"),
        ("[{name: a}]", "stage a needs a length: set steps or epochs"),
        ("[{name: a, steps: 1, epochs: 1}]", "stage a needs a length: set steps or epochs"),
        ("[{name: a, steps: 2, rounds: 2}]", "stage a has 2 rounds, which are of a pool that the model labels"),
        ("[{name: a, steps: 2}, {name: a, steps: 3}]", "two stages are called a"),
        ("[{name: a b, steps: 2}]", "letters, digits, - and _ alone"),
        ("[{name: scout, steps: 2}]", "choose another name"),
        ("[{name: a, steps: 2, pool: owned}]", "let a stage before it buy some"),
        ("[{name: a, steps: 2, pool: esay}]", "did you mean 'easy'?"),
        ("{name: a, steps: 2}", "write a list"),
        ("[{name: a, steps: 2, set: {label.ledger: /tmp/other.sqlite}}]", "are the whole run's"),
        ("[{name: a, steps: 2, set: {process: {kind: implicit_prm}}}]", "process is trained through the whole run"),
        ("[{name: a, steps: 2, pool: {kind: pseudo}, set: {select.kind: ufo}}]", "set select.target=own_sample"),
    ],
)
def test_what_cannot_work_is_one_line(stages: str, line: str) -> None:
    with pytest.raises(UserError) as error:
        loaded(stages)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_labels_of_a_model_s_own_need_a_reward_that_tells_answers() -> None:
    with pytest.raises(UserError, match="does not tell"):
        loaded(f"[{PSEUDO}]", "reward.kind=my.rewards:score")


def test_a_round_trip_keeps_stages() -> None:
    run = loaded(f"[{{name: a, steps: 3, pool: easy, set: {{learn.lr: 1e-5}}}}, {PSEUDO}]", "easy.column=level")
    raw: dict[str, Any] = run.model_dump(mode="json")
    assert load.validate(raw, "again") == run
