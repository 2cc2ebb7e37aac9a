"""The project's own selectors fulfil the contract."""

from collections.abc import Sequence

from effrl.protocols import Selector
from effrl.select.uniform import UniformSelector
from effrl.types import Prompt
from tests.contracts.selector import SelectorContract


class TestUniform(SelectorContract):
    def make(self, prompts: Sequence[Prompt], seed: int) -> Selector:
        return UniformSelector(prompts, seed)
