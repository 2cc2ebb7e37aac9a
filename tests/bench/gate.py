"""How often the gate errs: ``python -m tests.bench.gate``. Simulated runs of steps whose groups have signal at random.

For each share of the zone, beside a control of 0.30: how many runs closed it at least once, and the share of steps that
it was closed, once it can be judged. Seconds on one core.
"""

import numpy as np
import typer

from effrl.select.gate import Gate


def closed(zone: float, control: float, steps: int, prompts: int, share: float, seed: int) -> list[bool]:
    """Of each step of one run, whether its prompts are drawn without the zone."""
    random, gate, told = np.random.default_rng(seed), Gate(), []
    uniform = round(share * prompts)
    gate.observe([], (random.random(2 * prompts) < control).tolist())  # what a run begins with
    for _ in range(steps):
        told.append(not gate.is_open)
        drawn = prompts - uniform if gate.is_open else 0
        gate.observe((random.random(drawn) < zone).tolist(), (random.random(prompts - drawn) < control).tolist())
    return told


def main(control: float = 0.3, steps: int = 50, prompts: int = 32, share: float = 0.25, runs: int = 1000) -> None:
    """Print a table."""
    print(f"control {control:.2f}, {steps} steps of {prompts} prompts, a share of {share:.2f} uniform, {runs} runs")
    print("| zone | runs that closed it | steps without it |")
    print("|---|---|---|")
    for gain in (-0.2, -0.1, 0.0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3):
        told = np.array([closed(control + gain, control, steps, prompts, share, seed) for seed in range(runs)])
        print(f"| {control + gain:.2f} | {told.any(1).mean():.3f} | {told.mean():.3f} |")


if __name__ == "__main__":
    typer.run(main)
