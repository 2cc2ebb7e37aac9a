"""Run RLOO and keep the groups that it learned from: all PRMs then see the same rollouts of the same policy.

    python -m tests.bench.prm.record --family chain --seeds 1-7 --out /tmp/prm

What is there already is not run again.
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
    "run.steps=20",
    "learn.lr=2.0e-4",
    "eval={every: 1000, prompts: 256, per_prompt: 1}",
)


def config_of(family: str, seed: int) -> Config:
    """As PRIME's, with a recorder in the place of the PRM."""
    return load("tests/bench/bench.yaml", [*RUN, *FAMILIES[family], f"run.seed={seed}"])


def folder_of(out: Path, family: str, seed: int, fixed: bool = False) -> Path:
    """Of a run, or of groups at the base."""
    return out / f"{family}{'-fixed' if fixed else ''}-{seed}"


def seeds_of(text: str) -> list[int]:
    """``1-3`` is 1, 2 and 3."""
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1))


def parser_of(about: str | None, out: Path | None = None) -> argparse.ArgumentParser:
    """What every script here is asked: a family, seeds, and where to write, ``out`` where nothing else is said."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=list(FAMILIES), required=True)
    parser.add_argument("--seeds", type=seeds_of, required=True)
    parser.add_argument("--out", type=Path, default=out, required=out is None)
    return parser


def record(out: Path, family: str, seeds: list[int]) -> None:
    with Engines() as execute:
        for seed in seeds:
            folder, config = folder_of(out, family, seed), config_of(family, seed)
            if len(list(folder.glob("step_*.npz"))) == config.run.steps:
                continue
            shutil.rmtree(folder, ignore_errors=True)
            os.environ[FOLDER] = str(folder)
            execute(config, folder / "run")
            print(f"{folder.name}: {config.run.steps} steps", flush=True)


def main() -> None:
    wish = parser_of(__doc__).parse_args()
    record(wish.out, wish.family, wish.seeds)


if __name__ == "__main__":
    main()
