"""Looks at prompts, and a policy that answers as it is told, without an engine."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from effrl.config.stages import PseudoPool
from effrl.label.easyrl.items import PoolLook, SecondLook
from effrl.reward.reading import AnswerPair, by_text, clusters
from effrl.types import Group, Prompt, ReadGroup, Rollout

VALUES = {"1/2": 0.5, "0.5": 0.5, "\\frac12": 0.5}


def by_value(pairs: Sequence[AnswerPair]) -> list[bool]:
    """Whether two texts are the same number."""
    return [VALUES.get(pair.one, pair.one) == VALUES.get(pair.other, pair.other) for pair in pairs]


def looked(name: str, *answers: str | None, second: SecondLook | None = None) -> PoolLook:
    """A look at a prompt that was answered so; its completions say ``so ANSWER``."""
    (numbers,) = clusters([(name, answers)], by_value)
    voted = answers[numbers.index(0)] if 0 in numbers else None
    return PoolLook(name, answers, numbers, f"so {voted}" if voted else "", tokens=3 * len(answers), second=second)


def thought(answer: str | None, nll: float | None) -> SecondLook:
    return SecondLook(answer, nll, f"thus {answer}" if answer else "", tokens=2)


def doubted(nlls: Sequence[float | None]) -> list[PoolLook]:
    """Looks at prompts u0, u1, … on which answers differ, with reflections of these uncertainties."""
    return [looked(f"u{n}", "1", "2", second=thought("1", nll)) for n, nll in enumerate(nlls)]


def prompts(*names: str) -> list[Prompt]:
    return [Prompt(name, f"what is {name}?", {"level": n}) for n, name in enumerate(names)]


Answering = Callable[[str, int, int], str | None]
"""The answer to a prompt by its id, the rollout's number and its seed."""


class Killed(Exception):
    """What a crash looks like from within."""


@dataclass
class ToldPolicy:
    """An :class:`~effrl.label.easyrl.pool_work.Asks`: completions are ``so ANSWER``, log-probs ``-nll`` of the id."""

    answers: Answering
    reflects: Mapping[str, str | None] = field(default_factory=dict)
    """By prompt id: answers to a prompt that ends with a request for one final answer."""
    nll: Mapping[str, float] = field(default_factory=dict)
    too_long: frozenset[str] = frozenset()
    lives: int = 10**9
    """Calls of :meth:`sample` until it is killed."""
    asked: list[tuple[Prompt, tuple[int, ...]]] = field(default_factory=list)

    async def sample(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], max_tokens: int | None
    ) -> list[Group]:
        self.lives -= 1
        if self.lives < 0:
            raise Killed
        self.asked += [(prompt, tuple(own)) for prompt, own in zip(prompts, seeds, strict=True)]
        return [self._group(prompt, own) for prompt, own in zip(prompts, seeds, strict=True)]

    async def read(self, groups: Sequence[Group]) -> list[ReadGroup]:
        answers = [tuple(rollout.text.removeprefix("so ") or None for rollout in group.rollouts) for group in groups]
        numbers = clusters([(g.prompt.id, own) for g, own in zip(groups, answers, strict=True)], by_text)
        return [ReadGroup(*entry) for entry in zip(groups, answers, numbers, strict=True)]

    async def fits(self, prompts: Sequence[Prompt], max_tokens: int | None) -> list[bool]:
        return [prompt.id not in self.too_long for prompt in prompts]

    @property
    def reflections(self) -> list[Prompt]:
        return [prompt for prompt, _ in self.asked if is_reflection(prompt)]

    def _group(self, prompt: Prompt, seeds: Sequence[int]) -> Group:
        if is_reflection(prompt):
            answers = [self.reflects.get(prompt.id)]
        else:
            answers = [self.answers(prompt.id, n, seed) for n, seed in enumerate(seeds)]
        nll = self.nll.get(prompt.id, 1.0)
        return Group(prompt.id, prompt, np.array([4], np.int32), tuple(_rollout(answer, nll) for answer in answers))


def is_reflection(prompt: Prompt) -> bool:
    return "final answer" in prompt.text


def _rollout(answer: str | None, nll: float) -> Rollout:
    text = "" if answer is None else f"so {answer}"
    return Rollout(np.arange(2, dtype=np.int32), np.full(2, -nll, np.float32), text, "stop", 3, 3)


def lost(read: ReadGroup, *places: int) -> ReadGroup:
    """The group whose rollouts at these places the engine failed."""
    rollouts = tuple(Rollout.lost(3) if n in places else rollout for n, rollout in enumerate(read.group.rollouts))
    return replace(read, group=replace(read.group, rollouts=rollouts))


def pool_config(**fields: object) -> PseudoPool:
    return PseudoPool.model_validate({"kind": "pseudo", **fields})
