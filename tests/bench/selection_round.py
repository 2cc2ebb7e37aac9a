"""What a selection round costs: seconds and bytes per prompt, with invented embeddings.

``python -m tests.bench.selection_round 100000``. The network is untrained, which costs the same.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import typer

from effrl.difficulty.calibrated import CalibratedPredictor
from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.predictor import DifficultyPredictor
from effrl.protocols import Selector
from effrl.select.band import BandSelector
from effrl.select.calibrated import CalibratedSelector, NearTarget
from effrl.select.curriculum import CurriculumSelector
from effrl.select.dots.selector import DotsSelector
from effrl.select.thompson import ThompsonSelector
from effrl.types import Observation, Prompt


def main(
    prompts: int = 100_000, dimension: int = 1536, hidden: int = 896, reference: int = 256, draw: int = 512
) -> None:
    """Measure every selector on a pool of this size; wall-clock and CPU seconds, since the machine may be busy."""
    pool = [Prompt(f"p/{number}", "?", {"level": number % 8}) for number in range(prompts)]
    print(f"{prompts:,} prompts, draws of {draw}, {torch.get_num_threads()} thread(s)")
    dots(pool, dimension, hidden, reference, draw)
    calibrated(pool, dimension, draw)
    others: dict[str, Callable[[], Selector]] = {
        "band": lambda: BandSelector(pool, 1, 0.125, 0.875, 4),
        "curriculum": lambda: CurriculumSelector(pool, 1, "level", prompts),
        "thompson": lambda: ThompsonSelector(pool, 1, 0.5, 1.0, 0.5),
    }
    for name, make in others.items():
        selector = make()
        with clock(f"{name}: select and observe"):
            selector.observe([Observation(prompt, 4.0, 8) for prompt in selector.select(draw)])


def calibrated(pool: list[Prompt], dimension: int, draw: int) -> None:
    """One round: a fit to as many groups as are kept, predictions of the candidates, and a draw."""
    with embeddings(len(pool), 3 * dimension) as mapped:
        with clock("calibrated: begin"):
            predictor = CalibratedPredictor(mapped)
            selector = CalibratedSelector(pool, 1, predictor, NearTarget())
        passes = np.random.default_rng(1).binomial(8, 0.5, 512)
        for step in range(2):
            selector.observe([Observation(pool[index], float(passes[index]), 8) for index in range(512)])
            with clock(f"calibrated: fit, predict and draw, step {step + 1}"):
                selector.draw(draw)


def dots(pool: list[Prompt], dimension: int, hidden: int, reference: int, draw: int) -> None:
    torch.manual_seed(1)
    network = DifficultyNetwork(dimension, hidden)
    with embeddings(len(pool), dimension) as mapped:
        with clock("dots: project every prompt, once per fitted network"):
            predictor = DifficultyPredictor(network, mapped)
        kept = predictor._projected.element_size() * predictor._projected.nelement()
        print(f"dots: {kept / len(pool):.0f} bytes per prompt kept, {mapped.nbytes / len(pool):.0f} on disk")
        selector = DotsSelector(pool, 1, lambda rounds: predictor, reference=reference)
        for step in (1, 3):
            request = selector.request(step)
            assert request is not None, "a round begins"
            rates = np.random.default_rng(step).binomial(8, 0.5, len(request.prompts)) / 8
            selector.receive(
                step, {prompt.id: rate for prompt, rate in zip(request.prompts, rates.tolist(), strict=True)}
            )
            with clock("dots: predict and draw for two steps"):
                selector.select(draw)


@contextmanager
def embeddings(rows: int, dimension: int) -> Iterator[np.ndarray]:
    """Standard normal rows, in a file, as a run maps them."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "embeddings.npy"
        mapped = np.lib.format.open_memmap(path, "w+", np.float32, (rows, dimension))
        random = np.random.default_rng(1)
        for start in range(0, rows, 4096):
            part = mapped[start : start + 4096]
            part[:] = random.standard_normal(part.shape, np.float32)
        yield np.load(path, mmap_mode="r")


@contextmanager
def clock(what: str) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"{what}: {time.perf_counter() - wall:.2f} s, {time.process_time() - cpu:.2f} s of CPU", flush=True)


if __name__ == "__main__":
    typer.run(main)
