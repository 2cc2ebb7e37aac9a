"""The verifier on answers of the project's 32 rules, right and mutated, in LaTeX, words and Unicode."""

from collections import Counter

import pytest

from effrl.reward import verifiers
from effrl.tasks.source import FAMILIES
from tests.bench.renderings import ANY, NUMBERS, TEXTS, Rendered, rendered, spelled_out


@pytest.fixture(scope="module")
def cases() -> list[Rendered]:
    return list(rendered(per_kind=2))


def judged_right(case: Rendered) -> bool:
    return verifiers.math(case.completion, case.label, {}).outcome == 1


def test_right_answers_are_accepted_in_every_form(cases: list[Rendered]) -> None:
    refused = Counter(case.form for case in cases if case.right and not judged_right(case))
    assert refused == {}


def test_other_answers_are_rejected_in_every_form(cases: list[Rendered]) -> None:
    accepted = [case for case in cases if not case.right and judged_right(case)]
    assert accepted == []


def test_they_are_many_and_of_every_rule(cases: list[Rendered]) -> None:
    assert len(cases) > 2_000
    assert {(case.family, case.kind) for case in cases} == {
        (name, kind) for name, family in FAMILIES.items() for kind in family.KINDS
    }
    assert {case.form for case in cases} == ANY.keys() | NUMBERS.keys() | TEXTS.keys()


def test_numbers_spelled_out() -> None:
    numbers = {0: "zero", 13: "thirteen", 20: "twenty", -46: "minus forty-six", 300: "three hundred"}
    assert {number: spelled_out(number) for number in numbers} == numbers
    assert spelled_out(218) == "two hundred eighteen"
