"""``python -m tests.bench.speed SIZE [--rounds N] [--steps N] [--out FILE.json]``, or ``curves`` for a size."""

import argparse
import json
import os
import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

from effrl.errors import UserError
from tests.bench.speed import curves
from tests.bench.speed.bare_engine import engine_steps
from tests.bench.speed.bare_learner import learner_steps
from tests.bench.speed.effrl_arm import effrl_steps
from tests.bench.speed.rows import Row, write
from tests.bench.speed.sizes import ROOT, SIZES, Size, model_of, write_prompts
from tests.bench.speed.summary import summary, table
from tests.bench.speed.trl_arm import install, trl_steps

RESULTS = ROOT / "tests" / "bench" / "results" / "speed"


def main() -> None:
    """Measure, print a table, and keep the rows as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.speed")
    parser.add_argument("size", choices=[*SIZES, "curves"])
    parser.add_argument("--rounds", type=int, default=5, help="runs of every arm, of which medians are taken")
    parser.add_argument("--steps", type=int, default=3, help="measured steps of a run, after one that warms up")
    parser.add_argument("--out", type=Path, help="default: tests/bench/results/speed/SIZE.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="speed-") as directory:
        work = Path(directory)
        write_prompts(work / "prompts.jsonl")
        try:
            if given.size == "curves":
                found, text = sweep(given.steps, work)
            else:
                found, text = compare(SIZES[given.size], given.rounds, given.steps, work)
        except UserError as error:
            sys.exit(str(error))
    print(text)
    out = given.out or RESULTS / f"{given.size}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({"machine": machine(), "steps": given.steps, **found}, indent=1) + "\n")
    print(f"\n{out}")


def compare(size: Size, rounds: int, steps: int, work: Path) -> tuple[dict[str, Any], str]:
    """All arms, ``rounds`` times in turn."""
    model = model_of(size, work)
    install()
    measured = []
    for number in range(1, rounds + 1):
        place = work / f"round-{number}"
        place.mkdir()
        measured.append(one_round(size, model, work / "prompts.jsonl", steps + 1, place))
        print(f"{size.name}: round {number} of {rounds} done", file=sys.stderr, flush=True)
    found = summary(measured)
    return {"size": size.name, "summary": found, "rounds": measured}, table(found)


def one_round(size: Size, model: Path, prompts: Path, steps: int, place: Path) -> dict[str, list[Row]]:
    """Every arm once; the floor repeats what effrl sampled. The first step of each is left out."""
    effrl, rollouts = effrl_steps(size, model, prompts, steps, place / "effrl")
    write(place / "rollouts.jsonl", rollouts)
    arms = {
        "effrl": effrl,
        "trl": trl_steps(size, model, prompts, steps, place / "trl"),
        "engine": engine_steps(size, model, place / "rollouts.jsonl", place),
        "learner": learner_steps(model, place / "rollouts.jsonl", place),
    }
    return {name: rows[1:] for name, rows in arms.items()}


def sweep(steps: int, work: Path) -> tuple[dict[str, Any], str]:
    """Cost curves of effrl alone."""
    points = curves.measure(work / "prompts.jsonl", steps, work)
    lines = curves.lines(points)
    kept = {varied: {part: line._asdict() for part, line in parts.items()} for varied, parts in lines.items()}
    return {"lines": kept, "points": points}, curves.table(lines)


def machine() -> dict[str, Any]:
    """What the figures depend on besides the code."""
    packages = ("torch", "transformers", "ray", "deepspeed")
    return {
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        **{package: version(package) for package in packages},
    }


if __name__ == "__main__":
    main()
