"""The doctor's self-test: one real step of the quickstart, in a directory that is removed again."""

import tempfile
from pathlib import Path

from rich.console import Console

from deploy.commands.train import train


def one_step() -> None:
    """Run Ray, vLLM, DeepSpeed, the weight drill, one step and one publish; raises what fails."""
    with tempfile.TemporaryDirectory() as directory:
        overrides = (
            f"run.dir={Path(directory) / 'run'}",
            "run.steps=1",
            "rollout.prompts=4",
            "rollout.max_tokens=40",
            "data.train=tasks:chain?size=64",
            "data.eval=null",
        )
        train("quickstart", overrides, Console(quiet=True))
