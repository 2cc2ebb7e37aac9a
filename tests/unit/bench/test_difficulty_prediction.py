"""The bench of predictions: lookups and correlations written out, and what a held-out family may see."""

from itertools import pairwise

import numpy as np
import pytest

from effrl.difficulty.gather import Snapshot
from effrl.difficulty.offline import HeldOutSplit, split, untrained
from tests.bench.difficulty_prediction import METHODS, Kind, kind_of, lookup, measure, table, within, without


def test_a_lookup_takes_the_narrowest_cell_that_was_measured() -> None:
    references = [(Kind("a", 1, 2), 0.2), (Kind("a", 1, 2), 0.4), (Kind("a", 1, 3), 0.9), (Kind("b", 1, 2), 0.1)]
    queries = [Kind("a", 1, 2), Kind("a", 1, 9), Kind("a", 7, 2), Kind("c", 1, 2)]
    assert lookup(references, queries) == pytest.approx([0.3, 0.5, 0.5, 0.4])


def test_within_a_level_its_mean_explains_nothing() -> None:
    levels = [0] * 4 + [1] * 6 + [2] * 3
    true = np.array([0.0, 0.1, 0.2, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0, 1.0])
    by_level = np.array([0.15] * 4 + [0.75] * 6 + [1.0] * 3)
    assert within(by_level, true, levels) == 0
    assert within(by_level + true, true, levels) == pytest.approx(1)
    turned = np.where(np.array(levels) == 0, -true, true)
    assert within(turned, true, levels) == pytest.approx((-4 + 6) / 10)
    assert within(true[:2], true[:2], levels[:2]) == 0


def test_kinds_come_from_the_data() -> None:
    assert kind_of("12345678", {"family": "chain", "level": 3}) == Kind("chain", 3, 2)
    assert kind_of("1", {}) == Kind("", 0, 0)


def world() -> tuple[HeldOutSplit, dict[str, Kind]]:
    random = np.random.default_rng(1)
    texts = [f"{family}{number}" for family in "ab" for number in range(60)]
    kinds = {text: Kind(text[0], number % 3, 1) for number, text in enumerate(texts)}
    found = [
        Snapshot("run", step, step, {text: float(random.integers(0, 9)) / 8 for text in texts}, 8.0, {})
        for step in range(1, 5)
    ]
    return split(random.normal(size=(120, 4)).astype(np.float32), texts, found, 1), kinds


def test_nothing_is_fitted_on_a_held_out_family_but_some_of_it_is_referred_to() -> None:
    data, kinds = world()
    part = without(data, "b", kinds)
    assert all(len(example.embeddings) == 60 for example in part.examples())
    fitted_on: list[HeldOutSplit] = []

    def fitted(given: HeldOutSplit) -> object:
        fitted_on.append(given)
        return untrained(4, 4, 1, 1)

    lines = list(measure(part, "b", fitted, kinds, 256, 1, data.embeddings, refer_to_family=True))  # type: ignore[arg-type]
    assert fitted_on == [part]
    assert [line.unseen for line in lines] == [False, False, False, True]
    assert all(line.held_out == "b" and 8 <= line.prompts < 60 for line in lines)
    assert all(set(line.overall) == set(line.within_level) == set(METHODS) for line in lines)
    assert all(line.overall["mean"] == 0 and one.run == line.run for one, line in pairwise(lines))
    written = table(lines).splitlines()
    assert len(written) == 4 and written[2].startswith("| b | seen | 3 |") and written[3].startswith("| b | unseen | 1")
