"""The arms that know what costs money."""

import json

import pytest
import torch
from reads import answered, ids_of, replies, step_of

from effrl.config.schema import Config
from effrl.data.reader import read
from effrl.label.cag import corrective_advantage_gap
from effrl.loss.policy import policy_loss
from effrl.loss.tokens import Tokens
from effrl.questions import Question, Reply
from effrl.reward.reading import membership
from effrl.types import Observation, Prompt, Step, View
from tests.bench.base_table import auc
from tests.bench.plugins import BASE, RandomRewards, TrueDifficulty, oracle_cag, true_gap

PUBLISHED = json.loads(BASE.read_text())["pass_rates"]


def test_the_gap_needs_a_wrong_vote() -> None:
    read_ = answered("p", "1", "1", "2", "3")
    assert true_gap(read_, "1") == 0.0
    assert true_gap(read_, "2") == corrective_advantage_gap(4, 2, 1) > true_gap(read_, "9") == 2.0
    assert true_gap(answered("p", "1", "1"), "2") == 0.0, "a unanimous vote has no gradient to correct"
    assert true_gap(answered("p", None, None), "2") == 0.0


async def test_the_oracle_buys_the_largest_gap() -> None:
    config = Config.model_validate(
        {
            "data": {"train": "tasks:chain?size=3"},
            "label": {"kind": "tests.bench.plugins:oracle_cag", "budget": {"per_step": 0.34}},
            "rollout": {"refill": 0},
        }
    )
    rows = [(row.prompt.id, str(row.label)) for row in read(config.data.train)]
    asked: list[str] = []

    class Shop:
        async def buy(self, step: Step, questions: list[Question]) -> list[Reply]:
            asked.extend(ids_of(questions))
            return replies(["x"] * len(questions))

        async def owned(self, step: Step, prompt_ids: list[str]) -> list[str | None]:
            return [None] * len(prompt_ids)

    (first, gold), (second, _), (third, _) = rows
    groups = [answered(first, gold, gold, "?"), answered(second, "?", "?", "!"), answered(third, "?", "?", "?")]
    await oracle_cag(config, Shop()).assign(step_of(1), groups, [View()] * 3)  # type: ignore[arg-type]
    assert asked == [second], "the first vote is right, the third unanimous"


async def test_random_rewards_are_coins() -> None:
    config = Config.model_validate({"data": {"train": "tasks:chain"}})
    groups = [answered(f"p{n}", *("1",) * 8) for n in range(100)]
    one, two = [
        [membership(judged) for judged in await RandomRewards(config, None).assign(step_of(step), groups, [])]  # type: ignore[arg-type]
        for step in (1, 1)
    ]
    assert one == two, "the same seed, step and prompt"
    mean = sum(score.outcome or 0.0 for scores in one for score in scores) / 800
    assert mean == pytest.approx(0.5, abs=0.06)


def test_true_difficulty_avoids_what_is_solved_or_hopeless() -> None:
    rates = {key: PUBLISHED[key] for key in PUBLISHED if key.startswith("strings/0/")}
    hardest, half = min(rates, key=lambda key: rates[key]), min(rates, key=lambda key: abs(rates[key] - 0.5))
    prompts = [
        Prompt(f"{key}/{n}", "?", {"family": "strings", "level": 0, "kind": key[-1]})
        for key in (hardest, half)
        for n in range(100)
    ]
    chosen = TrueDifficulty(prompts, 1).select(40)
    assert sum(prompt.id.startswith(half) for prompt in chosen) > 30


def test_true_difficulty_follows_what_it_sees_and_resumes() -> None:
    prompts = [Prompt(f"s/{n}", "?", {"family": "strings", "level": 0, "kind": "QRSTUVWX"[n % 8]}) for n in range(64)]
    selector, again = TrueDifficulty(prompts, 1), TrueDifficulty(prompts, 1)
    selector.observe([Observation(prompts[0], 0.0, 8)] * 30)
    assert selector.rates["strings/0/Q"] < 0.01
    selector.select(8)
    again.restore(json.loads(json.dumps(selector.state())))
    assert [prompt.id for prompt in again.select(80)] == [prompt.id for prompt in selector.select(80)]


def test_the_uncorrected_loss_takes_all_for_fresh() -> None:
    generator = torch.Generator().manual_seed(0)
    old, behaviour, advantages = (torch.randn(3, 5, generator=generator) for _ in range(3))
    gradients = []
    for kind, sampled in (("tests.bench.plugins:uncorrected", behaviour), ("clipped", old)):
        logprobs = (old + 0.1).requires_grad_()
        loss = Config.model_validate({"data": {"train": "tasks:chain"}, "loss": {"kind": kind}}).loss
        policy_loss(loss, Tokens(logprobs, old, sampled, advantages, torch.ones(3, 5)))["loss"].backward()
        gradients.append(logprobs.grad)
    torch.testing.assert_close(*gradients)


def test_auc_by_hand() -> None:
    assert auc([0.9, 0.5, 0.5, 0.1], [True, True, False, False]) == (1 + 1 + 0.5 + 1) / 4
    assert auc([0.9], [True]) != auc([0.9], [True]), "not a number without a wrong vote"
