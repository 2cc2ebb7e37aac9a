"""The scout's looks for perplexities: what is scored, at what cost, and what is told of what cannot be."""

import asyncio
from collections.abc import Mapping, Sequence
from math import exp
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import test_look_for_certainties as certainties
from fake_actor import Method
from reads import step_of
from test_look_for_certainties import POOL, TABLE, LabelOracle, Run, Tokeniser

from actors.driver.sampler import Sampler
from effrl.config.template import Form
from effrl.errors import RunError
from effrl.select.perplexity import PerplexitySelector
from effrl.types import Continuation, Prompt


class TextTokeniser(Tokeniser):
    """One token per character, after one of the template's; of p/0 none is the user's."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.user_text_ids = Method(self._own)

    def _own(self, prompts: Sequence[Prompt], form: Form) -> list[Continuation]:
        self.forms.append(form)
        return [_own(prompt) for prompt in prompts]


def _own(prompt: Prompt) -> Continuation:
    ids = np.array([1, *map(ord, str(prompt.content))], np.int32)
    return Continuation(ids, len(ids) if prompt.id == "p/0" else 1)


class Looking(PerplexitySelector):
    """One that asks for all six at once; nobody wants reasons of it."""

    def reasons(self) -> Mapping[str, Any]:
        return {}


def look(path: Path, ranks: int = 2, context: int = 100) -> Run:
    """A run after its first look."""
    run = Run(path, LabelOracle(), ranks, context, select={"kind": "perplexity"}, data=DATA)
    run.data.selector = Looking(POOL, 1, 6, 3)  # type: ignore[assignment]
    run.data.request = Method(run.data.selector.request)
    run.tokeniser = TextTokeniser()
    run.scout.certainty.sampler = Sampler({"rollout-0": run.tokeniser}, 5.0)
    assert run.request() == {}
    return run


DATA = {"train": "tasks:chain", "template": "question"}
EXPECTED = exp(-float(TABLE[ord("x")]))
"""Of a text of equal characters, however long."""


@pytest.mark.parametrize("ranks", [1, 2, 7])
def test_a_look_costs_one_forward_each_and_no_rollout_or_label(tmp_path: Path, ranks: int) -> None:
    run = look(tmp_path, ranks)
    assert run.data.found == {prompt.id: pytest.approx(EXPECTED, rel=1e-6) for prompt in POOL[1:]}
    assert run.sampling.asked == [] and run.oracle.bought == [] and not run.path.exists()
    assert run.tokeniser.forms == [Form("question")]  # type: ignore[attr-defined]
    assert sum(rank.rows for rank in run.ranks.values()) == 5, "p/0 has nothing to score"
    cost = run.scout.metrics(1)
    assert (cost["scout/prompts"], cost["scout/forwards"], cost["scout/forward_tokens"]) == (6, 5, sum(range(3, 8)))
    assert cost["scout/rollouts"] == cost["scout/tokens"] == 0
    assert asyncio.run(run.scout(step_of(1))) == {} and run.scout.metrics(1) == {}, "a refill costs no look"


def test_what_does_not_fit_is_ranked_last_with_what_has_no_token(tmp_path: Path) -> None:
    run = look(tmp_path, context=5)  # p/4 and p/5 have five and six characters, and the template one
    assert run.data.found.keys() == {"p/1", "p/2", "p/3"}
    drawn = [prompt.id for prompt in run.data.selector.select(6)]
    assert drawn == ["p/1", "p/2", "p/3", "p/0", "p/4", "p/5"]


def test_a_log_prob_that_is_no_number_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certainties, "TABLE", np.full(128, np.nan, np.float32))
    with pytest.raises(RunError, match=r"prompt p/\d cannot be scored: a log-prob"):
        look(tmp_path)
