"""Data of your own: any JSON Lines file with a prompt and a label in each line.

    python examples/own_data.py sums.jsonl
    effrl train quickstart data.train=sums.jsonl "data.eval=sums.jsonl" run.steps=2

Expect a mean outcome of about 0.80 in step 1. The built-in model reads ``12c7`` as 12+12+7, and now and then as 7+7+12.
"""

import json
import random
import sys
from pathlib import Path


def main(path: Path, rows: int = 256) -> None:
    """Write ``rows`` sums of three numbers, of which two are equal."""
    numbers = random.Random(1)
    with path.open("w") as file:
        for index in range(rows):
            one, other = numbers.randrange(31), numbers.randrange(31)
            row = {"id": f"sum/{index}", "prompt": f"{one}c{other}=", "label": str(2 * one + other)}
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
