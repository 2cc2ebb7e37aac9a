"""Fitting the difficulty network on snapshots of finished runs, and how well it predicts what it was not shown.

A fifth of the prompts is held out of every snapshot, and the last quarter of every run's snapshots as a whole: the
policies that a next run comes to.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray

from effrl.difficulty.gather import Snapshot
from effrl.difficulty.metrics import evaluate, noise_ceiling_of_labels
from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.predictor import DifficultyPredictor, UntrainedPredictor
from effrl.difficulty.training import Examples, PolicyTable
from effrl.seeds import derive
from effrl.types import Float32, Float64


@dataclass(frozen=True, slots=True)
class HeldOutSplit:
    """Snapshots over embedded prompts, and what of them is held out."""

    embeddings: Float32
    """[N, D]."""
    places: Mapping[str, int]
    """Row of each prompt's text."""
    snapshots: Sequence[Snapshot]
    held_out: frozenset[str]
    """Texts of prompts that nothing is fitted on."""
    unseen: frozenset[int]
    """Numbers of snapshots that nothing is fitted on."""

    def examples(self) -> list[Examples]:
        """What to fit on: in every snapshot, the prompts predict one another."""
        seen = [snapshot for number, snapshot in enumerate(self.snapshots) if number not in self.unseen]
        rates = [self.shown(snapshot) for snapshot in seen]
        return [self._examples(entry) for entry in rates if len(entry) > 1]

    def shown(self, snapshot: Snapshot) -> dict[str, float]:
        """Pass rates of the prompts that are not held out; all others are predicted from these."""
        return {text: rate for text, rate in snapshot.rates.items() if text not in self.held_out}

    def hidden(self, snapshot: Snapshot) -> dict[str, float]:
        """Pass rates of those that are."""
        return {text: rate for text, rate in snapshot.rates.items() if text in self.held_out}

    def rows(self, texts: Mapping[str, float]) -> NDArray[np.int64]:
        """[n] rows of some texts."""
        return np.array([self.places[text] for text in texts], np.int64)

    def _examples(self, rates: Mapping[str, float]) -> Examples:
        values = np.fromiter(rates.values(), np.float32)
        own = np.arange(len(rates))
        return Examples(np.asarray(self.embeddings[self.rows(rates)]), own, [PolicyTable(own, values, values)])


def split(embeddings: Float32, texts: Sequence[str], found: Sequence[Snapshot], seed: int) -> HeldOutSplit:
    """Hold out every fifth prompt, and of each run with at least four snapshots the last quarter.

    The draw of a prompt depends on its text and the seed alone.
    """
    sizes = Counter(snapshot.run for snapshot in found)
    counts, unseen = defaultdict[str, int](int), set[int]()
    for number, snapshot in enumerate(found):
        counts[snapshot.run] += 1
        if counts[snapshot.run] > sizes[snapshot.run] - sizes[snapshot.run] // 4:
            unseen.add(number)
    held_out = frozenset(text for text in texts if derive(seed, "held out", text) % 5 == 0)
    return HeldOutSplit(embeddings, {text: row for row, text in enumerate(texts)}, found, held_out, frozenset(unseen))


@dataclass(frozen=True, slots=True)
class Result:
    """How well the held-out prompts of one snapshot are predicted."""

    snapshot: Snapshot
    unseen: bool
    """Whether nothing of this policy was fitted on."""
    prompts: int
    ceiling: float
    """The largest correlation that any predictor could reach, since rates are measured in few rollouts."""
    fitted: Mapping[str, float]
    """:func:`effrl.difficulty.metrics.evaluate` of the network."""
    untrained: Mapping[str, float]
    """The same of attention over raw embeddings."""
    mean: Mapping[str, float]
    """The same of the mean of the references."""


def results(network: DifficultyNetwork, data: HeldOutSplit, references: int, seed: int) -> list[Result]:
    """Held-out metrics of every snapshot that has at least two held-out prompts and two references."""
    return [
        _result(network, data, number, references, seed)
        for number, snapshot in enumerate(data.snapshots)
        if len(data.hidden(snapshot)) > 1 and len(data.shown(snapshot)) > 1
    ]


@dataclass(frozen=True, slots=True)
class Predictions:
    """Of the held-out prompts of one snapshot, [n] each; and what they were made from."""

    references: Mapping[str, float]
    """Pass rates by text."""
    texts: Sequence[str]
    true: Float64
    """As measured."""
    fitted: Float64
    untrained: Float64
    mean: Float64
    network: Float64
    """[K + n] of the network alone, references first; theirs without their own rate."""


def predict(network: DifficultyNetwork, data: HeldOutSplit, number: int, references: int, seed: int) -> Predictions:
    """Predict the held-out prompts of one snapshot from at most so many references, drawn from its others."""
    shown, hidden = data.shown(data.snapshots[number]), data.hidden(data.snapshots[number])
    drawn = np.random.default_rng([seed, number]).permutation([*shown])[:references].tolist()
    rates = {text: shown[text] for text in drawn}
    embeddings = np.asarray(data.embeddings[np.concatenate([data.rows(rates), data.rows(hidden)])])
    places, values = range(len(rates)), [*rates.values()]
    predictor = DifficultyPredictor(network, embeddings)
    return Predictions(
        rates,
        [*hidden],
        np.fromiter(hidden.values(), np.float64),
        predictor(places, values)[len(rates) :],
        UntrainedPredictor(embeddings)(places, values)[len(rates) :],
        np.full(len(hidden), fmean(values)),
        predictor.blind(places, values),
    )


def _result(network: DifficultyNetwork, data: HeldOutSplit, number: int, references: int, seed: int) -> Result:
    snapshot, found = data.snapshots[number], predict(network, data, number, references, seed)
    return Result(
        snapshot,
        number in data.unseen,
        len(found.texts),
        noise_ceiling_of_labels(np.fromiter(snapshot.rates.values(), np.float64), round(snapshot.tries)),
        evaluate(found.fitted, found.true),
        evaluate(found.untrained, found.true),
        evaluate(found.mean, found.true),
    )


def summary(found: Sequence[Result]) -> dict[str, float]:
    """Means over the snapshots of unseen policies, or over all where none is unseen; empty without any."""
    chosen = [entry for entry in found if entry.unseen] or found
    if not chosen:
        return {}
    means = {name: fmean(entry.fitted[name] for entry in chosen) for name in chosen[0].fitted}
    baseline = {f"untrained_{name}": fmean(entry.untrained[name] for entry in chosen) for name in chosen[0].untrained}
    return {**means, **baseline, "noise_ceiling": fmean(entry.ceiling for entry in chosen)}


def untrained(dimension: int, hidden: int, layers: int, seed: int) -> DifficultyNetwork:
    """A network with seeded weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DifficultyNetwork(dimension, hidden, layers)
