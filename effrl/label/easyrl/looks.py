"""The answers and reflections of a pool, kept line by line as they come: a killed round asks only for the rest."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from effrl.label.easyrl.items import PoolLook, SecondLook
from effrl.run.lines import trim


@dataclass(frozen=True)
class LookFile:
    """JSON Lines of looks, one writer at a time. Of a prompt with several lines the last one counts."""

    path: Path
    policy: str
    """Fingerprint of the policy that is asked: what another one answered is not read."""

    def __post_init__(self) -> None:
        trim(self.path)

    def read(self) -> dict[str, PoolLook]:
        """What this policy answered, by prompt id."""
        if not self.path.exists():
            return {}
        with self.path.open("rb") as file:
            rows = [json.loads(line) for line in file]
        return {row["prompt"]: _look(row) for row in rows if row["policy"] == self.policy}

    def append(self, looks: Sequence[PoolLook]) -> None:
        """Keep looks; all are on disk when this returns."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for look in looks:
                file.write(json.dumps({"policy": self.policy, **asdict(look)}, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _look(row: dict[str, Any]) -> PoolLook:
    second = row["second"]
    known = {name: value for name, value in row.items() if name not in ("policy", "answers", "clusters", "second")}
    return PoolLook(
        answers=tuple(row["answers"]),
        clusters=tuple(row["clusters"]),
        second=None if second is None else SecondLook(**second),
        **known,
    )
