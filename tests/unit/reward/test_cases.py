"""The verifiers on answers as models and data sets write them, a test per case of the table."""

from collections import Counter

import pytest
from case import Case
from cases import CASES

from effrl.config.reward import AnyReward, ChoiceReward, ExactReward, MathReward
from effrl.reward.verifiers import load


def reward(case: Case) -> AnyReward:
    match case.kind:
        case "choice":
            return ChoiceReward()
        case "exact":
            return ExactReward(extract=case.extract)
        case _:
            return MathReward(extract=case.extract)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}: {case.completion!r} for {case.label!r}")
def test_verdict(case: Case) -> None:
    verdict = load(reward(case))(case.completion, case.label, {})
    assert verdict.outcome == float(case.right), f"{case.why}; the answer was {verdict.answer!r}"


def test_no_case_stands_there_twice() -> None:
    counts = Counter((case.kind, case.extract, case.completion, case.label) for case in CASES)
    assert [case for case, count in counts.items() if count > 1] == []
