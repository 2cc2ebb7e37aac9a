"""One-step problems with one-digit numbers in plain English, for a model that can barely count.

    python examples/smollm2/problems.py         # writes smollm2/train.jsonl and smollm2/held_out.jsonl

Each problem has a pair of numbers from 2 to 9, an operation and one of its phrasings. Every third pair is held out, in
both orders and with all operations and phrasings: no held-out problem has the numbers of a problem to train on. Of the
held-out problems 200 are drawn. The files are the same on every machine.
"""

import json
import random
import sys
from collections.abc import Iterable
from itertools import combinations_with_replacement
from pathlib import Path

HELD_OUT = 200
NAMES = "Anna", "Ben", "Clara", "David", "Emma", "Finn"
THINGS = "apples", "books", "coins", "pencils", "stickers", "shells"
SUMS = (
    "What is {a} + {b}?",
    "What is {a} plus {b}?",
    "What is the sum of {a} and {b}?",
    "{name} has {a} {things} and gets {b} more. How many {things} does {name} have now?",
    "{name} has {a} {things}, and {other} has {b}. How many {things} do they have together?",
)
DIFFERENCES = (
    "What is {a} - {b}?",
    "What is {a} minus {b}?",
    "{name} has {a} {things} and loses {b} of them. How many {things} are left?",
    "{name} has {a} {things} and gives {b} of them to {other}. How many {things} does {name} have now?",
)
PRODUCTS = (
    "What is {a} times {b}?",
    "There are {a} boxes with {b} {things} in each. How many {things} are there?",
    "{name} buys {a} bags of {b} {things}. How many {things} does {name} buy?",
)


def main(directory: Path = Path("smollm2")) -> None:
    """Write both files."""
    pairs = list(combinations_with_replacement(range(2, 10), 2))
    random.Random(0).shuffle(pairs)
    held_out = random.Random(1).sample(list(problems(pairs[::3])), HELD_OUT)
    train = list(problems(pair for index, pair in enumerate(pairs) if index % 3))
    directory.mkdir(parents=True, exist_ok=True)
    for name, rows in (("train", train), ("held_out", held_out)):
        lines = [json.dumps({"id": f"{name}/{index}", **row}) + "\n" for index, row in enumerate(rows)]
        (directory / f"{name}.jsonl").write_text("".join(lines))
        print(f"{directory / name}.jsonl: {len(rows)} problems")
    print("Next: effrl train examples/smollm2/smollm2.yaml")


def problems(pairs: Iterable[tuple[int, int]]) -> Iterable[dict[str, str]]:
    """All problems with these pairs of numbers, in both orders where the operation allows it."""
    for small, large in pairs:
        for a, b in dict.fromkeys([(small, large), (large, small)]):
            yield from (problem("sum", text, a, b, a + b) for text in SUMS)
            yield from (problem("product", text, a, b, a * b) for text in PRODUCTS)
        yield from (problem("difference", text, large, small, large - small) for text in DIFFERENCES)


def problem(kind: str, text: str, a: int, b: int, answer: int) -> dict[str, str]:
    """One row; its names and things depend on nothing but itself."""
    chosen = random.Random(f"{text} {a} {b}")
    name, other = chosen.sample(NAMES, 2)
    filled = text.format(a=a, b=b, name=name, other=other, things=chosen.choice(THINGS))
    return {"prompt": filled, "label": str(answer), "kind": kind}


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
