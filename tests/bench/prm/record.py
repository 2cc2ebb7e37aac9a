"""Run RLOO and keep the groups that it learned from: all PRMs then see the same rollouts of the same policy.

    python -m tests.bench.prm.record --family chain --seeds 1-7 --out /tmp/prm
    python -m tests.bench.prm.record --family chain --seeds 1-7 --out /tmp/prm --fixed

``--fixed`` keeps the policy at the base, for gradients at one policy. What is there already is not run again.
"""

import argparse
import os
import shutil
from pathlib import Path

from effrl.config.load import load
from effrl.config.schema import Config
from tests.bench.engines import Engines
from tests.bench.prm.recorder import FOLDER

RESULTS = Path("tests/bench/results/prm")
FAMILIES: dict[str, tuple[str, ...]] = {
    "chain": ("data.train=tasks:chain?size=4096",),
    "knights": ("data.train=tasks:knights?size=4096",),
}
"""What is asked, and of whom."""
RUN = (
    "process={kind: 'tests.bench.prm.recorder:Recorder'}",
    "advantage={kind: prime, whiten: false}",
    "loss={kind: clipped, reduce: token, over: trained}",
    "rollout.filter={low: 0.2, high: 0.8}",
    "eval={every: 1000, prompts: 256, per_prompt: 1}",
)
DRIFTING = ("run.steps=24", "learn.lr=2.0e-4")
FIXED = ("run.steps=12", "rollout.prompts=64", "learn.lr=1.0e-12")


def config_of(family: str, seed: int, fixed: bool) -> Config:
    """As PRIME's, with a recorder in the place of the PRM."""
    return load(
        "tests/bench/bench.yaml", [*RUN, *FAMILIES[family], *(FIXED if fixed else DRIFTING), f"run.seed={seed}"]
    )


def folder_of(out: Path, family: str, seed: int, fixed: bool) -> Path:
    return out / f"{family}{'-fixed' if fixed else ''}-{seed}"


def seeds_of(text: str) -> list[int]:
    """``1-3`` is 1, 2 and 3."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def record(out: Path, family: str, seeds: list[int], fixed: bool) -> None:
    with Engines() as execute:
        for seed in seeds:
            folder, config = folder_of(out, family, seed, fixed), config_of(family, seed, fixed)
            if len(list(folder.glob("step_*.npz"))) == config.run.steps:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            os.environ[FOLDER] = str(folder)
            execute(config, folder / "run")
            print(f"{folder.name}: {config.run.steps} steps", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=list(FAMILIES), required=True)
    parser.add_argument("--seeds", type=seeds_of, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--fixed", action="store_true", help="keep the policy as it is")
    wish = parser.parse_args()
    record(wish.out, wish.family, wish.seeds, wish.fixed)


if __name__ == "__main__":
    main()
