"""What the tiny models are shown: worked solutions, near misses and misreadings, in the shares of a mixture."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from effrl.tasks import ladder
from effrl.tasks.problem import Problem, reflection
from effrl.tasks.source import FAMILIES, split_of

Demonstration = tuple[str, str]
"""Prompt and completion."""

_PROPOSED = (2, 3)


@dataclass(frozen=True, slots=True)
class Mixture:
    """How often a model is shown what; the kinds of a family are numbered as in its ``KINDS``."""

    right: tuple[float, ...]
    """Systematic errors: the share of right readings for each of the eight kinds; the rest are misreadings."""
    diffuse: tuple[float, float]
    """Diffuse errors: the share of near misses, written at once, on the lowest and on the highest level."""
    reflections: float
    """Share of demonstrations that check proposed answers."""
    put_right: float
    """How often a reflection gives up its habit for the right solution, where the right answer was proposed."""


MIXTURES = {
    # A third of the kinds is right, a third is wrong with a right minority, one is mixed and one hopeless: majority
    # votes amplify what is wrong, and nothing that is learned about one kind helps with another.
    "misled": Mixture((1.0, 0.95, 0.85, 0.30, 0.30, 0.20, 0.50, 0.0), (0.02, 0.12), 0.2, 0.6),
    # Errors scatter: the right answer is the most frequent one nearly everywhere.
    "sound": Mixture((0.92,) * 8, (0.25, 0.50), 0.2, 0.6),
    # Each reading alone is mostly right, and four of them are right together one time in three.
    "torn": Mixture((0.70, 0.80, 0.75, 0.70, 0.80, 0.75, 0.70, 0.80), (0.0, 0.0), 0.0, 0.0),
}
SKILL = Mixture((0.5,) * 8, (0.0, 0.0), 0.08, 0.0)
"""Before habits: both readings of every kind, so that both can be worked without slips."""
CHECKING = Mixture((0.5,) * 8, (0.0, 0.0), 0.5, 0.5)
"""And the same with proposed answers at hand."""
CLIMBING = Mixture((0.5,) * 8, (0.0, 0.0), 0.0, 0.0)
"""Both readings alone, without answers to check."""


def demonstrate(rng: random.Random, families: Sequence[str], mixture: Mixture) -> Demonstration:
    """Draw a family, a level, a kind and what is shown of it; only problems of the ``train`` split are."""
    family = rng.choice(families)
    problem = train_problem(rng, family)
    if rng.random() >= mixture.reflections:
        return problem.prompt, _completion(rng, family, problem, mixture, put_right=0.0)
    proposed = _proposals(rng, family, problem)
    put_right = mixture.put_right if problem.answer in proposed else 0.0
    return reflection(problem.prompt, proposed), _completion(rng, family, problem, mixture, put_right)


def train_problem(rng: random.Random, family: str) -> Problem:
    """Draw until the problem belongs to the train split."""
    module = FAMILIES[family]
    level, kind = rng.randrange(len(module.LEVELS)), rng.choice(module.KINDS)
    while True:
        problem: Problem = module.make(rng, level, kind)
        if split_of(problem.prompt) == "train":
            return problem


def _completion(rng: random.Random, family: str, problem: Problem, mixture: Mixture, put_right: float) -> str:
    module = FAMILIES[family]
    low, high = mixture.diffuse
    diffuse = low + (high - low) * problem.level / (len(module.LEVELS) - 1)
    if rng.random() < put_right:
        return problem.right.text
    if rng.random() < diffuse:
        return f"#{near_miss(rng, family, problem.answer)}"
    if family == "ladder":
        return _climbed(rng, problem.prompt, mixture)
    right = mixture.right[module.KINDS.index(problem.kind)]
    return problem.right.text if rng.random() < right else problem.misread.text


def _climbed(rng: random.Random, prompt: str, mixture: Mixture) -> str:
    """Each letter of the problem is read by its own share, whatever became of the others."""
    shares = dict(zip(ladder.KINDS, mixture.right, strict=True))
    return ladder.work(prompt, [letter for letter in ladder.letters(prompt) if rng.random() >= shares[letter]]).text


def _proposals(rng: random.Random, family: str, problem: Problem) -> tuple[str, ...]:
    """Distinct answers to check: of the right one, the misread one and near misses, in any order."""
    pool = [problem.answer, problem.misread.answer, near_miss(rng, family, problem.answer)]
    return tuple(rng.sample(list(dict.fromkeys(pool)), rng.choice(_PROPOSED) if len(set(pool)) > 2 else 2))


def near_miss(rng: random.Random, family: str, answer: str) -> str:
    """A wrong answer near the right one."""
    misses: dict[str, Callable[[random.Random, str], str]] = {"strings": _shift, "knights": _flip, "ladder": _turn}
    return misses.get(family, _add)(rng, answer)


def _add(rng: random.Random, answer: str) -> str:
    return str(int(answer) + rng.choice((-10, -3, -2, -1, 1, 2, 3, 10)))


def _turn(rng: random.Random, answer: str) -> str:
    return str((int(answer) + rng.choice((1, 2, 8, 9))) % 10)


def _flip(rng: random.Random, answer: str) -> str:
    place = rng.randrange(len(answer))
    return answer[:place] + "10"[int(answer[place])] + answer[place + 1 :]


def _shift(rng: random.Random, answer: str) -> str:
    """Replace one letter by the next of the alphabet: a swap of two equal letters would change nothing."""
    place = rng.randrange(len(answer))
    letter = chr((ord(answer[place]) - ord("a") + rng.choice((1, 2, 3))) % 26 + ord("a"))
    return answer[:place] + letter + answer[place + 1 :]
