"""A checkpoint as a run writes it, with little in it."""

from pathlib import Path

from effrl.run.checkpoint import Checkpoints


def write(checkpoints: Checkpoints, step: int, accuracy: float | None = None) -> Path:
    draft = checkpoints.begin(step)
    (draft / "hf").mkdir()
    (draft / "hf" / "model.safetensors").write_bytes(b"weights %d" % step)
    (draft / "state.pt").write_bytes(b"state")
    return checkpoints.seal(draft, step, {"version": step, "ranks": 1, "data": {"epoch": 0}, "accuracy": accuracy})
