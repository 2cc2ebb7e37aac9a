"""Going on with a run: the newest whole checkpoint, and everything after it taken back (but never the ledger)."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from effrl.config.resumable import changed_for_good
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.protocols import Part
from effrl.run.checkpoint import MODEL, Checkpoint, Checkpoints, read_manifest
from effrl.run.directory import RunDirectory
from effrl.run.groups import GroupStore
from effrl.run.metrics import truncate_after
from effrl.saved import Saved


class FinishedError(UserError):
    """A run that has nothing left to do; to go on with it is a mistake, and to find it so is none."""


@dataclass(frozen=True, slots=True)
class StartPoint:
    """Where an attempt starts: the base model, or a verified checkpoint."""

    model: Path
    step: int = 0
    version: int = 0
    attempt: int = 1
    """Numbers the attempts at one run, so that no two of them can give two groups the same id."""
    checkpoint: Path | None = None
    parts: Mapping[str, Saved] = field(default_factory=dict)
    """What each part wrote into the checkpoint."""
    rolled_back: int = 0
    """Groups of the attempt before that were taken back."""

    async def restore(self, parts: Iterable[Part]) -> None:
        """Bring every part back to where the checkpoint has it; a part that it has not starts anew."""
        for part in parts:
            if self.checkpoint is not None and part.name in self.parts:
                await part.load(self.checkpoint, self.parts[part.name].state)


def check_changes(directory: RunDirectory, before: Config, after: Config) -> None:
    """See that a resume changes only what a run may be changed in (:mod:`effrl.config.resumable`).

    Raises:
        UserError: one line that names the fields, and says what to do.
    """
    if not (changed := changed_for_good(before, after)):
        return
    told = ", ".join(f"{name} (it is {_short(old)}, not {_short(new)})" for name, (old, new) in changed.items())
    steps = Checkpoints(directory.checkpoints, before.run.keep).steps()
    model = directory.checkpoints / f"step_{steps[-1]}" / MODEL if steps else before.model.path
    raise UserError(
        f"a run that goes on cannot change {told}: leave it out, or start a new run from here,"
        f" effrl train {directory.config} model.path={model} …"
    )


def is_finished(directory: RunDirectory, config: Config) -> bool:
    """Whether a run has nothing left to do.

    Raises:
        UserError: its newest checkpoint's manifest is damaged, or of another format.
    """
    if not (steps := Checkpoints(directory.checkpoints, config.run.keep).steps()):
        return False
    manifest = read_manifest(directory.checkpoints / f"step_{steps[-1]}")
    return manifest.step >= _last(config, manifest)


def _last(config: Config, manifest: Checkpoint) -> int:
    """Number of the last step: stages may be done before ``run.steps`` is."""
    steps, stages = config.run.steps, manifest.parts.get("stages")
    ends = None if stages is None else stages.state["last"]
    return steps if ends is None else min(steps, ends)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}…"


def resume_point(directory: RunDirectory, config: Config, base: Path) -> StartPoint:
    """Verify the newest checkpoint, and take back groups and metrics after it.

    Raises:
        UserError: the checkpoint is damaged, of another format, or made by another number of ranks.
        FinishedError: the run is finished.
    """
    found = Checkpoints(directory.checkpoints, config.run.keep).latest()
    path, manifest = (found[0].absolute(), found[1]) if found else (None, Checkpoint(0, {}))
    if manifest.step >= _last(config, manifest):
        on = f"effrl resume {directory.path} run.steps={2 * manifest.step}"
        if config.stages:
            model = directory.checkpoints / f"step_{manifest.step}" / MODEL
            on = f"start a new run from its model, with other stages (model.path={model})"
        raise FinishedError(f"{directory.path} is finished at step {manifest.step}: to go on, {on}")
    learner = manifest.parts["learner"].state if path else {"version": 0, "ranks": config.cluster.ranks}
    if learner["ranks"] != config.cluster.ranks:
        raise UserError(
            f"{path} was written by {learner['ranks']} learner ranks, not {config.cluster.ranks}:"
            " set cluster.learner back"
        )
    groups = GroupStore(directory.groups)
    rolled_back = groups.roll_back(manifest.step)
    for log in (directory.metrics, directory.scores):
        truncate_after(log, manifest.step if path else -1)
    return StartPoint(
        model=path / MODEL if path else base,
        step=manifest.step,
        version=learner["version"],
        attempt=groups.last_attempt() + 1,
        checkpoint=path,
        parts=manifest.parts,
        rolled_back=rolled_back,
    )
