"""What becomes of a run whose label budget is spent: it is told once, and goes on as long as a label is owned."""

import pytest
from reads import answered, step_of

from actors.driver.labelling import BudgetWatch
from effrl.advantage.build import advantages
from effrl.batch import Batch
from effrl.config.advantage import GrpoAdvantage
from effrl.questions import Account
from effrl.types import Decision, Judged, ScoredGroup

OPEN = Account(bought=2, bought_total=4, open=0, budget_left=1.5, price=1.0)
SPENT = Account(bought=0, bought_total=4, open=0, budget_left=0.5, price=1.0)
ASKED = Account(bought=0, bought_total=0, open=1, budget_left=0.5, price=1.0)
NOTHING = Account(bought=0, bought_total=0, open=0, budget_left=0.5, price=1.0)


def batch(*decisions: Decision) -> Batch:
    made = Batch(1, len(decisions), 0.0, advantages(GrpoAdvantage()))
    for name, decision in zip("abc", decisions, strict=False):
        query = name if decision is Decision.PARK else None
        made.add([ScoredGroup(Judged(answered(name, "1"), decision, query=query), ())])
    return made


DROPPED, WAITING = batch(Decision.DROP, Decision.DROP), batch(Decision.DROP, Decision.PARK)


@pytest.mark.parametrize(
    ("account", "settled", "learned", "exhausted"),
    [
        (NOTHING, DROPPED, False, True),
        (NOTHING, DROPPED, True, False),
        (NOTHING, WAITING, False, False),
        (ASKED, DROPPED, False, False),
        (SPENT, DROPPED, False, False),
        (OPEN, DROPPED, False, False),
    ],
    ids=["nothing left", "replayed groups teach", "a group waits", "an answer may come", "owned", "affordable"],
)
def test_a_run_is_exhausted_only_where_no_group_can_have_a_label(
    account: Account, settled: Batch, learned: bool, exhausted: bool
) -> None:
    watch = BudgetWatch(lambda _: None)
    watch.step(step_of(1), settled, learned, account)
    assert watch.exhausted is exhausted


def test_that_the_budget_is_spent_is_told_once_and_not_after_the_last_step() -> None:
    said: list[str] = []
    watch = BudgetWatch(said.append)
    for number, account in enumerate((OPEN, SPENT, SPENT), start=1):
        watch.step(step_of(number), DROPPED, False, account)
        assert len(said) == (number >= 2)
    assert said[0].startswith("the label budget is spent: 4 labels are owned")
    BudgetWatch(said.append).step(step_of(60, of=60), DROPPED, False, SPENT)
    assert len(said) == 1
