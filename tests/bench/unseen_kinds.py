"""Strings of which two misread kinds come last: ``python -m tests.bench.unseen_kinds``.

The easiest tenth by the column ``order`` is of level 0 and has none of them: no label says that they are misread.
"""

import json
from pathlib import Path

from effrl.config.load import load
from effrl.data.reader import read

SOURCE = "data.train=tasks:strings?size=1024"
OUT = Path("build/unseen/strings.jsonl")
UNSEEN = frozenset("TU")
"""Kinds that ``tiny`` mostly misreads."""


def main() -> None:
    OUT.parent.mkdir(parents=True, exist_ok=True)
    data = load("quickstart", [SOURCE]).data
    rows = list(read(data.train, data.form))
    last = max(row.prompt.meta["level"] for row in rows) + 1
    with OUT.open("w") as file:
        for row in rows:
            prompt = row.prompt
            order = prompt.meta["level"] + (last if prompt.meta["kind"] in UNSEEN else 0)
            fields = {"id": prompt.id, "prompt": prompt.text, "label": row.label, **prompt.meta, "order": order}
            file.write(json.dumps(fields) + "\n")


if __name__ == "__main__":
    main()
