"""What an implicit PRM costs.

``python -m tests.bench.prm.cost time RUN…``: the time that it adds to a step of real runs, beside what its forward and
backward passes predict from the learner's time for the same rollouts. ``python -m tests.bench.prm.cost memory
[SHAPE]``: peak resident memory of one rank in this process over that before it started, beside what is counted.
"""

import os
import resource
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

from effrl.config.process import ImplicitPrm
from effrl.run import metrics

PREDICTED = 4 / 3
"""The learner has one forward and one backward pass over what is trained on, three forward passes' worth; the PRM has
the same, and a forward pass of its reference."""
SEQUENCES, PROMPT, SAMPLED, PASS_TOKENS = 8, 16, 48, 512


def times(*runs: str) -> None:
    """Medians over the steps of runs with one policy update, without replay and evaluations."""
    rows = [row for run in runs for row in metrics.read(Path(run) / "metrics.jsonl") if row["step"] > 1]
    rows = [row for row in rows if not row["time/eval_s"]]
    learn, added, step = (
        statistics.median(row[name] for row in rows) for name in ("time/learn_s", "time/process_s", "time/step_s")
    )
    ratios = [
        row["time/step_s"] / (row["time/step_s"] - row["time/process_s"] + PREDICTED * row["time/learn_s"])
        for row in rows
    ]
    against, predicted = step / (step - added), statistics.median(ratios)
    print(f"{len(rows)} steps of {step:.2f} s: learner {learn:.2f} s, PRM {added:.2f} s,", end=" ")
    print(f"of which {PREDICTED * learn:.2f} s are predicted")
    print(f"a step with the PRM takes {against:.2f} of one without, and {predicted:.2f} of the prediction")


def memory(shape: str = "100m") -> None:
    """A start and two steps of a random model of a real one's shape."""
    from tests.bench.learner_memory import SHAPES, make

    environment = {
        "RANK": "0",
        "WORLD_SIZE": "1",
        "LOCAL_RANK": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "29519",
    }
    os.environ.update(environment)
    with tempfile.TemporaryDirectory() as directory:
        model = Path(directory) / "model"
        make(shape, model)
        from actors.prm.actor import PrmOptions, PrmRank
        from effrl.learn.packing import unweighted
        from effrl.process.examples import Targets, shared_out

        rank = PrmRank.__new__(PrmRank)  # without an actor's log file
        rank.options = PrmOptions(str(model), str(model), "float32", ImplicitPrm(), 1.0, 0, 1)
        rank.reference = None
        before = _resident()
        rank.load()
        print(f"both models: {_resident() - before:.2f} GiB over the {before:.2f} GiB of libraries")
        rng = np.random.default_rng(0)
        ids = [
            rng.integers(3, SHAPES[shape]["vocab_size"], PROMPT + SAMPLED).astype(np.int32) for _ in range(SEQUENCES)
        ]
        blank = np.zeros(SEQUENCES, np.float32)
        wanted = Targets(np.arange(SEQUENCES, dtype=np.float32) % 2, blank, blank + 1)
        _, [work] = shared_out([unweighted(row, PROMPT) for row in ids], wanted, 1, PASS_TOKENS)
        for number in (1, 2):
            rank.step(work, SEQUENCES, 1e-6)
            print(f"step {number}: peak {_peak() - before:.2f} GiB")
    parameters = sum(parameter.numel() for parameter in rank.engine.language_model.parameters())
    counted = parameters * (4 + 4 + 4 + 12) / 2**30
    print(f"counted for {parameters / 1e6:.0f}M parameters, without activations: {counted:.2f} GiB")


def _resident() -> float:
    """In GiB, of now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**30


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


if __name__ == "__main__":
    {"time": times, "memory": memory}[sys.argv[1]](*sys.argv[2:])
