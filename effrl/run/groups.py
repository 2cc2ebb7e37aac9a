"""The group store of a run: every group that was rolled out for training, and the one fate of each.

``groups/rolled.jsonl`` is written when groups come into being, and is never rewritten; ``groups/step_N.jsonl`` when a
step commits; ``groups/rolled_back.jsonl`` when a resume takes an attempt back. So the first always equals the sum of
the others, which :func:`tally` counts apart.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from effrl.batch import Settled
from effrl.types import Fate, Group, Rollout, Score


class GroupStore:
    """Writes the groups of one run; one writer at a time (the holder of the run directory)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self._rolled = directory / "rolled.jsonl"
        self._rolled_back = directory / "rolled_back.jsonl"
        for path in (self._rolled, self._rolled_back):
            _trim(path)

    def rolled(self, step: int, groups: Sequence[Group]) -> None:
        """Record that groups exist, before anything else can happen to them."""
        _append(self._rolled, [_entry(step, group) for group in groups])

    def given_up(self, step: int, groups: Sequence[Group]) -> None:
        """Record groups that were sampled ahead for a step that did not come: they exist, and are taken back."""
        self.rolled(step, groups)
        _append(self._rolled_back, [{**_entry(step, group), "fate": Fate.ROLLED_BACK} for group in groups])

    def commit(self, step: int, settled: Sequence[Settled]) -> None:
        """Record the fate of every group of a step, with its rollouts; all or nothing."""
        path = self._step(step)
        part = path.with_suffix(".part")
        _append(part, [_record(step, entry) for entry in settled])
        part.rename(path)

    def roll_back(self, after: int) -> int:
        """Take back everything after step ``after``; returns how many groups that were rolled out are lost.

        Safe to repeat after a crash: a group that is already recorded as rolled back is not recorded again.
        """
        for path in self.directory.glob("*.part"):
            path.unlink()
        later = [path for path in self._steps() if _step_of(path) > after]
        records = {record["id"]: record for path in later for record in _read(path)}
        known = {record["id"] for path in self._steps() if _step_of(path) <= after for record in _read(path)}
        known |= {record["id"] for record in _read(self._rolled_back)}
        lost = [records.get(entry["id"], entry) for entry in _read(self._rolled) if entry["id"] not in known]
        _append(self._rolled_back, [{**record, "fate": Fate.ROLLED_BACK} for record in lost])
        for path in later:
            path.unlink()
        return len(lost)

    def _step(self, step: int) -> Path:
        return self.directory / f"step_{step:06d}.jsonl"

    def _steps(self) -> list[Path]:
        return sorted(self.directory.glob("step_*.jsonl"))


def tally(directory: Path) -> tuple[int, Counter[Fate]]:
    """Groups that were rolled out, and how many ended in each fate; the sum of the fates is the first number."""
    settled = (*sorted(directory.glob("step_*.jsonl")), directory / "rolled_back.jsonl")
    # By id: a group that one step parked has its last fate in the step in which its label came.
    fates = {record["id"]: Fate(record["fate"]) for path in settled for record in _read(path)}
    return len(_read(directory / "rolled.jsonl")), Counter(fates.values())


def _step_of(path: Path) -> int:
    return int(path.stem.removeprefix("step_"))


def _entry(step: int, group: Group) -> dict[str, Any]:
    return {"id": group.id, "step": step, "prompt_id": group.prompt.id, "tokens": group.tokens}


def _record(step: int, settled: Settled) -> dict[str, Any]:
    judged, group = settled.scored.judged, settled.scored.group
    supervision = judged.supervision
    scores: Sequence[Score | None] = settled.scored.scores or [None] * len(group.rollouts)
    return {
        "id": group.id,
        "step": step,
        "prompt_id": group.prompt.id,
        "prompt": text_of(group),
        "fate": settled.fate,
        "decision": judged.decision,
        "reason": judged.reason,
        "label_source": supervision.source if supervision else None,
        "answer": supervision.answer if supervision else None,
        "rollouts": [rollout_record(rollout, score) for rollout, score in zip(group.rollouts, scores, strict=True)],
    }


def text_of(group: Group) -> str:
    """The prompt as text; of a conversation, one line for each message."""
    return group.prompt.text


def rollout_record(rollout: Rollout, score: Score | None) -> dict[str, Any]:
    """A rollout as it is kept; without a score where it was dropped before."""
    return {
        "text": rollout.text,
        "tokens": len(rollout.token_ids),
        "finish_reason": rollout.finish_reason,
        "version_min": rollout.version_min,
        "version_max": rollout.version_max,
        "outcome": score.outcome if score else None,
        "reward": score.reward if score else None,
        "status": score.status if score else None,
        "answer": score.answer if score else None,
        "detail": score.detail if score else "",
    }


def _append(path: Path, records: Iterable[dict[str, Any]]) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)
        file.flush()
        os.fsync(file.fileno())


def _trim(path: Path) -> None:
    """Cut off the torn last line of a write that a crash interrupted, or the next record would be glued to it."""
    if path.exists():
        whole = path.read_bytes().rfind(b"\n") + 1
        os.truncate(path, whole)


def _read(path: Path) -> list[dict[str, Any]]:
    """All records; a torn last line, of a write that a crash cut off, does not count."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]
