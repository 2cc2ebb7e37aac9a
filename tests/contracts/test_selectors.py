"""The project's own selectors fulfil the contract."""

from collections.abc import Sequence

import numpy as np

from effrl.config.select import DotsSelect
from effrl.difficulty.calibrated import CalibratedPredictor
from effrl.difficulty.online import Refitting
from effrl.protocols import Selector
from effrl.select.adarft import AdaRftSelector
from effrl.select.band import BandSelector
from effrl.select.calibrated import CalibratedSelector, NearTarget
from effrl.select.control import ControlledSelector
from effrl.select.cures import Allocation, CuresSelector
from effrl.select.curriculum import CurriculumSelector
from effrl.select.dots.selector import DotsSelector, Predict
from effrl.select.greso import GresoSelector
from effrl.select.mixed import mixed, uniform
from effrl.select.perplexity import PerplexitySelector
from effrl.select.thompson import ThompsonSelector
from effrl.select.ufo.selector import UfoSelector
from effrl.select.uniform import UniformSelector
from effrl.types import Prompt
from tests.contracts.selector import SelectorContract


class TestUniform(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return UniformSelector(prompts, seed)


class TestMixed(SelectorContract):
    """Pools of 4 and 36 (or one of them where there is no more), the small one with most of the weight."""

    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return uniform([pool for pool in ((3.0, prompts[:4]), (1.0, prompts[4:])) if pool[1]], seed)


class TestBand(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return BandSelector(prompts, seed, low=0.25, high=0.75, rest=4)


class TestCurriculum(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return CurriculumSelector(prompts, seed, "level", grow=60)


class TestThompson(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return ThompsonSelector(prompts, seed, target=0.5, prior=1.0, memory=0.5)


class TestGreso(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return GresoSelector(prompts, seed, 0.5, 0.01, (0.05, 0.95), 1 / 12, 1 / 6)


class TestAdaRft(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        levels = np.array([50.0 * prompt.meta["level"] for prompt in prompts])
        return AdaRftSelector(prompts, seed, 0.5, 2.0, 50.0, no_repeat=True, difficulty=levels)


class TestCures(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return CuresSelector(prompts, seed, 0.1, 0.5, Allocation(8, 2, 4.0))


class TestPerplexityUnmeasured(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return PerplexitySelector(prompts, seed, candidates=35, steps=10)


class TestPerplexityMeasured(SelectorContract):
    """Of 20 candidates half are left out; the draws of a test go beyond them."""

    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        selector = PerplexitySelector(prompts, seed, candidates=20, steps=10)
        selector.receive(4, {prompt.id: 1.0 + number % 7 for number, prompt in enumerate(prompts) if number % 2})
        return selector


class TestPerplexityOfAMix(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        pools = [pool for pool in ((3.0, prompts[:4]), (1.0, prompts[4:])) if pool[1]]
        return mixed(pools, seed, lambda part, seed, _: PerplexitySelector(part, seed, candidates=8, steps=10))


class TestCalibrated(SelectorContract):
    """Ready after 16 groups, under control; prompts of a level are neighbours."""

    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        levels = [prompt.meta["level"] for prompt in prompts]
        embeddings = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)[levels]
        aim = NearTarget(reference=16, candidates=30)
        zone = CalibratedSelector(prompts, seed, CalibratedPredictor(embeddings), aim)
        return ControlledSelector(prompts, seed, zone, 0.25)


class TestUncontrolledUfo(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return ControlledSelector(prompts, seed, UfoSelector(prompts, seed), 0.0)


class TestDotsUnmeasured(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return DotsSelector(prompts, seed, lambda rounds: constant(len(prompts)))


class TestDotsMeasured(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        selector = DotsSelector(prompts, seed, lambda rounds: constant(len(prompts)))
        selector.receive(1, {prompts[0].id: 0.25})
        return selector


class TestDotsFittedInTheRun(SelectorContract):
    """Three rounds were seen, so that a network is fitted; prompts of a level are neighbours."""

    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        levels = [prompt.meta["level"] for prompt in prompts]
        embeddings = np.random.default_rng(1).normal(size=(3, 6)).astype(np.float32)[levels]
        selector = DotsSelector(
            prompts, seed, Refitting(embeddings, DotsSelect(hidden=4, layers=1, epochs=1), seed, 8), 4
        )
        for step in (1, 3, 5):
            request = selector.request(step)
            assert request is not None
            selector.receive(step, {prompt.id: prompt.meta["level"] / 2 for prompt in request.prompts})
        return selector


def constant(size: int) -> Predict:
    """Predicts every prompt to be as hard as the references."""
    return lambda references, rates: np.full(size, np.mean(rates))


class TestMixOfBands(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        pools = [pool for pool in ((3.0, prompts[:4]), (1.0, prompts[4:])) if pool[1]]
        return mixed(pools, seed, lambda part, seed, _: BandSelector(part, seed, low=0.25, high=0.75, rest=4))


class TestUfoUnmeasured(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return UfoSelector(prompts, seed)


class TestUfoMeasured(SelectorContract):
    """The zone of ten is smaller than some calls, which then go beyond it."""

    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        selector = UfoSelector(prompts, seed, ratio=0.25)
        selector.receive(1, {prompt.id: number / len(prompts) for number, prompt in enumerate(prompts)})
        return selector
