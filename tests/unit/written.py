"""A checkpoint as a run writes it, with little in it."""

import json
import shutil
from hashlib import blake2b
from pathlib import Path

from effrl.config import load
from effrl.run.checkpoint import MANIFEST, MODEL, PRM_MODEL, Checkpoint, Checkpoints
from effrl.run.files import written
from effrl.saved import Saved


def write(checkpoints: Checkpoints, step: int, accuracy: float | None = None) -> Path:
    draft = checkpoints.begin(step)
    return checkpoints.seal(draft, Checkpoint(step, parts(draft, step), accuracy))


def parts(draft: Path, step: int, ranks: int = 1) -> dict[str, Saved]:
    """What a learner and a data actor say of the files that they write into a draft."""
    files = {"hf/model.safetensors": b"weights %d" % step, "learner/state.pt": b"state", "data/state.json.gz": b"data"}
    for name, content in files.items():
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).write_bytes(content)
    model, state, data = (draft / name for name in files)
    learner = Saved(written(draft, [model, state]), {"version": step, "ranks": ranks})
    return {"learner": learner, "data": Saved(written(draft, [data]), {})}


def as_before(checkpoint: Path) -> None:
    """Give a checkpoint a manifest of the first format, which had no number."""
    digests = {str(file.relative_to(checkpoint)): "" for file in checkpoint.rglob("*") if file.name != MANIFEST}
    old = {"step": 10, "version": 10, "ranks": 1, "data": {}, "accuracy": 0.5, "files": digests}
    digest = blake2b(json.dumps(old, sort_keys=True).encode(), digest_size=16).hexdigest()
    (checkpoint / MANIFEST).write_text(json.dumps({**old, "digest": digest}))


def run_with_prm(path: Path, policy: Path, prm: Path | None, *overrides: str) -> Path:
    """A run of the recipe ``prime`` at ``path``, whose one checkpoint has these models; of ``grpo`` without a PRM."""
    path.mkdir()
    recipe = "grpo" if prm is None else "prime"
    (path / "config.yaml").write_text(load.dump(load.load(recipe, (f"model.path={policy}", *overrides))))
    checkpoints = Checkpoints(path / "checkpoints", keep=1)
    draft = checkpoints.begin(10)
    for folder, model in ((MODEL, policy), (PRM_MODEL, prm)):
        if model is not None:
            shutil.copytree(model, draft / folder)
    files = [file for file in draft.rglob("*") if file.is_file()]
    checkpoints.seal(draft, Checkpoint(10, {"learner": Saved(written(draft, files), {})}))
    return path
