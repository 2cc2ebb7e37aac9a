"""Checkpoints: a directory that exists only when it is whole, and that is proven whole before it is used."""

import json
import os
import shutil
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from effrl.errors import UserError

MANIFEST = "manifest.json"


ACCURACY = "accuracy"
"""What a manifest calls the accuracy on the dev set; null where the step was not evaluated, or there is no such set."""


class Checkpoints:
    """The checkpoints of a run, ``step_N`` each: the newest ``keep``, and the best on the dev set."""

    def __init__(self, directory: Path, keep: int) -> None:
        self.directory = directory
        self.keep = keep

    def begin(self, step: int) -> Path:
        """An empty directory to write the checkpoint of ``step`` into; invisible until sealed."""
        draft = self.directory / f".step_{step}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        return draft

    def seal(self, draft: Path, step: int, state: Mapping[str, Any]) -> Path:
        """Make a draft a checkpoint: manifest with checksums last, everything on disk, then one rename.

        Old checkpoints are deleted only after the new one is durable.
        """
        files = {str(path.relative_to(draft)): _digest(path) for path in sorted(draft.rglob("*")) if path.is_file()}
        manifest = {"step": step, **state, "files": files}
        (draft / MANIFEST).write_text(json.dumps({**manifest, "digest": _digest_of(manifest)}, indent=1))
        for path in (*draft.rglob("*"), draft):
            _sync(path)
        final = self.directory / f"step_{step}"
        shutil.rmtree(final, ignore_errors=True)  # of an attempt that was taken back to an earlier step
        draft.rename(final)
        _sync(self.directory)
        best = self.best()
        for old in self.steps()[: -self.keep]:
            if best is None or old != best[0]:
                shutil.rmtree(self.directory / f"step_{old}")
        return final

    def steps(self) -> list[int]:
        """Steps of the sealed checkpoints, oldest first."""
        sealed = self.directory.glob(f"step_*/{MANIFEST}")
        return sorted(int(path.parent.name.removeprefix("step_")) for path in sealed)

    def latest(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest checkpoint and its manifest, after comparing every file with it; None where there is none.

        Raises:
            UserError: a file is missing or differs.
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
        accuracies = {step: read_manifest(self.directory / f"step_{step}").get(ACCURACY) for step in self.steps()}
        known = {step: accuracy for step, accuracy in accuracies.items() if accuracy is not None}
        return max(known.items(), key=lambda entry: entry[1], default=None)


def verify(path: Path, folder: str = "") -> dict[str, Any]:
    """Compare the files of a checkpoint, or of one ``folder/`` in it, with its manifest, and return the manifest.

    Raises:
        UserError: one line that names the first file that is missing or differs.
    """
    manifest = read_manifest(path)
    files: dict[str, str] = manifest["files"]
    for name, digest in files.items():
        file = path / name
        if name.startswith(folder) and (not file.is_file() or _digest(file) != digest):
            raise UserError(f"{file} is {'damaged' if file.exists() else 'missing'}: {_remedy(path)}")
    return manifest


def read_manifest(path: Path) -> dict[str, Any]:
    """The manifest of a checkpoint, without a look at its files.

    Raises:
        UserError: it is damaged.
    """
    try:
        manifest: dict[str, Any] = json.loads((path / MANIFEST).read_text())
        intact = manifest.pop("digest") == _digest_of(manifest) and isinstance(manifest["files"], dict)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path / MANIFEST} is damaged: {_remedy(path)}") from error
    if not intact:
        raise UserError(f"{path / MANIFEST} is damaged: {_remedy(path)}")
    return manifest


def _remedy(path: Path) -> str:
    return f"restore it, or delete {path} to resume from the checkpoint before it"


def _digest_of(manifest: Mapping[str, Any]) -> str:
    """Digest of a manifest's own content, so that a flipped digit in its step or version is found too."""
    return blake2b(json.dumps(manifest, sort_keys=True).encode(), digest_size=16).hexdigest()


def _digest(path: Path) -> str:
    digest = blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(2**20):
            digest.update(chunk)
    return digest.hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
