"""Peak memory and seconds by stage of a whole run on a model of a real one's shape: engine, learner and publishes.

``python -m tests.bench.whole_run SHAPE [key=value …]``; shapes are those of :mod:`tests.bench.learner_memory`, weights
random, nothing downloaded. Two short steps through ``effrl train``; memory is what the machine uses more than before,
looked at four times a second.
"""

import json
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import psutil

from effrl.run import metrics
from tests.bench.learner_memory import make

SHORT = (
    "model.path={model}",
    "run.dir={run}",
    "run.steps=2",
    "run.save_every=1000",
    "run.keep=1",
    "data.train=tasks:chain?size=64",
    "data.eval=tasks:chain?split=dev&size=2",
    "eval.every=1000",
    "eval.per_prompt=1",
    "label={{kind: 'tests.bench.plugins:RandomRewards'}}",  # a random model is never right
    "rollout.prompts=4",
    "rollout.per_prompt=2",
    "rollout.max_tokens=24",
    "rollout.refill=0",
    "rollout.kv_cache_gb=0.25",
    "learn.lr=1e-6",
    "learn.micro_batch_tokens=256",
    "model.context=128",
)


class Watch:
    """Largest use of the machine's memory while it is open, above that at the start."""

    def __init__(self) -> None:
        self.before = self.most = used()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def gib(self) -> float:
        return (self.most - self.before) / 2**30

    def _look(self) -> None:
        while not self._over.wait(0.25):
            self.most = max(self.most, used())


def used() -> int:
    """Bytes that nobody else could have; what lies in /dev/shm counts."""
    memory = psutil.virtual_memory()
    return memory.total - memory.available


def main(shape: str, *overrides: str) -> int:
    with tempfile.TemporaryDirectory() as directory, Watch() as watch:
        model, run = Path(directory) / "model", Path(directory) / "run"
        make(shape, model)
        settings = [setting.format(model=model, run=run) for setting in SHORT]
        ended = subprocess.run([sys.executable, "-m", "effrl", "train", "quickstart", *settings, *overrides])
        for row in metrics.read(run / "metrics.jsonl"):
            shown = ("step", "time/", "memory/", "cpu/", "sync/", "mismatch/", "policy/version")
            print(json.dumps({name: value for name, value in row.items() if name.startswith(shown)}))
        print(json.dumps({"peak_gib_above_start": round(watch.gib, 2)}))
    return ended.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
