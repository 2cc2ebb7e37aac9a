"""Who is bought, who is voted on and who is dropped."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reads import Blind, answered, ids_of, replies, step_of

from effrl.config.schema import Config
from effrl.label.active import ActiveLabeller, carried, whole
from effrl.label.build import labeller
from effrl.label.buy.at_random import RandomBuyer
from effrl.label.buy.fixed import FixedBuyer
from effrl.label.gold import GoldLabeller
from effrl.label.halves import Candidate, Filter, Rank, Untaught
from effrl.label.rest.drop import DropFilter
from effrl.label.rest.gate import GateFilter
from effrl.label.rest.trapo import TrapoFilter
from effrl.label.rest.vote import VoteFilter
from effrl.label.vote import majority
from effrl.questions import Label, Question, Reply, Standing
from effrl.stateless import StatelessPart
from effrl.types import Decision, Judged, Step, View


class Shop:
    """An oracle that sells ``true-NAME`` until its stock is sold, and remembers who asked."""

    def __init__(self, stock: int = 99, owned: Sequence[str] = ()) -> None:
        self.stock = stock
        self.mine = set(owned)
        self.asked: list[str] = []

    async def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        names = ids_of(questions)
        self.asked += names
        sold = names[: self.stock]
        self.stock -= len(sold)
        self.mine |= set(sold)
        return replies([f"true-{name}" if name in sold else None for name in names])

    async def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        return [Label(f"true-{name}") if name in self.mine else None for name in prompt_ids]


GROUPS = [answered("a", "1", "1", "2"), answered("b", "3", None, "3"), answered("c", None, None, None)]


STEP, VIEWS = step_of(1), [View()] * 3


class ByName(StatelessPart, Untaught):
    """A buyer that wants later names more."""

    name = "buyer"

    async def rank(self, step: Step, candidates: Sequence[Candidate]) -> list[Rank]:
        return [Rank(float(ord(entry.prompt_id))) for entry in candidates]


def buys(shop: Shop, share: float, rest: Filter) -> ActiveLabeller:
    """A labeller that buys by name."""
    return ActiveLabeller(shop, ByName(), rest, whole(share), longest=8)


def told(judged: Sequence[Judged]) -> list[tuple[str, str | None]]:
    return [
        (entry.supervision.source, entry.supervision.answer) if entry.supervision else ("drop", None)
        for entry in judged
    ]


def test_the_majority_is_the_largest_cluster() -> None:
    vote = majority(GROUPS[0])
    assert vote is not None and (vote.source, vote.answer, vote.cluster) == ("vote", "1", 0)
    assert majority(GROUPS[2]) is None, "nobody answered"


def test_of_equal_clusters_the_first_wins() -> None:
    """Property 6 of CARE."""
    vote = majority(answered("a", "2", "1", "1", "2"))
    assert vote is not None and vote.answer == "2"


async def test_gold_buys_everything_it_can() -> None:
    assert told(await GoldLabeller(Shop(stock=2)).assign(STEP, GROUPS, VIEWS)) == [
        ("gold", "true-a"),
        ("gold", "true-b"),
        ("drop", None),
    ]


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        (VoteFilter(), [("vote", "1"), ("vote", "3"), ("bought", "true-c")]),
        (DropFilter(), [("drop", None), ("drop", None), ("bought", "true-c")]),
    ],
)
async def test_the_highest_ranked_is_bought(rest: Filter, expected: list[tuple[str, str | None]]) -> None:
    judged = await buys(Shop(), 1 / 3, rest).assign(STEP, GROUPS, VIEWS)
    assert told(judged) == expected


async def test_what_is_owned_leaves_the_ranking_and_costs_nothing() -> None:
    shop = Shop(owned=["c"])
    judged = await buys(shop, 1 / 3, VoteFilter()).assign(STEP, GROUPS, VIEWS)
    assert told(judged) == [("vote", "1"), ("bought", "true-b"), ("bought", "true-c")]
    assert shop.asked == ["b"]


async def test_a_spent_budget_leaves_votes() -> None:
    judged = await buys(Shop(stock=0), 1.0, VoteFilter()).assign(STEP, GROUPS, VIEWS)
    assert told(judged) == [("vote", "1"), ("vote", "3"), ("drop", None)]
    assert judged[2].decision is Decision.DROP
    assert judged[2].reason == "no answer to vote on, and no label: the budget is spent"


async def test_a_dropped_group_says_why_it_has_no_label() -> None:
    judged = await buys(Shop(stock=0), 1 / 3, DropFilter()).assign(STEP, GROUPS, VIEWS)
    assert [entry.reason for entry in judged] == [*["no label: not chosen"] * 2, "no label: the budget is spent"]


async def test_votes_alone_never_ask() -> None:
    shop = Shop()
    await buys(shop, 0.0, VoteFilter()).assign(STEP, GROUPS, VIEWS)
    assert shop.asked == []


@given(st.floats(0, 1), st.integers(1, 64), st.integers(1, 200))
def test_allowances_add_up_to_the_share(share: float, groups: int, steps: int) -> None:
    total = sum(carried(share)(step_of(step), groups) for step in range(1, steps + 1))
    assert abs(total - share * groups * steps) < 1 + 1e-6
    assert total <= share * groups * steps + 1e-6


def test_a_small_share_buys_now_and_then() -> None:
    assert [carried(0.01)(step_of(step), 32) for step in range(1, 8)] == [0, 0, 0, 1, 0, 0, 1]


async def test_random_ranks_repeat_for_a_seed_and_change_with_the_step() -> None:
    candidates = [Candidate(read, View()) for read in GROUPS]
    ranks = await RandomBuyer(3).rank(STEP, candidates)
    assert ranks == await RandomBuyer(3).rank(STEP, candidates)
    assert ranks != await RandomBuyer(3).rank(step_of(2), candidates)
    assert ranks != await RandomBuyer(4).rank(STEP, candidates)


async def test_a_fixed_set_is_the_same_at_every_visit_and_nobody_else_is_bought() -> None:
    names = [f"p{number}" for number in range(400)]
    candidates = [Candidate(answered(name, "1", "2"), View()) for name in names]
    [first, later] = [await FixedBuyer(0.25, 3).rank(step_of(step), candidates) for step in (1, 9)]
    assert first == later
    inside = [name for name, rank in zip(names, first, strict=True) if rank.score is not None]
    assert 75 < len(inside) < 125, "a quarter, give or take two and a half standard deviations"
    larger = await FixedBuyer(0.5, 3).rank(STEP, candidates)
    assert {name for name, rank in zip(names, larger, strict=True) if rank.score is not None} > set(inside)
    assert await FixedBuyer(0.25, 4).rank(STEP, candidates) != first, "another seed draws another set"


@pytest.mark.parametrize(
    ("label", "bought", "rest"),
    [
        ({"kind": "vote"}, 0, VoteFilter),
        ({"kind": "random", "budget": {"per_step": 0.5}, "rest": "drop"}, 16, DropFilter),
        ({"buy": "entropy", "budget": {"per_step": 0.2}}, 7, DropFilter),
        ({"buy": "random", "rest": "vote", "budget": {"per_step": 0.2}}, 7, VoteFilter),
        ({"kind": "care"}, 7, GateFilter),
        ({"buy": "fixed", "rest": "trapo", "budget": {"per_step": 1}}, 32, TrapoFilter),
    ],
)
def test_a_config_makes_its_labeller(label: dict[str, object], bought: int, rest: type) -> None:
    config = Config.model_validate({"data": {"train": "tasks:chain"}, "label": label, "rollout": {"refill": 0}})
    made = labeller(config, Shop(), Blind())
    assert isinstance(made, ActiveLabeller) and isinstance(made.filter, rest)
    assert made.quota(STEP, 32) == bought


def test_a_labeller_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "plugins"))
    config = Config.model_validate(
        {"data": {"train": "tasks:chain"}, "label": {"kind": "label_plugins:made"}, "rollout": {"refill": 0}}
    )
    assert labeller(config, Shop(), Blind()) == ("made", config)
