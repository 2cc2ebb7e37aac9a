"""The verifier on all of GSM8K: published solutions are accepted, solutions with another final answer are not."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from effrl.protocols import Verdict
from effrl.reward import verifiers
from effrl.types import Status

FOLDER = Path(__file__).parents[4] / "shared" / "data" / "gsm8k"
ROWS = 8_792


@dataclass(frozen=True, slots=True)
class Solution:
    """A worked solution and its final answer, cut apart without the code under test."""

    work: str
    final: str

    @property
    def value(self) -> Decimal:
        return Decimal(self.final.replace(",", ""))

    def ending(self, final: str) -> str:
        return f"{self.work}\n#### {final}"


@pytest.fixture(scope="module")
def solutions() -> list[Solution]:
    files = [FOLDER / "train.jsonl", FOLDER / "test.jsonl"]
    if missing := [str(file) for file in files if not file.exists()]:
        pytest.skip(f"GSM8K IS NOT THERE: the verifier goes unchecked on real data; looked for {', '.join(missing)}")
    answers = [json.loads(line)["answer"] for file in files for line in file.read_text().splitlines()]
    return [Solution(*answer.split("\n#### ")) for answer in answers]


def judged(completion: str, solution: Solution) -> Verdict:
    """Against the label as published: the whole worked solution."""
    return verifiers.math(completion, solution.ending(solution.final), {})


FORMS: dict[str, Callable[[Solution], str]] = {
    "as published": lambda s: s.ending(s.final),
    "boxed": lambda s: f"{s.work}\nSo the answer is \\boxed{{{s.final}}}.",
    "one hash": lambda s: f"{s.work}\n#{s.final}",
    "no thousands separators": lambda s: s.ending(s.final.replace(",", "")),
    "thousands separators": lambda s: s.ending(f"{s.value:,}"),
    "dollars": lambda s: s.ending(f"${s.final}"),
    "sentence": lambda s: s.ending(f"{s.final}."),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_worked_solution_is_accepted(solutions: list[Solution], form: str) -> None:
    refused = [s.final for s in solutions if judged(FORMS[form](s), s).outcome != 1]
    print(f"\nGSM8K, {form}: {len(solutions) - len(refused):,} of {len(solutions):,} accepted")
    assert len(solutions) == ROWS
    assert refused == []


def _intermediates(solution: Solution) -> Iterator[str]:
    """Results of calculations on the way that differ from the final answer in value."""
    for number in re.findall(r"=(-?[\d,]*\.?\d+)>>", solution.work):
        if Decimal(number.replace(",", "")) != solution.value:
            yield number


MUTATIONS: dict[str, Callable[[Solution], list[str]]] = {
    "plus one": lambda s: [str(s.value + 1)],
    "minus one": lambda s: [str(s.value - 1)],
    "times ten": lambda s: [str(s.value * 10)] if s.value else [],
    "sign flipped": lambda s: [str(-s.value)] if s.value else [],
    "an intermediate number": lambda s: list(_intermediates(s)),
}


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
