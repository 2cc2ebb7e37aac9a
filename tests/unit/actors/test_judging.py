"""The judge's scores: against a naive reading with transformers, and each in the place of its sample."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_actor import Handle
from reads import ROLLOUT, unread
from transformers import AutoModelForCausalLM, AutoTokenizer

import effrl
from actors import role
from actors.driver.judging import judged
from actors.prm.judge import PrmJudge
from effrl.config.process import ImplicitPrm
from effrl.config.schema import Config
from effrl.errors import RunError
from effrl.evaluation import Graded
from effrl.learn.packing import pad, unweighted
from effrl.models import TINY
from effrl.preflight.judge import Judge
from effrl.types import Group, Prompt, Score, Status

TEXTS = ("12+34=46;#46", "12-34=-22;-22+1=-21;#-21", "#", "12")


@pytest.fixture(autouse=True)
def no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # this process keeps its own output


@pytest.fixture
def judge(random_model: Path) -> Judge:
    process = ImplicitPrm(beta=0.5, separator=";")
    return Judge("runs/demo, step 10", random_model, TINY, process, temperature=0.7, dtype="float32")


def started(judge: Judge, tmp_path: Path) -> PrmJudge:
    actor = PrmJudge("judge", tmp_path, effrl.__version__, judge)
    actor.start()
    return actor


def tokens(text: str) -> np.ndarray[Any, Any]:
    """With the token of the end."""
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    ids = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    return np.array(ids, np.int32)


def naive(judge: Judge, prompt: str, completion: str) -> float:
    """One sequence at a time, from whole distributions, and steps cut out of the text itself."""
    asked, ids = tokens(prompt)[:-1], tokens(completion)
    logprobs = []
    for path in (judge.prm, judge.reference):
        model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64)
        text = torch.tensor(np.concatenate([asked, ids]), dtype=torch.long)
        with torch.no_grad():
            distribution = torch.log_softmax(model(text[None]).logits[0] / judge.temperature, -1)
        rows = range(len(asked) - 1, len(text) - 1)
        logprobs.append([float(distribution[row, text[row + 1]]) for row in rows])
    rewards = [judge.process.beta * (one - other) for one, other in zip(*logprobs, strict=True)]
    steps, step = [], 0.0
    for reward, character in zip(rewards, [*completion, ""], strict=True):
        step += reward
        if character == ";":
            steps.append(step)
            step = 0.0
    return min([*steps, step])


def test_scores_are_those_of_a_naive_reading(judge: Judge, tmp_path: Path) -> None:
    """Of rows of different lengths in one micro-batch, and in another one."""
    asked = tokens("6d26-22=")[:-1]
    rows = [unweighted(np.concatenate([asked, tokens(text)]), len(asked)) for text in TEXTS]
    actor = started(judge, tmp_path)
    found = actor.score([pad(rows[:3]), pad(rows[3:])])
    assert [len(batch) for batch in found] == [3, 1]
    scores = [score for batch in found for score in batch]
    assert scores == pytest.approx([naive(judge, "6d26-22=", text) for text in TEXTS], abs=1e-5)
    assert len({round(score, 4) for score in scores}) == 4, "they differ: the models do"


def test_a_model_is_worth_nothing_against_itself(judge: Judge, tmp_path: Path) -> None:
    asked = tokens("6d26-22=")[:-1]
    actor = started(replace(judge, reference=judge.prm), tmp_path)
    assert actor.score([pad([unweighted(np.concatenate([asked, tokens("12;#1")]), len(asked))])]) == [[0.0]]


def test_rewards_that_are_no_numbers_pick_nothing(judge: Judge, tmp_path: Path) -> None:
    actor = started(judge, tmp_path)
    with torch.no_grad():
        next(actor.reader.prm.module.parameters()).fill_(math.nan)
    with pytest.raises(RunError, match="the PRM of runs/demo, step 10 gives rewards that are no numbers"):
        actor.score([pad([unweighted(tokens("12;#1"), 2)])])


# --- in the place of the engines


class Cluster:
    """What judging needs of a cluster: an actor in this process, whose scores tell the row that they are of."""

    def __init__(self) -> None:
        self.config = Config.model_validate({"data": {"train": "tasks:chain"}})
        self.batches: list[Any] = []

    async def judged_by(self, judge: Judge) -> dict[str, Any]:
        return {"judge": Handle(self)}

    def score(self, batches: Sequence[Any]) -> list[list[float]]:
        self.batches += batches
        return [[float(ids[mask > 0].sum()) for ids, mask in zip(b.ids, b.mask, strict=True)] for b in batches]


def graded(*lengths: int) -> Graded:
    """A prompt of two tokens and samples of so many, whose ids are all the sample's number from 1."""
    rollouts = tuple(
        replace(ROLLOUT, token_ids=np.full(n, place + 1, np.int32), logprobs=np.zeros(n, np.float32))
        for place, n in enumerate(lengths)
    )
    group = Group("p", Prompt("p", "?"), np.array([90, 91], np.int32), rollouts, "eval")
    return Graded(unread(group), "7", tuple(Score(0.0, 0.0, Status.OK) for _ in rollouts))


async def test_every_sample_gets_its_own_score_and_an_empty_one_the_worst(judge: Judge) -> None:
    cluster: Any = Cluster()
    told: list[str] = []
    found = await judged({"dev": [graded(3, 1, 0), graded(0)], "test": [graded(400, 700)]}, judge, cluster, told.append)
    assert [entry.prm for entry in found["dev"]] == [(3.0, 2.0, -math.inf), (-math.inf,)]
    assert [entry.prm for entry in found["test"]] == [(400.0, 1400.0)]
    assert told == ["starting the PRM", "the PRM reads 4 samples"]
    assert all(batch.ids.size <= 1024 for batch in cluster.batches), "what a CPU is fast with"


async def test_where_there_is_nothing_to_read_nothing_is(judge: Judge) -> None:
    cluster: Any = Cluster()
    found = await judged({"dev": [graded(0, 0)]}, judge, cluster, lambda _: None)
    assert found["dev"][0].prm == (-math.inf, -math.inf) and cluster.batches == []
