"""DOTS: predict every prompt's difficulty from a small reference set, and draw prompts near one half.

A selection round lasts ``steps`` training steps. At its beginning a fresh reference set is rolled out with the policy
of the moment; its pass rates tell the predictor what this policy finds hard.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from effrl.difficulty.metrics import evaluate, noise_ceiling_of_labels
from effrl.difficulty.rounds import Round
from effrl.protocols import LookAhead
from effrl.seeds import derive
from effrl.select.dots.gumbel import keys
from effrl.select.ranked import RankedSelector
from effrl.select.strata import strata, within_quotas
from effrl.types import Float64, Observation, Prompt

Predict = Callable[[Sequence[int], Sequence[float]], Float64]
"""From indices of reference prompts and their pass rates to [N] pass rates of all prompts."""

Predictor = Callable[[Sequence[Round]], Predict | None]
"""From what the rounds so far have found out, the newest last, to what predicts; None while they are too few."""

REPORTED = ("pearson", "spearman", "mae", "precision", "precision_random")
"""Of :func:`effrl.difficulty.metrics.evaluate`, what a run writes down."""


class DotsSelector(RankedSelector):
    """A :class:`~effrl.protocols.Selector` that must be told the pass rates of its references.

    It looks ahead (:class:`~effrl.protocols.LooksAhead`) where a round begins: at the pass rates of its references.
    Until they are told, and in between, prompts are drawn by what was measured last; before the first measurement,
    uniformly, and so in the rounds of a warm-up, which measure no references. A prompt comes at most once in a round,
    as long as there are others.

    The first call of a round draws for all its steps and shuffles, so that no step gets the ones nearest to the target
    and leaves the rest to the next (DOTS, arXiv 2506.05316, and its released code). Only references come first: in the
    first step their rollouts are those of the policy that learns from them, and need not be sampled again.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        seed: int,
        predictor: Predictor,
        reference: int = 256,
        steps: int = 2,
        target: float = 0.5,
        temperature: float = 1e-3,
        warmup: int = 0,
        keep: int = 16,
        recent: int = 1,
        tries: int = 8,
        quota: float | None = None,
    ) -> None:
        """Start without measurements.

        Args:
            prompts: the pool.
            seed: root of the selector's streams.
            predictor: called at the beginning of a round, for what predicts the same prompts in the same order.
            reference: prompts of a reference set, at most all.
            steps: training steps of a round.
            target: difficulty (share of rollouts that fail) to draw near.
            temperature: of the draw, in units of difficulty.
            warmup: rounds of uniform draws, for a predictor that has to be fitted first.
            keep: rounds that it learns from, the newest.
            recent: earlier rounds whose groups refer too, beside the references of the round that begins; less than
                ``keep``.
            tries: rollouts that a pass rate is measured in, which limits how well it can be predicted.
            quota: of each stratum's prompts (:mod:`effrl.select.strata`) in a draw; the paper has none.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._predictor, self._reference, self._steps = predictor, reference, steps
        self._target, self._temperature = target, temperature
        self._warmup, self._keep, self._recent, self._tries = warmup, keep, recent, tries
        self._strata, self._quota = strata(self.prompts), quota
        self._rounds: list[Round] = []
        self._round: int | None = None
        self._drawn: dict[int, None] = {}
        self._queue: list[int] = []
        self._difficulty: Float64 | None = None
        self._fitted = False
        self._compared: dict[str, float] = {}

    def request(self, step: int) -> LookAhead | None:
        """The references of the round that begins with ``step`` (from 1 on), none in a warm-up; None while it lasts.

        Drawn uniformly without replacement, whatever was drawn before.
        """
        if self._round == self._round_of(step):
            return None
        if self._warms_up(step):
            return LookAhead((), "pass_rate")
        random = np.random.default_rng(derive(self._seed, "reference", self._round_of(step)))
        count = min(self._reference, len(self.prompts))
        chosen = random.choice(len(self.prompts), count, replace=False)
        return LookAhead(tuple(self.prompts[index] for index in chosen), "pass_rate")

    def receive(self, step: int, found: Mapping[str, float]) -> None:
        """Begin the round of ``step`` with the pass rates of its references; without any, with those of the last."""
        rates = self._indexed({prompt_id: rate for prompt_id, rate in found.items() if prompt_id in self.index})
        self._compared = self._compare(rates)
        if rates or self._warms_up(step):
            self._rounds = [*self._rounds, Round(rates)][-self._keep :]
        self._begin(self._round_of(step))

    def metrics(self) -> Mapping[str, float]:
        """How well the round before predicted this one's references, and how hard what was drawn should be."""
        if self._round is None:
            return {}
        told = dict(self._compared)
        if self._drawn:  # first: whether anything is fitted is known once something was predicted
            told["select/difficulty_expected"] = float(self.difficulty[[*self._drawn]].mean())
        return {**told, "select/fitted": float(self._fitted)}

    @property
    def difficulty(self) -> Float64:
        """[N] share of failing rollouts, of references as it was measured, of others as it is predicted; the target
        for all before anything is measured."""
        if self._difficulty is None:
            self._difficulty = self._expected()
        return self._difficulty

    def draw(self, count: int) -> list[int]:
        """``count`` prompts from what the round has drawn already; then, for refills, from the rest."""
        if not self._drawn:
            self._queue = self._draw_ahead(min(count * self._steps, len(self.prompts)))
        chosen, self._queue = self._queue[:count], self._queue[count:]
        while len(chosen) < count:
            chosen += self._sample(count - len(chosen), chosen)
        return chosen

    def keys(self, random: np.random.Generator) -> Float64:
        """Of prompts that the round has drawn, infinite."""
        found = keys(self.difficulty, self._target, self._temperature, random)
        found[list(self._drawn)] = np.inf
        return found

    @property
    def ready(self) -> bool:
        """Whether it predicts by now: not in a warm-up."""
        return bool(self._references)

    def renew(self) -> None:
        """Begin another round: its references show what the policy of now finds hard."""
        self._round = None

    def choose(self, keys: Float64, count: int) -> list[int]:
        """The smallest keys within the quotas of their strata."""
        if self._quota is None:
            return super().choose(keys, count)
        open_ = np.flatnonzero(np.isfinite(keys))
        order = open_[np.argsort(keys[open_], kind="stable")]
        return within_quotas(order.tolist(), self._strata, count, self._quota)

    def learn(self, index: int, seen: Observation) -> None:
        """Keep the outcome for the next fit; in this round the references alone tell what the policy finds hard."""
        if self._rounds and index not in self._references:
            self._rounds[-1].others[index] = seen.passes / seen.tries

    def known(self) -> dict[str, Any]:
        """Nothing: what is known belongs to a round, and is in :meth:`state`."""
        return {}

    def recall(self, known: Mapping[str, Any]) -> None:
        """Nothing."""

    def state(self) -> Mapping[str, Any]:
        """What the rounds have found out, the round that lasts, and what it has drawn (a few steps' prompts)."""
        return {
            **super().state(),
            "rounds": [{part: self._named(rates) for part, rates in asdict(entry).items()} for entry in self._rounds],
            "round": self._round,
            "drawn": [self.prompts[index].id for index in self._drawn],
            "queue": [self.prompts[index].id for index in self._queue],
            "compared": dict(self._compared),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state of a selector with the same prompts, predictor and seed.

        Raises:
            ValueError: the state cannot belong to these prompts.
        """
        for names in (state["drawn"], *(rates for entry in state["rounds"] for rates in entry.values())):
            self.must_know(names)
        super().restore(state)
        self._rounds = [
            Round(**{part: self._indexed(rates) for part, rates in entry.items()}) for entry in state["rounds"]
        ]
        self._begin(state["round"])
        self._drawn = dict.fromkeys(self.index[prompt_id] for prompt_id in state["drawn"])
        self._queue = [self.index[prompt_id] for prompt_id in state["queue"]]
        self._compared = dict(state["compared"])

    @property
    def _references(self) -> Mapping[int, float]:
        """Pass rates of the newest references, by index."""
        return self._rounds[-1].references if self._rounds else {}

    def _indexed(self, rates: Mapping[str, float]) -> dict[int, float]:
        return {self.index[prompt_id]: rate for prompt_id, rate in rates.items()}

    def _named(self, rates: Mapping[int, float]) -> dict[str, float]:
        return {self.prompts[index].id: rate for index, rate in rates.items()}

    def _begin(self, number: int | None) -> None:
        self._round = number
        self._drawn, self._queue = {}, []
        self._difficulty = None

    def _round_of(self, step: int) -> int:
        return (step - 1) // self._steps

    def _warms_up(self, step: int) -> bool:
        return self._round_of(step) < self._warmup

    def _expected(self) -> Float64:
        # Never this round's groups: a resume in its middle finds the same predictor again.
        known = [*self._rounds[:-1], Round(dict(self._references))]
        predict = self._predictor(known) if self._references else None
        self._fitted = predict is not None
        if predict is None:
            return np.full(len(self.prompts), self._target)
        shown = self._shown()
        difficulty = 1.0 - predict([*shown], [*shown.values()])
        difficulty[[*self._references]] = 1.0 - np.array([*self._references.values()])
        return difficulty

    def _shown(self) -> dict[int, float]:
        """This round's references, and what a policy of not long ago was measured on; the newest of each prompt.

        No group that was trained on since: a resume in the middle of the round finds the same.
        """
        shown: dict[int, float] = {}
        for entry in self._rounds[-1 - self._recent : -1]:
            shown |= entry.measured
        return shown | dict(self._references)

    def _compare(self, rates: Mapping[int, float]) -> dict[str, float]:
        """What was expected of new references before they were measured; those that were measured already left out."""
        new = [index for index in rates if index not in self._references]
        expected = 1.0 - self.difficulty[new]
        if not self._fitted or len(new) < 2:
            return {}
        measured = np.array([rates[index] for index in new])
        found = evaluate(expected, measured)
        ceiling = noise_ceiling_of_labels(measured, self._tries)
        return {**{f"select/{name}": found[name] for name in REPORTED}, "select/noise_ceiling": ceiling}

    def _draw_ahead(self, count: int) -> list[int]:
        drawn = self._sample(count)
        np.random.default_rng(derive(self._seed, "shuffle", self._draws)).shuffle(drawn)
        return sorted(drawn, key=lambda index: index not in self._references)  # stable: the others stay shuffled

    def _sample(self, count: int, but: Collection[int] = ()) -> list[int]:
        """At most ``count`` prompts that the round has not drawn; once it has drawn all, any not in ``but`` can."""
        if len(self._drawn) == len(self.prompts):
            self._drawn = dict.fromkeys(but)
        chosen = super().draw(min(count, len(self.prompts) - len(self._drawn)))
        self._drawn.update(dict.fromkeys(chosen))
        return chosen
