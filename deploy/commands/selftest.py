"""The doctor's self-test: one real step with all kinds of workers, in a directory that is removed again."""

import tempfile
from pathlib import Path

from rich.console import Console

from deploy.commands.train import train


def one_step() -> None:
    """Run Ray, vLLM, DeepSpeed with learner and PRM, the weight drill, one step and one publish; raises what fails."""
    with tempfile.TemporaryDirectory() as directory:
        overrides = (
            f"run.dir={Path(directory) / 'run'}",
            "run.steps=1",
            "rollout.prompts=4",
            "rollout.max_tokens=40",
            "data.train=tasks:chain?size=64",
            "data.eval=null",
            "process.kind=implicit_prm",
        )
        train("quickstart", overrides, Console(quiet=True))
