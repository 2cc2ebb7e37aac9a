"""Checkpoints: a directory that exists only when it is whole, and that is proven whole before it is used.

A checkpoint is what the parts of a run say they wrote (:class:`effrl.protocols.Part`). Sealing refuses a file that it
cannot see at its size, and reads no contents: who wrote a file has hashed it. Verifying reads them.
"""

import json
import shutil
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from effrl.errors import UserError
from effrl.run.files import damaged, sync, unseen
from effrl.saved import Saved, SavedFile

FORMAT = 2
"""Of what a checkpoint's directory has in it; the first kept all small state in the manifest."""
MANIFEST = "manifest.json"
MODEL = "hf"
"""Folder of a checkpoint: the policy as an ordinary Hugging Face model, without which a checkpoint is none."""
PRM_MODEL = "prm/hf"
"""Folder of a checkpoint: its implicit PRM as such a model, where the run has one."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint has in it."""

    step: int
    parts: Mapping[str, Saved]
    accuracy: float | None = None
    """On the dev set; None where the step was not evaluated, or there is no such set."""

    @property
    def files(self) -> dict[str, SavedFile]:
        """The files of all parts."""
        return {name: file for saved in self.parts.values() for name, file in saved.files.items()}


class Checkpoints:
    """The checkpoints of a run, ``step_N`` each: the newest ``keep``, and the best on the dev set.

    All methods wait for a disk: what serves an event loop calls them in a thread.
    """

    def __init__(self, directory: Path, keep: int) -> None:
        self.directory = directory
        self.keep = keep

    def begin(self, step: int) -> Path:
        """An empty directory to write the checkpoint of ``step`` into; invisible until sealed."""
        for left in self.directory.glob(".step_*.draft"):  # of an attempt that died, or was refused
            shutil.rmtree(left)
        draft = self.directory / f".step_{step}.draft"
        draft.mkdir(parents=True)
        return draft

    def seal(self, draft: Path, manifest: Checkpoint) -> Path:
        """Make a draft a checkpoint: manifest last, names on disk, then one rename.

        Old checkpoints are deleted only after the new one is durable.

        Raises:
            UserError: a file that a part wrote cannot be seen from here, or nobody wrote a model; nothing is deleted.
        """
        _refuse_incomplete(draft, manifest)
        content = json.loads(json.dumps({"format": FORMAT, **asdict(manifest)}))  # its digest is of what will be read
        (draft / MANIFEST).write_text(json.dumps({**content, "digest": _digest_of(content)}, indent=1))
        sync(draft / MANIFEST)
        for folder in (*(path for path in draft.rglob("*") if path.is_dir()), draft):
            sync(folder)
        final = self.directory / f"step_{manifest.step}"
        shutil.rmtree(final, ignore_errors=True)  # of an attempt that was taken back to an earlier step
        draft.rename(final)
        sync(self.directory)
        best = self.best()
        for old in self.steps()[: -self.keep]:
            if best is None or old != best[0]:
                shutil.rmtree(self.directory / f"step_{old}")
        return final

    def steps(self) -> list[int]:
        """Steps of the sealed checkpoints, oldest first."""
        sealed = self.directory.glob(f"step_*/{MANIFEST}")
        return sorted(int(path.parent.name.removeprefix("step_")) for path in sealed)

    def policy(self, base: str) -> str:
        """Fingerprint of the newest checkpoint's policy; of a run without one, its model's name."""
        if not (steps := self.steps()):
            return base
        files = read_manifest(self.directory / f"step_{steps[-1]}").files
        weights = sorted((name, file.digest) for name, file in files.items() if name.startswith(f"{MODEL}/"))
        return blake2b(repr(weights).encode(), digest_size=16).hexdigest()

    def latest(self) -> tuple[Path, Checkpoint] | None:
        """The newest checkpoint and its manifest, after comparing every file with it; None where there is none.

        Raises:
            UserError: a file is missing or differs, or the checkpoint is of another format.
        """
        if not (steps := self.steps()):
            return None
        path = self.directory / f"step_{steps[-1]}"
        return path, verify(path)

    def best(self) -> tuple[int, float] | None:
        """Step and accuracy of the checkpoint that was best on the dev set, of equals the oldest; None without one.

        As the best is never deleted, it is the best of all that were ever saved, also after a resume.

        Raises:
            UserError: a manifest is damaged.
        """
        accuracies = {step: _intact(self.directory / f"step_{step}").get("accuracy") for step in self.steps()}
        known = {step: accuracy for step, accuracy in accuracies.items() if accuracy is not None}
        return max(known.items(), key=lambda entry: entry[1], default=None)


def verify(path: Path, folder: str = "") -> Checkpoint:
    """Compare the files of a checkpoint, or of one ``folder/`` in it, with its manifest, and return the manifest.

    Raises:
        UserError: one line that names the first file that is missing or differs.
    """
    manifest = read_manifest(path)
    wrong = damaged(path, {name: file for name, file in manifest.files.items() if name.startswith(folder)})
    if wrong:
        file = path / wrong[0]
        raise UserError(f"{file} is {'damaged' if file.exists() else 'missing'}: {_remedy(path)}")
    return manifest


def read_manifest(path: Path) -> Checkpoint:
    """The manifest of a checkpoint, without a look at its files.

    Raises:
        UserError: it is damaged, or of another format.
    """
    content = _intact(path)
    if (found := content.get("format", 1)) != FORMAT:
        raise UserError(
            f"{path} is a checkpoint of format {found}, and this version of effrl reads format {FORMAT}:"
            f" start a new run from its model (model.path={path / MODEL}), or use the version that wrote it"
        )
    parts = {name: _saved(**saved) for name, saved in content["parts"].items()}
    return Checkpoint(content["step"], parts, content["accuracy"])


def _saved(files: Mapping[str, Mapping[str, Any]], state: Mapping[str, Any]) -> Saved:
    return Saved({name: SavedFile(**file) for name, file in files.items()}, state)


def _refuse_incomplete(draft: Path, manifest: Checkpoint) -> None:
    refused = f"the checkpoint of step {manifest.step} is refused, and the ones before it stay:"
    if not any(name.startswith(f"{MODEL}/") for name in manifest.files):
        raise UserError(f"{refused} no part of the run wrote a model into {draft / MODEL}; see the learner's log")
    for part, saved in manifest.parts.items():
        if missing := unseen(draft, saved.files):
            hosts = sorted({saved.files[name].host or "another node" for name in missing})
            raise UserError(
                f"{refused} {len(missing)} of {len(saved.files)} files of the {part}, the first {missing[0]}, were"
                f" written on {', '.join(hosts)} and are not seen on {socket.gethostname()} as they were written:"
                f" put run.dir ({draft.parent.parent}) on storage that all nodes share"
            )


def _intact(path: Path) -> dict[str, Any]:
    """The content of a manifest of any format."""
    try:
        content: dict[str, Any] = json.loads((path / MANIFEST).read_text())
        intact = content.pop("digest") == _digest_of(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path / MANIFEST} is damaged: {_remedy(path)}") from error
    if not intact:
        raise UserError(f"{path / MANIFEST} is damaged: {_remedy(path)}")
    return content


def _remedy(path: Path) -> str:
    return f"restore it, or delete {path} to resume from the checkpoint before it"


def _digest_of(content: Mapping[str, Any]) -> str:
    """Digest of a manifest's own content, so that a flipped digit in its step or version is found too."""
    return blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=16).hexdigest()
