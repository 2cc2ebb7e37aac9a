"""Why a run's prompts were chosen or not: one line per prompt and look in ``select/scores.jsonl``."""

import json
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

from effrl.models import fingerprint


class Found(Protocol):
    """What was found out of one prompt: ``actors.driver.certainty.Certainty``."""

    @property
    def record(self) -> Mapping[str, Any]:
        """As it is kept."""
        ...


Reasons = Mapping[str, float | bool]


@dataclass
class ScoreRecords:
    """Appends what was found; written by the driver alone. A resume takes back what is newer than its checkpoint."""

    path: Path
    model: Path
    """What the run began with: its fingerprint and a policy version name the weights that scored."""

    def add(self, step: int, version: int, found: Sequence[tuple[Found, Reasons]]) -> None:
        """Keep one look; all lines are on disk when this returns."""
        origin = {"step": step, "model": self._fingerprint, "version": version}
        self.path.parent.mkdir(exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            for entry, reasons in found:
                file.write(json.dumps({**origin, **entry.record, **reasons}, ensure_ascii=False) + "\n")
            file.flush()
            os.fsync(file.fileno())

    @cached_property
    def _fingerprint(self) -> str:
        return fingerprint(self.model)


def certainties(path: Path, step: int, prompt_ids: Collection[str]) -> dict[str, float]:
    """By prompt id, what was known at ``step``; nothing where nothing was scored.

    A pool is scored many times in a run: only the lines of the prompts that are asked for are parsed.
    """
    known: dict[str, float] = {}
    marks = [json.dumps(prompt_id, ensure_ascii=False).encode() for prompt_id in prompt_ids]
    for line in _lines(path):
        if any(mark in line for mark in marks):
            row = json.loads(line)
            if row["step"] <= step and row["prompt_id"] in prompt_ids:
                known[row["prompt_id"]] = row["certainty"]
    return known


def _lines(path: Path) -> Iterator[bytes]:
    """Without a torn last one."""
    if path.exists():
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
