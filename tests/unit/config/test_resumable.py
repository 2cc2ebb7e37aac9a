"""What may change when a run goes on."""

from typing import Any

import pytest
from pydantic import BaseModel

from effrl.config.resumable import MAY_CHANGE, changed_for_good
from effrl.config.schema import Config


def config(**sections: Any) -> Config:
    return Config.model_validate({"data": {"train": "tasks:chain"}, **sections})


@pytest.mark.parametrize("field", MAY_CHANGE)
def test_what_may_change_is_there(field: str) -> None:
    """Or a renamed field would be refused without anybody noticing."""
    node: Any = config(process={"kind": "implicit_prm"})
    for name in field.split("."):
        assert isinstance(node, BaseModel) and name in type(node).model_fields
        node = vars(node)[name]


def test_how_long_it_runs_and_what_on_may_change() -> None:
    after = config(
        run={"steps": 90, "sinks": []},
        eval={"every": 3},
        label={"budget": {"total": 7}, "ledger": "/a"},
        cluster={"nodes": 2},
    )
    assert changed_for_good(config(), after) == {}
    assert changed_for_good(config(), config(data={"train": "tasks:chain", "eval": "d.jsonl"})) == {}


def test_what_is_learned_may_not() -> None:
    assert changed_for_good(config(), config(learn={"lr": 1e-5, "betas": [0.8, 0.9]})) == {
        "learn.lr": (1e-6, 1e-5),
        "learn.betas": ([0.9, 0.95], [0.8, 0.9]),
    }


def test_of_another_kind_only_that_is_told() -> None:
    after = config(select={"kind": "band", "low": 0.2}, label={"kind": "vote"})
    assert changed_for_good(config(), after) == {"select.kind": ("uniform", "band"), "label.kind": ("gold", "vote")}


def test_a_section_that_was_not_there() -> None:
    assert list(changed_for_good(config(), config(replay={"fresh": 0.5}))) == ["replay"]
