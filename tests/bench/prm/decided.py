"""Which tokens of a written solution decide, as the task families know it; the tiny models' tokens are characters."""

from dataclasses import dataclass
from itertools import zip_longest

from effrl.config.data import TaskSource
from effrl.config.schema import Config
from effrl.tasks.problem import Problem
from effrl.tasks.source import FAMILIES, level_range, problems


@dataclass(frozen=True, slots=True)
class Place:
    """A token that decides."""

    token: int
    right: bool | None
    """Whether it is as in the right reading; None: neither so nor as in the tempting one."""


def problems_of(config: Config) -> dict[str, Problem]:
    """The problems of a run's training data, by prompt."""
    source = config.data.train
    assert isinstance(source, TaskSource)
    kinds = source.kinds or FAMILIES[source.name].KINDS
    levels = level_range(source.name, source.levels)
    drawn = problems(source.name, source.split, source.size, source.seed, levels, kinds)
    return {problem.prompt: problem for problem in drawn}


def parting(one: str, other: str) -> int | None:
    """The first place at which two texts differ; None where they do not."""
    pairs = enumerate(zip_longest(one, other))
    return next((place for place, (first, second) in pairs if first != second), None)


def branch(problem: Problem, text: str) -> int | None:
    """The first token at which a solution leaves the right one; at its end token where it breaks off too early."""
    return parting(problem.right.text, text)


def places(family: str, problem: Problem, text: str) -> list[Place]:
    """Where a solution reads a letter, in order."""
    return _of_one_letter(problem, text)


def _of_one_letter(problem: Problem, text: str) -> list[Place]:
    """Of the families that have one letter: none where the solution errs before it."""
    letter, left = parting(problem.right.text, problem.misread.text), branch(problem, text)
    assert letter is not None, "the readings differ"
    if len(text) <= letter or (left is not None and left < letter):
        return []
    ways = {problem.right.text[letter]: True, problem.misread.text[letter : letter + 1]: False}
    return [Place(letter, ways.get(text[letter]))]
