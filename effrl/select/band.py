"""Selection by a band of pass rates: prompts that were too easy or too hard come less often."""

from collections.abc import Sequence

from effrl.select.ranked import TurnSelector
from effrl.types import Observation, Prompt


class BandSelector(TurnSelector):
    """Visits all prompts in turn; one whose latest pass rate lies outside of [low, high] sits out ``rest`` turns.

    A prompt that nobody has tried yet counts as inside. Prompts outside come back, because the policy moves: what it
    could not solve, it may solve later. So a call is always filled, however few prompts are inside.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int, low: float, high: float, rest: int) -> None:
        """Every prompt is in its first turn.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._low, self._high, self._rest = low, high, rest

    def learn(self, index: int, seen: Observation) -> None:
        if not in_band(seen.passes, seen.tries, self._low, self._high):
            self.turns[index] += self._rest


def in_band(passes: float, tries: int, low: float, high: float) -> bool:
    """Whether ``low <= passes / tries <= high``.

    Compared as counts, with room for one rounding error: 0.7 x 10 is 7, though in floating point 0.07 x 100 is not.
    """
    return low * tries - 1e-9 <= passes <= high * tries + 1e-9
