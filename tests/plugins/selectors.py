"""Selectors of the user's own."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from effrl.protocols import LookAhead
from effrl.types import Observation, Prompt


class AskingEachStep:
    """Asks for the pass rates of some prompts before each step, and goes through all, the hard ones first.

    What it chooses depends on every label that it was ever told of.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        self.prompts, self.rates, self.asked = prompts, dict[str, float](), 0
        self.draws: Counter[str] = Counter()

    def request(self, step: int) -> LookAhead | None:
        chosen = [self.prompts[(4 * step + n) % len(self.prompts)] for n in range(12)]
        return LookAhead(tuple(chosen), "pass_rate") if self.asked < step else None

    def receive(self, step: int, found: Mapping[str, float]) -> None:
        self.asked = step
        self.rates |= found

    def metrics(self) -> Mapping[str, float]:
        return {"select/rates": sum(self.rates.values())}

    def select(self, count: int) -> list[Prompt]:
        def turn(prompt: Prompt) -> tuple[int, float, str]:
            return self.draws[prompt.id], self.rates.get(prompt.id, 0.9), prompt.id

        chosen = sorted(self.prompts, key=turn)[:count]
        self.draws.update(prompt.id for prompt in chosen)
        return chosen

    def observe(self, seen: Sequence[Observation]) -> None:
        self.rates |= {entry.prompt.id: entry.passes / entry.tries for entry in seen if entry.tries}

    def state(self) -> Mapping[str, Any]:
        return {"rates": dict(self.rates), "asked": self.asked, "draws": dict(self.draws)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rates, self.asked, self.draws = dict(state["rates"]), state["asked"], Counter(state["draws"])
