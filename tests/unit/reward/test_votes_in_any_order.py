"""Clusters of random groups of answers, of equal and of different values, with the verifier of mathematics."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effrl.config.reward import MathVerifier
from effrl.reward.reading import clusters, equality
from tests.bench.voting import WORDS, CountingGrade, judged_groups, partition, random_group, written

GRADE = CountingGrade()
EQUAL = equality(MathVerifier(), GRADE)
"""One memory of verdicts for all examples, as in a run."""

VALUES = st.fractions(-9, 9, max_denominator=7)
ANSWERS = VALUES.flatmap(lambda value: st.sampled_from(written(value))) | st.sampled_from(WORDS)


@st.composite
def groups(draw: st.DrawFn) -> list[str]:
    texts = draw(st.lists(ANSWERS, min_size=1, max_size=5))
    texts += [text for value in draw(st.lists(VALUES, max_size=2)) for text in written(value)]
    return draw(st.lists(st.sampled_from(texts), min_size=1, max_size=12))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(groups(), st.randoms(use_true_random=False))
def test_clusters_are_the_same_for_every_order(answers: list[str], rng: random.Random) -> None:
    orders = [answers, answers[::-1], sorted(answers), *(rng.sample(answers, len(answers)) for _ in range(3))]
    found = clusters([(str(place), order) for place, order in enumerate(orders)], EQUAL)
    partitions = [partition(*entry) for entry in zip(orders, found, strict=True)]
    assert partitions == [partitions[0]] * len(orders)
    sizes = [sorted(map(numbers.count, set(numbers)), reverse=True) for numbers in found]
    assert sizes == [sizes[0]] * len(orders)
    assert GRADE.asked.total() == len(GRADE.asked), "each pair of texts is judged once"


def test_random_groups_of_a_run() -> None:
    found = judged_groups(100, seed=1)
    assert (found.differing, found.repeated) == (0, 0)
    assert found.judged == found.pairs > 500


def test_the_groups_hold_answers_that_are_the_same_and_others() -> None:
    rng = random.Random(3)
    many = [random_group(rng) for _ in range(30)]
    found = clusters([(str(place), group) for place, group in enumerate(many)], EQUAL)
    texts, classes = sum(len(set(group)) for group in many), sum(len(set(numbers)) for numbers in found)
    assert 0.2 * texts < classes < 0.9 * texts
