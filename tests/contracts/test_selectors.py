"""The project's own selectors fulfil the contract."""

from collections.abc import Sequence

from effrl.protocols import Selector
from effrl.select.mixed import uniform
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
