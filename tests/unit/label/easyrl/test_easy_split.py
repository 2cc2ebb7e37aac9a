"""Which prompts are easy."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.config.stages import EasySplit
from effrl.errors import UserError
from effrl.label.easyrl.split import easy_ids
from effrl.types import Prompt


def rows(*levels: Any) -> list[Prompt]:
    return [Prompt(f"p{n:02}", "?", {"difficulty": level}) for n, level in enumerate(levels)]


def easy(
    data: Sequence[Prompt], split: EasySplit, seed: int, values: Mapping[str, float], unlabelled: int = 0
) -> frozenset[str]:
    return easy_ids(data, len(data) + unlabelled, split, seed, values)


def test_the_share_is_of_all_prompts_and_what_is_taken_has_a_label() -> None:
    assert len(easy(rows(*range(10)), EasySplit(), 0, {}, unlabelled=20)) == 3
    assert len(easy(rows(1, 2), EasySplit(), 0, {}, unlabelled=100)) == 2


def test_the_tenth_with_the_lowest_difficulty_is_easy() -> None:
    found = easy(rows(*range(20, 0, -1)), EasySplit(), 0, {})
    assert found == {"p19", "p18"}


def test_of_equals_the_smaller_id_is_easier() -> None:
    assert easy(rows(1, 1, 1, 1)[::-1], EasySplit(share=0.5), 0, {}) == {"p00", "p01"}


@pytest.mark.parametrize(("prompts", "share", "count"), [(100, 0.07, 7), (15, 0.1, 2), (3, 0.01, 1), (10, 0.99, 10)])
def test_a_share_is_rounded_up_and_not_by_its_last_bit(prompts: int, share: float, count: int) -> None:
    """0.07 * 100 is 7.000000000000001."""
    assert len(easy(rows(*range(prompts)), EasySplit(share=share), 0, {})) == count


@pytest.mark.parametrize("value", ["3", None, True, float("nan"), [3]])
def test_what_is_no_number_is_named_with_its_prompt(value: object) -> None:
    with pytest.raises(UserError, match=r"easy\.column: 'difficulty' of prompt p01 is .*needs a number"):
        easy(rows(1, value), EasySplit(), 0, {})


def test_a_row_without_the_column_is_named() -> None:
    with pytest.raises(UserError, match=r"easy\.column: 'level' of prompt p00 is not there.*columns: difficulty"):
        easy(rows(1), EasySplit(column="level"), 0, {})


@pytest.mark.parametrize("by", ["certainty", "pass_rate"])
def test_what_the_model_finds_easier_is_easier(by: str) -> None:
    split = EasySplit.model_validate({"share": 0.5, "by": by})
    assert easy(rows(1, 2, 3, 4), split, 0, {"p00": 0.1, "p01": 0.9, "p03": 0.2}) == {"p01", "p03"}


def test_what_nothing_is_known_of_is_hardest() -> None:
    assert easy(rows(1, 2, 3), EasySplit(share=0.6, by="certainty"), 0, {"p02": 0.0, "p01": 0.0}) == {"p01", "p02"}


@given(st.permutations(range(12)), st.integers(0, 3))
def test_a_random_split_is_of_the_seed_and_not_of_the_order(order: list[int], seed: int) -> None:
    split, data = EasySplit(by="random", share=0.3), rows(*range(12))
    assert easy([data[n] for n in order], split, seed, {}) == easy(data, split, seed, {})


def test_another_seed_splits_otherwise() -> None:
    split, data = EasySplit(by="random", share=0.3), rows(*range(12))
    assert len({easy(data, split, seed, {}) for seed in range(5)}) > 1
