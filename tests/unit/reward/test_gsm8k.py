"""The verifier on all of GSM8K: published solutions are accepted, solutions with another final answer are not."""

from decimal import Decimal

import pytest

from effrl.protocols import Verdict
from effrl.reward import verifiers
from effrl.types import Status
from tests.gsm8k import FORMS, MUTATIONS, ROWS, NotThere, Solution, published


@pytest.fixture(scope="module")
def solutions() -> list[Solution]:
    try:
        return published()
    except NotThere as error:
        pytest.skip(str(error))


def judged(completion: str, solution: Solution) -> Verdict:
    """Against the label as published: the whole worked solution."""
    return verifiers.math(completion, solution.ending(solution.final), {})


@pytest.mark.parametrize("form", FORMS)
def test_every_worked_solution_is_accepted(solutions: list[Solution], form: str) -> None:
    refused = [s.final for s in solutions if judged(FORMS[form](s), s).outcome != 1]
    print(f"\nGSM8K, {form}: {len(solutions) - len(refused):,} of {len(solutions):,} accepted")
    assert len(solutions) == ROWS
    assert refused == []


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_other_finals_are_rejected(solutions: list[Solution], mutation: str) -> None:
    cases = [(s, final) for s in solutions for final in MUTATIONS[mutation](s)]
    assert len(cases) > 0.8 * ROWS
    assert all(Decimal(final.replace(",", "")) != s.value for s, final in cases)
    verdicts = [judged(s.ending(final), s) for s, final in cases]
    rejected = sum(verdict.outcome == 0 and verdict.status is Status.OK for verdict in verdicts)
    print(f"\nGSM8K, {mutation}: {rejected:,} of {len(cases):,} rejected")
    assert rejected >= 0.999 * len(cases)


def test_work_without_a_final_answer_is_not_searched_for_one(solutions: list[Solution]) -> None:
    read = [s.work for s in solutions if judged(s.work, s).status is not Status.UNPARSEABLE]
    # One solution speaks of horses by number, "horse #12" the last of them.
    assert ["horse #12" in work for work in read] == [True]
