"""Prompts whose pass rate, predicted from what the run has measured so far, is near a target."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np

from effrl.difficulty.calibrated import CalibratedPredictor, Evidence, Rates
from effrl.difficulty.metrics import mae, pearson
from effrl.protocols import LookAhead
from effrl.select.dots.gumbel import keys as near
from effrl.select.ranked import RankedSelector
from effrl.select.strata import Strata, strata, within_quotas
from effrl.types import Float64, Observation, Prompt


@dataclass(frozen=True, slots=True)
class Measurement:
    """A group that was rolled out: ``Measurement("p/7", 2.0, 8, True, 12)``."""

    prompt_id: str
    passes: float
    tries: int
    trusted: bool
    step: int
    """Counted in calls of ``observe``."""


@dataclass(frozen=True, slots=True)
class NearTarget:
    """What a calibrated selector draws near, and from how much: the fields of ``select: {kind: calibrated}``."""

    reference: int = 64
    target: float = 0.5
    temperature: float = 0.05
    keep: int = 512
    rest: int = 8
    candidates: int = 8192
    quota: float | None = 4.0


class CalibratedSelector(RankedSelector):
    """A :class:`~effrl.protocols.Selector` that measures nothing for its own sake.

    The first groups of a run are uniform draws, which are learned from as any others (``ready`` is false as long).
    From then on kernel ridge on embeddings (:mod:`effrl.difficulty.calibrated`) predicts the pass rates of all prompts,
    fitted anew after each step to the newest groups, and prompts are drawn in proportion to
    ``exp(-|rate - target| / temperature)``. A prompt that was drawn rests for some draws: its group is known by then,
    and a few prompts must not become all that the policy sees.
    """

    def __init__(
        self,
        prompts: Sequence[Prompt],
        seed: int,
        predictor: CalibratedPredictor,
        aim: NearTarget,
        certainties: bool = False,
    ) -> None:
        """Start without measurements.

        Args:
            predictor: over the embeddings of the same prompts, in the same order.
            aim: what to draw near.
            certainties: ask how certain the policy is of every prompt's answer (UFO-RL), once, and use it where
                leave-one-out error says so.

        Raises:
            ValueError: there are no prompts, or two of them share an id.
        """
        super().__init__(prompts, seed)
        self._predictor, self._aim, self._certainties = predictor, aim, certainties
        self._strata: Strata = strata(self.prompts)
        self._seen: list[Measurement] = []
        self._steps = 0
        self._certainty: dict[str, float] | None = None
        self._resting: dict[int, int] = {}
        """Draw in which a prompt came last, by index."""
        self._rates: Rates | None = None
        self._told: dict[str, float] = {}

    @property
    def ready(self) -> bool:
        """Whether enough is measured to predict from."""
        return len(self._seen) >= min(self._aim.reference, len(self.prompts))

    def renew(self) -> None:
        """Ask for certainties anew, if it asks at all; fits are new in each step anyway."""
        self._certainty, self._rates = None, None

    def request(self, step: int) -> LookAhead | None:
        """Certainties of the whole pool, where none are known."""
        return LookAhead(self.prompts, "certainty") if self._certainties and self._certainty is None else None

    def receive(self, step: int, found: Mapping[str, float]) -> None:
        """Keep certainties; prompts of other pools say nothing here."""
        self._certainty = {prompt_id: value for prompt_id, value in found.items() if prompt_id in self.index}
        self._rates = None

    def metrics(self) -> Mapping[str, float]:
        """How well the last step's groups were predicted before they were known, and how hard the draws should be."""
        return {**self._told, "select/fitted": float(self.ready)}

    def observe(self, seen: Sequence[Observation]) -> None:
        """Compare with what was predicted; then the newest measurements are what is known."""
        self._told = self._compared(self.of_pool(seen))
        self._steps += 1
        super().observe(seen)
        self._seen = self._seen[-self._aim.keep :]
        self._rates = None

    def learn(self, index: int, seen: Observation) -> None:
        self._seen.append(Measurement(seen.prompt.id, seen.passes, seen.tries, seen.trusted, self._steps))

    def keys(self, random: np.random.Generator) -> Float64:
        """Of a random part of the pool, as large as can be predicted at once; infinite for all others."""
        count, aim = len(self.prompts), self._aim
        rows = np.arange(count)
        if count > aim.candidates:
            rows = np.sort(random.choice(count, aim.candidates, replace=False))
        found = np.full(count, np.inf)
        found[rows] = near(1 - self._predicted(rows), 1 - aim.target, aim.temperature, random)
        resting = [index for index, drawn in self._resting.items() if self._draws - drawn < aim.rest]
        found[resting] += 1e6  # drawn where nothing else is left
        return found

    def choose(self, keys: Float64, count: int) -> list[int]:
        """The smallest keys within the quotas of their strata; the first of the pool where too few are candidates."""
        chosen = within_quotas(np.argsort(keys, kind="stable").tolist(), self._strata, count, self._aim.quota)
        self._resting = {index: drawn for index, drawn in self._resting.items() if self._draws - drawn < self._aim.rest}
        self._resting |= dict.fromkeys(chosen, self._draws)
        return chosen

    def known(self) -> dict[str, Any]:
        """Nothing: a prompt may have been measured several times, and that is in :meth:`state`."""
        return {}

    def recall(self, known: Mapping[str, Any]) -> None:
        """Nothing."""

    def state(self) -> Mapping[str, Any]:
        """Measurements, certainties, and who rests; fits are made again from them."""
        return {
            **super().state(),
            "seen": [asdict(entry) for entry in self._seen],
            "steps": self._steps,
            "certainty": None if self._certainty is None else dict(self._certainty),
            "resting": {self.prompts[index].id: drawn for index, drawn in self._resting.items()},
            "told": dict(self._told),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a saved state of a selector with the same prompts, predictor and seed.

        Raises:
            ValueError: the state cannot belong to these prompts.
        """
        seen = [Measurement(**entry) for entry in state["seen"]]
        for names in ([entry.prompt_id for entry in seen], state["resting"], state["certainty"] or {}):
            self.must_know(names)
        super().restore(state)
        if (seen, state["certainty"]) != (self._seen, self._certainty):
            self._rates = None  # else the fit is the same: a look at what comes next need not cost one
        self._seen, self._steps, self._certainty = seen, state["steps"], state["certainty"]
        self._resting = {self.index[name]: drawn for name, drawn in state["resting"].items()}
        self._told = dict(state["told"])

    def _predicted(self, rows: np.ndarray) -> Float64:
        if self._rates is None:
            hints = {"certainty": self._hint()} if self._certainty else {}
            self._rates, _ = self._predictor.fit(self._evidence(), hints)
        return self._rates(rows)

    def _evidence(self) -> Evidence:
        return Evidence(
            np.array([self.index[entry.prompt_id] for entry in self._seen]),
            np.array([entry.passes for entry in self._seen], np.float64),
            np.array([entry.tries for entry in self._seen], np.float64),
            np.array([self._steps - entry.step for entry in self._seen], np.float64),
            np.array([entry.trusted for entry in self._seen]),
        )

    def _hint(self) -> Float64:
        assert self._certainty is not None
        return np.array([self._certainty.get(prompt.id, np.nan) for prompt in self.prompts])

    def _compared(self, seen: Sequence[Observation]) -> dict[str, float]:
        """Of the groups of a step: predictions from the steps before, and what was measured then."""
        if not self.ready or len(seen) < 2:
            return {}
        predicted = self._predicted(np.array([self.index[entry.prompt.id] for entry in seen]))
        measured = np.array([entry.passes / entry.tries for entry in seen])
        return {
            "select/pearson": pearson(predicted, measured),
            "select/mae": mae(predicted, measured),
            "select/difficulty_expected": 1 - fmean(predicted.tolist()),
        }
