"""Random groups of answers, some the same in value, and whether clusters depend on the order of rollouts."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from effrl.config.reward import MathVerifier
from effrl.reward.reading import clusters, equality
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.worker import judge
from effrl.reward.verifiers import same
from effrl.types import Score

WORDS = ("cat", "act", "\\text{Cat}", "(1,2)", "(1, 2)", "(2,1)", "x<2", "(-\\infty,2)", "12+34", "\\frac{", "=-01")
"""Answers beside numbers: equal, different, of one direction alone, and malformed."""


class CountingGrade:
    """Judges in this process, and notes which pairs of texts it was asked about."""

    def __init__(self) -> None:
        self.asked: Counter[frozenset[str]] = Counter()

    def __call__(self, tasks: Sequence[ScoringTask]) -> list[Score]:
        self.asked.update(frozenset((task.completion, task.label or "")) for task in tasks)
        return [judge(same, task) for task in tasks]


@dataclass(frozen=True, slots=True)
class Found:
    """What became of some random groups."""

    groups: int
    differing: int
    """Groups whose clusters were others in another order."""
    pairs: int
    """Distinct pairs of texts that went to the verifier."""
    judged: int
    repeated: int
    """Pairs that went there more than once."""


def written(value: Fraction) -> list[str]:
    """One number in several ways; the last one is rounded, so that equality is not transitive."""
    top, bottom = value.numerator, value.denominator
    sign, size = ("-" if value < 0 else ""), abs(top)
    forms = [f"{top}/{bottom}", f"\\frac{{{top}}}{{{bottom}}}", f"{sign}\\dfrac{{{2 * size}}}{{{2 * bottom}}}"]
    forms += [f"x = {top}/{bottom}", f"\\frac{{{top}}}{{{bottom}}} \\text{{ cm}}", f"{float(value):.6f}"]
    return [*forms, *([str(top), f"{top}.0"] if bottom == 1 else [f"{float(value):.3f}"])]


def random_group(rng: random.Random) -> list[str]:
    """Answers of up to 16 rollouts about a few numbers that are close to each other."""
    middle, bottom = rng.randint(-30, 30), rng.choice((1, 2, 3, 4, 7))
    texts = [text for step in range(3) for text in written(Fraction(middle + step, bottom))]
    texts += rng.sample(WORDS, 3)
    return [rng.choice(texts) for _ in range(rng.randint(2, 16))]


def partition(answers: Sequence[str], numbers: Sequence[int | None]) -> set[frozenset[str]]:
    """Which texts are together, whatever their cluster is called."""
    members: dict[int | None, set[str]] = {}
    for answer, number in zip(answers, numbers, strict=True):
        members.setdefault(number, set()).add(answer)
    return {frozenset(texts) for texts in members.values()}


def judged_groups(count: int, seed: int) -> Found:
    """Form the clusters of random groups in two orders, with one memory of verdicts as in a run."""
    rng, grade = random.Random(seed), CountingGrade()
    equal = equality(MathVerifier(), grade)
    differing = 0
    for _ in range(count):
        answers = random_group(rng)
        shuffled = rng.sample(answers, len(answers))
        first, second = clusters([("p", answers), ("q", shuffled)], equal)
        differing += partition(answers, first) != partition(shuffled, second)
    repeated = sum(times > 1 for times in grade.asked.values())
    return Found(count, differing, len(grade.asked), grade.asked.total(), repeated)
