"""The rows of a canary are found in a step's micro-batches, wherever they are."""

import numpy as np
import torch

from actors.learner.objective import Watch
from effrl.learn.packing import cut
from effrl.sequences import TrainingSequence
from effrl.types import Canary


def sequence(*ids: int, prompt: int) -> TrainingSequence:
    nothing = np.zeros(len(ids) - prompt, np.float32)
    return TrainingSequence(np.array(ids, np.int32), prompt, nothing, nothing)


SEQUENCES = [
    sequence(7, 8, 9, prompt=1),
    sequence(7, 8, prompt=1),
    sequence(7, 8, 9, 9, prompt=2),
    sequence(5, 6, prompt=1),
]


def test_every_sequence_is_found_once_whatever_the_cut() -> None:
    """What stands for a log-prob is ten times the token, plus its place."""
    chosen = SEQUENCES[:3]
    canary = Canary(tuple(one.ids for one in chosen), tuple(one.prompt_length for one in chosen), whole=True)
    for ranks, tokens in ((1, 100), (1, 4), (2, 100), (3, 2)):
        watch = Watch(canary)
        for batch in (batch for share in cut(SEQUENCES, ranks, tokens) for batch in share):
            watch.see(batch, torch.tensor(10 * batch.ids + np.arange(batch.ids.shape[1])))
        assert {place: values.tolist() for place, values in watch.found.items()} == {0: [81, 92], 1: [81], 2: [92, 93]}
