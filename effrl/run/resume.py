"""Going on with a run: the newest whole checkpoint, and everything after it taken back (but never the ledger)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from effrl.config.resumable import changed_for_good
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory
from effrl.run.groups import GroupStore
from effrl.run.metrics import truncate_after


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where an attempt starts: the base model, or a verified checkpoint."""

    model: Path
    step: int = 0
    version: int = 0
    attempt: int = 1
    """Numbers the attempts at one run, so that no two of them can give two groups the same id."""
    checkpoint: Path | None = None
    data_state: Mapping[str, Any] = field(default_factory=dict)
    rolled_back: int = 0
    """Groups of the attempt before that were taken back."""


def check_changes(directory: RunDirectory, before: Config, after: Config) -> None:
    """See that a resume changes only what a run may be changed in (:mod:`effrl.config.resumable`).

    Raises:
        UserError: one line that names the fields, and says what to do.
    """
    if not (changed := changed_for_good(before, after)):
        return
    told = ", ".join(f"{name} (it is {_short(old)}, not {_short(new)})" for name, (old, new) in changed.items())
    steps = Checkpoints(directory.checkpoints, before.run.keep).steps()
    model = directory.checkpoints / f"step_{steps[-1]}" / "hf" if steps else before.model.path
    raise UserError(
        f"a run that goes on cannot change {told}: leave it out, or start a new run from here,"
        f" effrl train {directory.config} model.path={model} …"
    )


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def resume_point(directory: RunDirectory, config: Config, base: Path) -> StartPoint:
    """Verify the newest checkpoint, and take back groups and metrics after it.

    Raises:
        UserError: the checkpoint is damaged or was made by another number of ranks, or the run is finished.
    """
    found = Checkpoints(directory.checkpoints, config.run.keep).latest()
    path, manifest = found if found else (None, dict[str, Any](step=0, version=0, data={}))
    step: int = manifest["step"]
    if step >= config.run.steps:
        raise UserError(
            f"{directory.path} is finished at step {step}: to go on, effrl resume {directory.path} run.steps={2 * step}"
        )
    if path and manifest["ranks"] != config.cluster.ranks:
        raise UserError(
            f"{path} was written by {manifest['ranks']} learner ranks, not {config.cluster.ranks}:"
            " set cluster.learner back"
        )
    rolled_back = GroupStore(directory.groups).roll_back(step)
    for log in (directory.metrics, directory.scores):
        truncate_after(log, step if path else -1)
    return StartPoint(
        model=path / "hf" if path else base,
        step=step,
        version=manifest["version"],
        attempt=_last_attempt(directory.groups / "rolled.jsonl") + 1,
        checkpoint=path,
        data_state=manifest["data"],
        rolled_back=rolled_back,
    )


def _last_attempt(rolled: Path) -> int:
    """Group ids begin with the attempt that made them; 0 where nothing was rolled out."""
    if not rolled.exists():
        return 0
    lines = rolled.read_text(encoding="utf-8").split("\n")[:-1]
    return int(json.loads(lines[-1])["id"].split("/")[0]) if lines else 0
