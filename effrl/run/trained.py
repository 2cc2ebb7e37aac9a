"""What a run has made: the checkpoint that a path names, as a model to evaluate or to take elsewhere."""

from dataclasses import dataclass
from pathlib import Path

from effrl.errors import UserError
from effrl.run.checkpoint import MANIFEST, MODEL, PRM_MODEL, Checkpoints, verify
from effrl.run.directory import RunDirectory


@dataclass(frozen=True, slots=True)
class Trained:
    """A checkpoint of a run."""

    run: RunDirectory
    checkpoint: Path
    why: str = ""
    """Why it was chosen among others."""

    @property
    def model(self) -> Path:
        """Its Hugging Face directory."""
        return self.checkpoint / MODEL

    def prm(self) -> Path | None:
        """The Hugging Face directory of its implicit PRM, whose files are compared with the manifest; None without one.

        Raises:
            UserError: a file is missing or damaged.
        """
        folder = f"{PRM_MODEL}/"
        files = verify(self.checkpoint, folder).files
        return self.checkpoint / PRM_MODEL if any(name.startswith(folder) for name in files) else None

    @property
    def name(self) -> str:
        """For people: ``runs/demo, step 20 (best by dev: 0.65)``."""
        step = self.checkpoint.name.removeprefix("step_")
        return f"{self.run.path}, step {step}" + (f" ({self.why})" if self.why else "")


def find(path: Path) -> Trained | None:
    """The checkpoint that ``path`` names: a run's best on the dev set, else its newest; or one of its checkpoints.

    The files of its model are compared with its manifest. None where ``path`` is neither a run nor a checkpoint.

    Raises:
        UserError: the run has no checkpoint yet, a file is damaged, or the checkpoint is of another format.
    """
    if path.name == MODEL and (path.parent / MANIFEST).is_file():
        path = path.parent
    if (path / MANIFEST).is_file():
        found = Trained(RunDirectory(path.parent.parent), path)
    elif RunDirectory(path).config.is_file():
        found = _chosen(RunDirectory(path))
    else:
        return None
    verify(found.checkpoint, f"{MODEL}/")
    return found


def pick(run: RunDirectory, which: str) -> Trained:
    """The checkpoint of a run that is wanted, without a look at its files: they may be large, and it is asked often.

    Args:
        run: which has been started.
        which: ``best`` (on the dev set, or else the newest), ``newest``, or the number of a step.

    Raises:
        UserError: there is none, or it is not said which.
    """
    if which == "best":
        return _chosen(run)
    steps = _steps(run)
    if which == "newest":
        return Trained(run, run.checkpoints / f"step_{steps[-1]}", "the newest")
    if not which.isdecimal() or int(which) not in steps:
        raise UserError(f"{run.path} has no checkpoint {which!r}: choose best, newest or one of {steps}")
    return Trained(run, run.checkpoints / f"step_{int(which)}")


def _chosen(run: RunDirectory) -> Trained:
    newest = _steps(run)[-1]
    if best := Checkpoints(run.checkpoints, keep=1).best():
        step, accuracy = best
        return Trained(run, run.checkpoints / f"step_{step}", f"best by dev: {accuracy:.2f}")
    return Trained(run, run.checkpoints / f"step_{newest}", "the newest")


def _steps(run: RunDirectory) -> list[int]:
    if not (steps := Checkpoints(run.checkpoints, keep=1).steps()):
        raise UserError(f"{run.path} has no checkpoint yet: wait for one, or lower run.save_every")
    return steps
