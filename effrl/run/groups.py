"""The group store of a run: every group that was rolled out for training, and the one fate of each.

``groups/rolled.jsonl`` is written when groups come into being, and is never rewritten; ``groups/step_N.jsonl`` when a
step commits; ``groups/rolled_back/step_N.jsonl`` when a resume takes an attempt at a step back. So the first always
equals the sum of the others, which :func:`tally` counts apart. A resume reads what is of the steps that it takes back,
and of the others their lines in the first, which are short.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from effrl.batch import Settled
from effrl.run.lines import from_end, trim
from effrl.sequences import ProcessReward
from effrl.types import Fate, Float32, Group, Rollout, Score

ROLLED_BACK = "rolled_back"


class GroupStore:
    """Writes the groups of one run; one writer at a time (the holder of the run directory)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        (directory / ROLLED_BACK).mkdir(parents=True, exist_ok=True)
        self._rolled = directory / "rolled.jsonl"
        trim(self._rolled)

    def rolled(self, step: int, groups: Sequence[Group]) -> None:
        """Record that groups exist, before anything else can happen to them."""
        _append(self._rolled, [_entry(step, group) for group in groups])

    def given_up(self, step: int, groups: Sequence[Group]) -> None:
        """Record groups that were sampled ahead for a step that did not come: they exist, and are taken back."""
        self.rolled(step, groups)
        self._take_back(step, [_entry(step, group) for group in groups])

    def commit(self, step: int, settled: Sequence[Settled], process: ProcessReward | None = None) -> None:
        """Record the fate of every group of a step, with its rollouts; all or nothing.

        Args:
            process: the rewards of tokens; those whose texts it tells are recorded with their group.
        """
        path = settled_file(self.directory, step)
        part = path.with_suffix(".part")
        _append(part, [_with_process(_record(step, entry), process) for entry in settled])
        part.rename(path)

    def roll_back(self, after: int) -> int:
        """Take back everything after step ``after``; returns how many groups that were rolled out are lost.

        What was rolled out for ``after`` or an earlier step has its fate: its step committed, or an earlier resume took
        it back before this run went on. Safe to repeat after a crash: a group that is already recorded as rolled back
        is not recorded again.
        """
        for path in self.directory.glob("*.part"):
            path.unlink()
        later: dict[int, list[dict[str, Any]]] = {}
        for entry in _read(self._rolled):
            if entry["step"] > after:
                later.setdefault(entry["step"], []).append(entry)
        lost = sum(self._roll_back_step(step, entries) for step, entries in later.items())
        for step in settled_steps(self.directory):
            if step > after:
                settled_file(self.directory, step).unlink()
        return lost

    def last_attempt(self) -> int:
        """The attempt that rolled out the last group, with whose number its id begins; 0 where there is no group."""
        last = next((line for _, line in from_end(self._rolled)), None)
        return int(json.loads(last)["id"].split("/")[0]) if last else 0

    def _roll_back_step(self, step: int, entries: Sequence[dict[str, Any]]) -> int:
        trim(rolled_back_file(self.directory, step))
        known = {record["id"] for record in _read(rolled_back_file(self.directory, step))}
        settled = {record["id"]: record for record in _read(settled_file(self.directory, step))}
        lost = [settled.get(entry["id"], entry) for entry in entries if entry["id"] not in known]
        self._take_back(step, lost)
        return len(lost)

    def _take_back(self, step: int, records: Sequence[dict[str, Any]]) -> None:
        path = rolled_back_file(self.directory, step)
        _append(path, [{**record, "fate": Fate.ROLLED_BACK} for record in records])


def settled_file(directory: Path, step: int) -> Path:
    """Where the groups are that a step settled."""
    return directory / f"step_{step:06d}.jsonl"


def rolled_back_file(directory: Path, step: int) -> Path:
    """Where the groups are that were rolled out for a step and taken back, of all attempts at it."""
    return directory / ROLLED_BACK / f"step_{step:06d}.jsonl"


def settled_steps(directory: Path) -> list[int]:
    """Steps that settled groups, in order."""
    return sorted(_step_of(path) for path in directory.glob("step_*.jsonl"))


def rolled_back_steps(directory: Path) -> list[int]:
    """Steps of which groups were taken back, in order."""
    return settled_steps(directory / ROLLED_BACK)


def tally(directory: Path) -> tuple[int, Counter[Fate]]:
    """Groups that were rolled out, and how many ended in each fate; the sum of the fates is the first number."""
    settled = (*sorted(directory.glob("step_*.jsonl")), *(directory / ROLLED_BACK).glob("step_*.jsonl"))
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
        "grounds": dict(judged.grounds),
        "label_source": supervision.source if supervision else None,
        "answer": supervision.answer if supervision else None,
        "weight": supervision.weight if supervision else None,
        "offset": supervision.offset if supervision else None,
        "confidence": supervision.confidence if supervision else None,
        "rollouts": [rollout_record(rollout, score) for rollout, score in zip(group.rollouts, scores, strict=True)],
    }


def _with_process(record: dict[str, Any], process: ProcessReward | None) -> dict[str, Any]:
    """With the text and the process reward of each token, for people to look at."""
    if process is None or record["id"] not in process.pieces:
        return record
    rows = zip(record["rollouts"], process.pieces[record["id"]], process.groups[record["id"]], strict=True)
    shown = [{**rollout, "process": _rounded(pieces, row.values)} for rollout, pieces, row in rows]
    return {**record, "rollouts": shown}


def _rounded(pieces: Sequence[str], values: Float32) -> list[tuple[str, float]]:
    return [(piece, round(float(value), 5)) for piece, value in zip(pieces, values, strict=True)]


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


def _read(path: Path) -> list[dict[str, Any]]:
    """All records; a torn last line, of a write that a crash cut off, does not count."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]
