"""It learns, as much as a plain loop does, and from nothing but the reward. About 15 minutes on two cores.

``python tests/slow/test_learning.py SEED effrl|plain|random`` measures one run and prints its curve.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from plain_loop import PlainLoop, curve

from effrl.models import TINY
from effrl.run import metrics

SEEDS, STEPS, EVERY = (1, 2, 3), 20, 10
PLUGINS = Path(__file__).parent.parent / "plugins"
MANY = ("data.eval=tasks:chain?split=dev&size=1024", "eval.prompts=1024")
"""With 128 held-out prompts, sampling alone moves the accuracy by 2 points; with these, by 0.7."""


def train(run: Path, seed: int, *overrides: str) -> None:
    """A real run, without refills: the plain loop has none."""
    command = [str(Path(sys.executable).with_name("effrl")), "train", "quickstart", f"run.seed={seed}"]
    settings = ["rollout.refill=0", f"run.steps={STEPS}", f"eval.every={EVERY}", f"run.dir={run}", *overrides]
    subprocess.run([*command, *settings], check=True, timeout=1800, cwd=PLUGINS)


def effrl_curve(seed: int) -> list[float]:
    """Held-out accuracy of a real run."""
    with tempfile.TemporaryDirectory() as directory:
        train(run := Path(directory) / "run", seed)
        return [row["eval/accuracy"] for row in metrics.read(run / "metrics.jsonl") if "eval/accuracy" in row]


def random_curve(seed: int) -> list[float]:
    """True accuracy before and after a run whose reward is random; its own metrics would show that reward."""
    with tempfile.TemporaryDirectory() as directory:
        train(run := Path(directory) / "run", seed, "reward={kind: 'rewards:random_reward'}", "data.eval=null")
        trained = run / "checkpoints" / f"step_{STEPS}" / "hf"
        return [PlainLoop(seed, model, *MANY).accuracy() for model in (TINY, trained)]


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(7200)
def test_the_curve_is_that_of_a_plain_loop() -> None:
    ours = np.array([effrl_curve(seed) for seed in SEEDS])
    plain = np.array([curve(seed, STEPS, EVERY) for seed in SEEDS])
    print("effrl", ours.round(3).tolist(), "plain", plain.round(3).tolist())
    assert (ours[:, -1] - ours[:, 0] >= 0.20).all(), "twenty points over row 0, with every seed"
    gap = np.abs(ours.mean(axis=0) - plain.mean(axis=0))
    spread = np.maximum(np.ptp(ours, axis=0), np.ptp(plain, axis=0))
    assert (gap <= np.maximum(spread, 0.03)).all(), "nowhere farther apart than the seeds are"


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(1800)
def test_random_rewards_teach_nothing() -> None:
    before, after = random_curve(1)
    assert after - before < 0.02


if __name__ == "__main__":
    seed, arm = int(sys.argv[1]), sys.argv[2]
    measured = {"effrl": effrl_curve, "random": random_curve, "plain": lambda seed: curve(seed, STEPS, EVERY)}[arm]
    print(arm, seed, [round(value, 3) for value in measured(seed)])
