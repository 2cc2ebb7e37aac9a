"""From prompts whose own text is familiar to the policy to those whose text is not, as the run goes on."""

from collections.abc import Mapping, Sequence
from math import exp, floor, fsum, inf, isnan
from statistics import fmean
from typing import Any

from effrl.protocols import LookAhead
from effrl.select.pool import PoolSelector
from effrl.select.uniform import UniformSelector
from effrl.types import Observation, Prompt

LARGEST = 700.0
"""Mean surprise of a text's tokens, in nats; the exponential of much more is no number any longer."""


class PerplexitySelector(PoolSelector):
    """A :class:`~effrl.protocols.LooksAhead` that ranks candidates by their perplexity (PREPO, arXiv 2511.00794).

    A step's candidates are the next prompts of the uniform order. In step t of T, of B candidates in ascending order of
    perplexity, equals in that of their ids, it draws the K from rank ``floor(t / T * (B - K))`` on: the most familiar
    at the beginning, the least at the end. A refill draws by the same rule from those that are left, and costs no look.
    Where too few are left, or nothing was looked at, the uniform order goes on.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int, candidates: int, steps: int) -> None:
        """Start at the beginning of the order.

        Args:
            prompts: the pool.
            seed: root of the order's streams.
            candidates: prompts that a step scores; at most all.
            steps: of the run; a resumed run that is longer goes on from an easier place.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._order = UniformSelector(prompts, seed)
        self._candidates, self._steps = min(candidates, len(prompts)), steps
        self._step: int | None = None
        self._left: list[int] = []
        self._mean: float | None = None

    def request(self, step: int) -> LookAhead | None:
        """The perplexities of the step's candidates; once a step."""
        if step == self._step:
            return None
        before = self._order.state()  # until the answer is there, the order has not moved: a resume asks the same
        asked = self._order.draw(self._candidates)
        self._order.restore(before)
        return LookAhead(tuple(self.prompts[index] for index in asked), "perplexity")

    def receive(self, step: int, found: Mapping[str, float]) -> None:
        """Rank the candidates; those of which nothing was found out come last."""
        scores = {index: found.get(self.prompts[index].id, inf) for index in self._order.draw(self._candidates)}
        self._step = step
        self._left = sorted(scores, key=lambda index: (scores[index], self.prompts[index].id))
        known = [score for score in scores.values() if score < inf]
        self._mean = fmean(known) if known else None

    def draw(self, count: int) -> list[int]:
        """Those whose turn has come, of what is left of the step's candidates; then the uniform order's."""
        start = first_rank((self._step or 0) / self._steps, len(self._left), count)
        chosen = self._left[start : start + count]
        del self._left[start : start + count]
        return chosen + self._order.draw(count - len(chosen), but=chosen)

    def observe(self, seen: Sequence[Observation]) -> None:
        """Outcomes change nothing here."""

    def metrics(self) -> Mapping[str, float]:
        """Mean perplexity of the candidates of the last look; nothing before there was one."""
        return {} if self._mean is None else {"select/perplexity_mean": self._mean}

    def state(self) -> Mapping[str, Any]:
        """The place in the order, and the step that was looked at last with its candidates that are left, in order."""
        left = [self.prompts[index].id for index in self._left]
        return {"order": self._order.state(), "step": self._step, "left": left}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.must_know(state["left"])
        self._order.restore(state["order"])
        self._step, self._left = state["step"], [self.index[name] for name in state["left"]]


def first_rank(progress: float, candidates: int, count: int) -> int:
    """Rank of the first of ``count`` candidates to draw: ``first_rank(0.5, 20, 4)`` is 8.

    Args:
        progress: share of the run's steps, 1 at its end and beyond.
    """
    return floor(min(1.0, progress) * max(0, candidates - count) + 1e-9)  # or a share of exactly 3 may be 2.9999


def perplexity(logprobs: Sequence[float]) -> float:
    """Of a text, from its tokens' log-probs in nats: exp(-mean), which is at least 1; infinite without a token.

    Raises:
        ValueError: a log-prob is not a number.
    """
    if any(map(isnan, logprobs)):
        raise ValueError("a log-prob is not a number")
    surprise = -fsum(logprobs) / len(logprobs) if logprobs else inf
    return exp(surprise) if surprise < LARGEST else inf
