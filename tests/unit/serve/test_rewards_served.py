"""Scores over HTTP: those of the run's reward, and of a PRM that tells its steps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from policy_server import TOKEN

from deploy.serve.rewards.app import Scorers, rewards_app
from deploy.serve.rewards.bodies import SolutionsBody, StepScore
from deploy.serve.rewards.scorers import OutcomeScorer, StepScorer, Unreadable, Worth
from deploy.serve.rewards.whole import RewardsWish, whole_rewards
from effrl.config.process import ImplicitPrm
from effrl.config.reward import MathReward
from effrl.errors import UserError
from effrl.models import TINY
from effrl.preflight.judge import Judge
from effrl.types import Score, Status


class ByLength:
    """JudgesOutcomes and worths that can be worked by hand."""

    def score(self, item: SolutionsBody) -> list[Score]:
        return [Score(float(text == item.label), None, Status.OK, text) for text in item.completions]


class Lengths:
    """A PRM that likes short texts, and reads no x."""

    def score(self, item: SolutionsBody) -> list[Worth | None]:
        if any("x" in text for text in item.completions):
            raise Unreadable("x is not read")
        worths = [-float(len(text)) for text in item.completions]
        return [([StepScore(text="a", reward=worth)], worth) if worth else None for worth in worths]


def client_of(scorers: Scorers) -> TestClient:
    app = rewards_app(lambda: scorers, 4, TOKEN)
    return TestClient(app, raise_server_exceptions=False, headers={"Authorization": f"Bearer {TOKEN}"})


@pytest.fixture
def both() -> Iterator[TestClient]:
    with client_of(Scorers("runs/a", ByLength(), "runs/b", Lengths())) as client:
        yield client


@pytest.fixture
def outcomes() -> Iterator[TestClient]:
    with client_of(Scorers("runs/a", ByLength())) as client:
        yield client


def score(client: TestClient, *items: dict[str, Any]) -> Any:
    return client.post("/v1/score", json={"items": items})


def test_outcomes_steps_and_the_best(both: TestClient) -> None:
    reply = score(both, {"completions": ["46", "", "1"], "label": "46"}, {"completions": ["aa", "b"]})
    assert reply.status_code == 200 and (reply.json()["reward"], reply.json()["prm"]) == ("runs/a", "runs/b")
    first, second = reply.json()["items"]
    assert [entry["outcome"] for entry in first["scores"]] == [1.0, 0.0, 0.0] and first["best"] == 2
    assert [entry["worth"] for entry in first["scores"]] == [-2.0, None, -1.0]
    assert first["scores"][0]["steps"] == [{"text": "a", "reward": -2.0}] and first["scores"][1]["steps"] is None
    assert second["best"] == 1 and [entry["outcome"] for entry in second["scores"]] == [None, None]


def test_without_a_prm_a_label_is_needed(outcomes: TestClient) -> None:
    reply = score(outcomes, {"completions": ["46"], "label": "46"}).json()
    assert reply["prm"] is None and reply["items"][0]["best"] is None
    refused = score(outcomes, {"completions": ["46"], "label": "46"}, {"completions": ["46"]})
    assert refused.status_code == 400 and refused.json()["error"]["message"].startswith("items.1 has no label")


def test_what_a_prm_cannot_read_is_a_bad_request(both: TestClient) -> None:
    refused = score(both, {"completions": ["x"], "label": "46"})
    assert refused.status_code == 400 and refused.json()["error"]["message"] == "x is not read"


@pytest.mark.parametrize(
    "item",
    [{"completions": []}, {"completions": ["a"], "labels": "a"}, {"completions": ["a"] * 65}, {"completions": "a"}],
)
def test_what_does_not_fit_is_refused(both: TestClient, item: dict[str, Any]) -> None:
    assert score(both, item).status_code == 422


def test_without_the_token_nobody_gets_in(both: TestClient) -> None:
    del both.headers["Authorization"]
    assert score(both, {"completions": ["a"]}).status_code == 401
    assert both.get("/healthz").json() == {"status": "ok", "reward": "runs/a", "prm": "runs/b"}


def test_the_reward_is_the_run_s(tmp_path: Path) -> None:
    """In its own sandbox: a verifier that hangs costs its completion."""
    scorer = OutcomeScorer(MathReward(workers=1))
    right, wrong, none = scorer.score(SolutionsBody(completions=["#46", "#45", "hm"], label="46"))
    assert (right.outcome, wrong.outcome, none.status) == (1.0, 0.0, Status.UNPARSEABLE)


def test_steps_are_those_of_the_prm(random_model: Path) -> None:
    """They make the text, the worst is what it is worth, and no completion depends on those beside it."""
    judge = Judge("runs/demo", random_model, TINY, ImplicitPrm(beta=0.5, separator=";"), 0.7, "float32")
    scorer = StepScorer(judge)
    texts = ["12+34=46;#46", " ", "12-34=-22;-22+1=-21;#-21"]
    found = scorer.score(SolutionsBody(prompt="12+34=", completions=texts))
    assert found[1] is None
    for text, worth in zip(texts, found, strict=True):
        if worth is not None:
            steps, least = worth
            assert [step.text for step in steps] == [part for part in text.replace(";", ";\0").split("\0")]
            assert least == pytest.approx(min(step.reward for step in steps))
            [alone] = scorer.score(SolutionsBody(prompt="12+34=", completions=[text]))
            assert alone is not None and alone[1] == pytest.approx(least, abs=1e-5)
    with pytest.raises(Unreadable, match="was made for 2048"):
        scorer.score(SolutionsBody(prompt="1" * 2000, completions=["1" * 100]))


def test_what_is_no_run_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no run"):
        whole_rewards(RewardsWish(run=str(tmp_path)), None)
