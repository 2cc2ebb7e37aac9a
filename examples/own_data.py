"""Data of your own: any JSON Lines file with a prompt and a label in each line.

    python examples/own_data.py sums.jsonl
    effrl train quickstart data.train=sums.jsonl "data.eval=sums.jsonl" run.steps=2

Expect a mean outcome of about NUMBER in step 1: the built-in model adds two numbers well.
"""

import json
import random
import sys
from pathlib import Path


def main(path: Path, rows: int = 256) -> None:
    """Write ``rows`` sums of two numbers."""
    numbers = random.Random(1)
    with path.open("w") as file:
        for index in range(rows):
            one, other = numbers.randrange(10, 100), numbers.randrange(10, 100)
            row = {"id": f"sum/{index}", "prompt": f"{one}+{other}=", "label": str(one + other)}
            file.write(json.dumps(row) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
