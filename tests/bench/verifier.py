"""How often the verifier of mathematics is wrong, and how fast it is.

``python -m tests.bench.verifier gsm8k`` judges all published solutions and mutants; ``… renderings`` the answers of the
project's 32 rules in LaTeX, words and Unicode; ``… votes`` forms clusters of 10,000 random groups in two orders;
``… speed BEFORE AFTER`` counts completions per second of two checkouts, on one core, in turn.
"""

import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from effrl.reward import verifiers
from tests.bench.renderings import rendered
from tests.bench.voting import judged_groups
from tests.gsm8k import FORMS, MUTATIONS, Solution, published

ROUNDS = 5
GROUPS = 10_000
PER_KIND = 8


def gsm8k() -> None:
    solutions = published()
    for form, write in FORMS.items():
        accepted = sum(_right(write(solution), solution) for solution in solutions)
        print(f"{form:28} {accepted:6,} of {len(solutions):6,} accepted")
    for mutation, others in MUTATIONS.items():
        cases = [(solution, other) for solution in solutions for other in others(solution)]
        rejected = sum(not _right(solution.ending(other), solution) for solution, other in cases)
        print(f"{mutation:28} {rejected:6,} of {len(cases):6,} rejected ({rejected / len(cases):.4%})")


def _right(completion: str, solution: Solution) -> bool:
    return verifiers.math(completion, solution.ending(solution.final), {}).outcome == 1


def renderings(per_kind: int = PER_KIND) -> None:
    pairs: Counter[tuple[str, bool]] = Counter()
    wrong: Counter[tuple[str, bool]] = Counter()
    for case in rendered(per_kind):
        pairs[case.form, case.right] += 1
        wrong[case.form, case.right] += (verifiers.math(case.completion, case.label, {}).outcome == 1) != case.right
    print(f"{'form':28} {'right':>7} {'refused':>8} {'mutated':>8} {'accepted':>9}")
    for form in sorted({form for form, _ in pairs}):
        counts = [pairs[form, True], wrong[form, True], pairs[form, False], wrong[form, False]]
        print("{:28} {:7,} {:8,} {:8,} {:9,}".format(form, *counts))
    refused, accepted = (sum(count for (_, right), count in wrong.items() if right == side) for side in (True, False))
    print(f"{sum(pairs.values()):,} pairs: {refused:,} false rejects, {accepted:,} false accepts")


def votes(groups: int = GROUPS) -> None:
    began = time.monotonic()
    found = judged_groups(groups, seed=0)
    print(
        f"{found.groups:,} groups: {found.differing:,} form others in another order; {found.judged:,} judgements"
        f" for {found.pairs:,} distinct pairs, {found.repeated:,} judged twice; {time.monotonic() - began:.0f} s"
    )


def speed(*trees: str) -> None:
    """Medians of interleaved runs, so that what else the machine does strikes all alike."""
    script = Path(__file__).with_name("verifier_speed.py")
    rates: dict[str, list[float]] = {tree: [] for tree in trees}
    for _ in range(ROUNDS):
        for tree in trees:
            environment = {**os.environ, "PYTHONPATH": tree}
            run = [sys.executable, str(script), str(Path.cwd())]
            done = subprocess.run(run, cwd=tree, env=environment, capture_output=True, text=True, check=True)
            rates[tree].append(float(done.stdout))
    for tree, found in rates.items():
        spread = f"{min(found):,.0f} to {max(found):,.0f}"
        print(f"{tree}: {statistics.median(found):,.0f} completions a second (median of {ROUNDS}, {spread})")


if __name__ == "__main__":
    {"gsm8k": gsm8k, "renderings": renderings, "votes": votes, "speed": speed}[sys.argv[1]](*sys.argv[2:])
