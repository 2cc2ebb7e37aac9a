"""One round over a pool: the policy answers each prompt several times, and reflects where its answers differ.

Everything is asked in full batches and kept as it comes. What is selected is decided at the end, from the whole file:
a quantile of the part that happened to be finished would be another one after a crash.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from effrl.chunks import chunks
from effrl.config.stages import PseudoPool
from effrl.errors import RunError
from effrl.label.easyrl.anchor import AnchorJudge, AnchorTrial, tried
from effrl.label.easyrl.items import TOO_LONG, LabelledPool, PoolLook, PseudoLabel, SecondLook
from effrl.label.easyrl.looks import LookFile
from effrl.label.easyrl.measures import measures
from effrl.label.easyrl.reflection import Reflector
from effrl.label.easyrl.tiers import decide, threshold, to_reflect
from effrl.seeds import derive
from effrl.types import Group, Prompt, ReadGroup

CHUNK = 256
"""Prompts that are asked together: enough for full batches, and the most that a crash loses."""

PoolProgress = Callable[[str, int, int], None]
"""Told what is asked for, ``answers`` or ``reflections``, how many prompts are done, and of how many. The first time
tells what an earlier attempt had done: time left is to be reckoned from there."""


class Asks(Protocol):
    """Who asks the policy; one version of it answers during the whole round."""

    async def sample(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], max_tokens: int | None
    ) -> Sequence[Group]:
        """One group per prompt, with a rollout per seed; of ``rollout.max_tokens`` where None is given."""
        ...

    async def read(self, groups: Sequence[Group]) -> Sequence[ReadGroup]:
        """Extract the answers of each group, and compare them by value."""
        ...

    async def fits(self, prompts: Sequence[Prompt], max_tokens: int | None) -> Sequence[bool]:
        """Whether each prompt leaves room for a completion in the model's context."""
        ...


@dataclass(frozen=True)
class PoolWork:
    """A round. Run again after a crash, it asks only for what is not in the file, and decides the same."""

    asks: Asks
    config: PseudoPool
    file: LookFile
    stage: str
    """Name of the stage, with its round: another round draws other answers."""
    seed: int
    """Of the run."""
    progress: PoolProgress

    async def __call__(self, pool: Sequence[Prompt], anchor: Sequence[Prompt], judge: AnchorJudge) -> LabelledPool:
        """Label the pool.

        Args:
            anchor: prompts with a true label, none of which is in the pool. They are asked too, to measure how right
                the tiers are.
            judge: knows the labels of the anchor, and of no other prompt.

        Raises:
            RunError: the rollout workers did not answer about every prompt.
        """
        asked = {prompt.id: prompt for prompt in (*pool, *anchor)}
        assert len(asked) == len(pool) + len(anchor), "no prompt occurs twice"
        await self._answer(asked)
        looks = self._known(asked)
        await self._reflect(asked, to_reflect([*looks.values()], self.config, self._limit(pool, looks)))
        looks = self._known(asked)
        limit = self._limit(pool, looks)
        trial = await tried(anchor, [looks[prompt.id] for prompt in anchor], self.config, limit, judge)
        return self._labelled([looks[prompt.id] for prompt in pool], looks, limit, trial)

    @cached_property
    def _reflector(self) -> Reflector:
        assert self.config.reflection is not None, "nobody is to reflect"
        return Reflector.of(self.config.reflection)

    async def _answer(self, asked: Mapping[str, Prompt]) -> None:
        """Keep the answers to all prompts that have none yet."""
        known = self.file.read()
        left = [prompt for name, prompt in asked.items() if name not in known]
        done = len(asked) - len(left)
        self.progress("answers", done, len(asked))
        for part in chunks(left, CHUNK):
            read = await self.asks.read(await self._sample("answers", part, self.config.samples, None))
            self.file.append([PoolLook.of(group) for group in read])
            done += len(part)
            self.progress("answers", done, len(asked))

    async def _reflect(self, asked: Mapping[str, Prompt], looks: Sequence[PoolLook]) -> None:
        """Keep a reflection on each of these that has none yet."""
        left = [look for look in looks if look.second is None]
        done = len(looks) - len(left)
        self.progress("reflections", done, len(looks))
        for part in chunks(left, CHUNK):
            second = await self._second(asked, part)
            self.file.append([replace(look, second=second[look.prompt]) for look in part if look.prompt in second])
            done += len(part)
            self.progress("reflections", done, len(looks))
        self._check(
            [look.prompt for look in looks],
            {name for name, look in self.file.read().items() if look.second is not None},
        )

    async def _second(self, asked: Mapping[str, Prompt], looks: Sequence[PoolLook]) -> dict[str, SecondLook]:
        """By prompt id."""
        longest = self._reflector.config.max_tokens
        prompts = [self._reflector(asked[look.prompt], look) for look in looks]
        fits = await self.asks.fits(prompts, longest)
        fitting = [prompt for prompt, fit in zip(prompts, fits, strict=True) if fit]
        read = await self.asks.read(await self._sample("reflection", fitting, 1, longest)) if fitting else []
        too_long = {prompt.id for prompt in prompts} - {prompt.id for prompt in fitting}
        return dict.fromkeys(too_long, SecondLook(None, None, lost=TOO_LONG)) | {
            group.group.prompt.id: SecondLook.of(group) for group in read
        }

    async def _sample(
        self, what: str, prompts: Sequence[Prompt], count: int, max_tokens: int | None
    ) -> Sequence[Group]:
        seeds = [seeds_of(self.seed, self.stage, what, prompt.id, count) for prompt in prompts]
        return await self.asks.sample(prompts, seeds, max_tokens)

    def _known(self, asked: Mapping[str, Prompt]) -> dict[str, PoolLook]:
        """The looks at these prompts, from the file."""
        known = self.file.read()
        self._check(asked, known)
        return {name: known[name] for name in asked}

    def _check(self, asked: Collection[str], known: Collection[str]) -> None:
        if missing := len(set(asked) - set(known)):
            raise RunError(f"stage {self.stage}: {missing} of {len(asked)} prompts got no answer: resume the run")

    def _limit(self, pool: Sequence[Prompt], looks: Mapping[str, PoolLook]) -> float:
        """Of the pool alone: an easy anchor is surer."""
        return threshold([looks[prompt.id] for prompt in pool], self.config)

    def _labelled(
        self, pool: Sequence[PoolLook], asked: Mapping[str, PoolLook], limit: float, trial: AnchorTrial
    ) -> LabelledPool:
        found = {look.prompt: decide(look, self.config, limit, trial.trusted) for look in pool}
        labels = {name: entry for name, entry in found.items() if isinstance(entry, PseudoLabel)}
        deferred = {name: entry for name, entry in found.items() if isinstance(entry, str)}
        metrics = measures(pool, [*asked.values()], labels, limit) | trial.metrics
        return LabelledPool(self.stage, self.file.policy, labels, deferred, trial.selected, metrics)


def seeds_of(seed: int, stage: str, what: str, prompt_id: str, count: int) -> tuple[int, ...]:
    """Of the rollouts of one prompt, all different; other rounds and reflections have others."""
    return tuple(derive(seed, "pool", stage, what, prompt_id, n) for n in range(count))
