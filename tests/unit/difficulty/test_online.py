"""Fitting in a run: on what rounds found out, the same each time, and better than not fitting."""

from statistics import fmean

import numpy as np
import torch

from effrl.config.select import DotsSelect
from effrl.difficulty.metrics import pearson
from effrl.difficulty.online import Refitting
from effrl.difficulty.predictor import UntrainedPredictor
from effrl.difficulty.rounds import Round
from tests.unit.difficulty.synthetic import World


def rounds(world: World, count: int, references: int = 16, others: int = 48) -> list[Round]:
    """A policy that gets better from round to round."""
    found = []
    for number in range(count):
        rates = world.measure(world.rates(-1.0 + 0.2 * number))
        rows = world.random.permutation(len(rates))[: references + others].tolist()
        measured = {row: float(rates[row]) for row in rows}
        found.append(Round({row: measured.pop(row) for row in rows[:references]}, measured))
    return found


def test_nothing_is_fitted_before_there_is_enough() -> None:
    world = World(200)
    seen = rounds(world, 3)
    refit = Refitting(world.embeddings, DotsSelect(epochs=1), 1, 8)
    newest = Round(seen[1].references)
    assert refit([]) is None and refit([newest]) is None and refit([seen[0], newest]) is not None
    assert refit([Round({}, {7: 0.5}), newest]) is None, "one prompt tells nothing"
    assert refit([Round({}, {7: 0.5, 8: 1.0}), newest]) is not None, "a round without references does"


def test_it_learns_what_the_embeddings_say() -> None:
    world = World(600)
    seen = rounds(world, 10)
    newest = Round(seen[-1].references)
    predictor = Refitting(world.embeddings, DotsSelect(), 1, 8)([*seen[:-1], newest])
    assert predictor is not None
    truth = world.rates(-1.0 + 0.2 * 9)
    references, rates = [*newest.references], [*newest.references.values()]
    found, untrained = (
        pearson(predict(references, rates), truth) for predict in (predictor, UntrainedPredictor(world.embeddings))
    )
    assert found > 0.8 and found > untrained + 0.1
    assert fmean(predictor(references, rates)) - fmean(truth) < 0.2


def test_the_same_rounds_give_the_same_predictions_whatever_was_drawn_before() -> None:
    world = World(200)
    seen = rounds(world, 4)
    references, rates = [*seen[-1].references], [*seen[-1].references.values()]
    first = Refitting(world.embeddings, DotsSelect(epochs=2), 1, 8)(seen)
    state = torch.random.get_rng_state()
    torch.rand(5)
    changed = torch.random.get_rng_state()
    again = Refitting(world.embeddings, DotsSelect(epochs=2), 1, 8)(seen)
    assert torch.equal(torch.random.get_rng_state(), changed) and not torch.equal(state, changed)
    other = Refitting(world.embeddings, DotsSelect(epochs=2), 2, 8)(seen)
    assert first is not None and again is not None and other is not None
    np.testing.assert_array_equal(again(references, rates), first(references, rates))
    assert not np.array_equal(other(references, rates), first(references, rates))
