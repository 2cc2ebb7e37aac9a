"""Who is bought, who is voted on and who is dropped."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reads import answered, ids_of, replies, step_of

from effrl.config.schema import Config
from effrl.label.build import labeller
from effrl.label.gold import GoldLabeller
from effrl.label.selective import SelectiveLabeller, allowance, at_random
from effrl.label.vote import majority
from effrl.questions import Question, Reply
from effrl.types import Decision, Judged, ReadGroup, Step, View


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

    async def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[str | None]:
        return [f"true-{name}" if name in self.mine else None for name in prompt_ids]


GROUPS = [answered("a", "1", "1", "2"), answered("b", "3", None, "3"), answered("c", None, None, None)]


STEP, VIEWS = step_of(1), [View()] * 3


def by_name(step: Step, groups: Sequence[ReadGroup]) -> list[float]:
    """Later names are wanted more."""
    return [float(ord(read.group.prompt.id)) for read in groups]


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
        ("vote", [("vote", "1"), ("vote", "3"), ("bought", "true-c")]),
        ("drop", [("drop", None), ("drop", None), ("bought", "true-c")]),
    ],
)
async def test_the_highest_ranked_is_bought(rest: str, expected: list[tuple[str, str | None]]) -> None:
    judged = await SelectiveLabeller(Shop(), by_name, share=1 / 3, rest=rest).assign(STEP, GROUPS, VIEWS)  # type: ignore[arg-type]
    assert told(judged) == expected


async def test_what_is_owned_leaves_the_ranking_and_costs_nothing() -> None:
    shop = Shop(owned=["c"])
    judged = await SelectiveLabeller(shop, by_name, share=1 / 3, rest="vote").assign(STEP, GROUPS, VIEWS)
    assert told(judged) == [("vote", "1"), ("bought", "true-b"), ("bought", "true-c")]
    assert shop.asked == ["b"]


async def test_a_spent_budget_leaves_votes() -> None:
    judged = await SelectiveLabeller(Shop(stock=0), by_name, share=1.0, rest="vote").assign(STEP, GROUPS, VIEWS)
    assert told(judged) == [("vote", "1"), ("vote", "3"), ("drop", None)]
    assert judged[2].decision is Decision.DROP
    assert judged[2].reason == "no answer to vote on, and no label: the budget is spent"


async def test_a_dropped_group_says_why_it_has_no_label() -> None:
    judged = await SelectiveLabeller(Shop(stock=0), by_name, share=1 / 3, rest="drop").assign(STEP, GROUPS, VIEWS)
    assert [entry.reason for entry in judged] == [*["no label: not chosen"] * 2, "no label: the budget is spent"]


async def test_votes_alone_never_ask() -> None:
    shop = Shop()
    await SelectiveLabeller(shop, by_name, share=0.0, rest="vote").assign(STEP, GROUPS, VIEWS)
    assert shop.asked == []


@given(st.floats(0, 1), st.integers(1, 64), st.integers(1, 200))
def test_allowances_add_up_to_the_share(share: float, groups: int, steps: int) -> None:
    total = sum(allowance(share, step, groups) for step in range(1, steps + 1))
    assert abs(total - share * groups * steps) < 1 + 1e-6
    assert total <= share * groups * steps + 1e-6


def test_a_small_share_buys_now_and_then() -> None:
    assert [allowance(0.01, step, 32) for step in range(1, 8)] == [0, 0, 0, 1, 0, 0, 1]


def test_random_ranks_repeat_for_a_seed_and_change_with_the_step() -> None:
    rank = at_random(3)
    assert rank(STEP, GROUPS) == at_random(3)(STEP, GROUPS) != rank(step_of(2), GROUPS)
    assert rank(STEP, GROUPS) != at_random(4)(STEP, GROUPS)


@pytest.mark.parametrize(
    ("label", "share", "rest"),
    [
        ({"kind": "vote"}, 0.0, "vote"),
        ({"kind": "random", "budget": {"per_step": 0.5}, "rest": "drop"}, 0.5, "drop"),
    ],
)
def test_a_config_makes_its_labeller(label: dict[str, object], share: float, rest: str) -> None:
    config = Config.model_validate({"data": {"train": "tasks:chain"}, "label": label, "rollout": {"refill": 0}})
    made = labeller(config, Shop())
    assert isinstance(made, SelectiveLabeller) and (made.share, made.rest) == (share, rest)


def test_a_labeller_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "plugins"))
    config = Config.model_validate(
        {"data": {"train": "tasks:chain"}, "label": {"kind": "label_plugins:made"}, "rollout": {"refill": 0}}
    )
    assert labeller(config, Shop()) == ("made", config)
