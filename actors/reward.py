"""The reward actor: scores completions in worker processes that can be killed."""

from collections.abc import Sequence
from pathlib import Path

from actors.role import Role
from effrl.config import AnyReward
from effrl.reward.sandbox import Sandbox, ScoringTask
from effrl.types import Score


class RewardActor(Role):
    """One sandbox of reward workers."""

    def __init__(self, name: str, run_dir: Path, version: str, config: AnyReward, search_path: Sequence[str]) -> None:
        super().__init__(name, run_dir, version)
        self.sandbox = Sandbox(config, search_path)

    def score(self, tasks: Sequence[ScoringTask]) -> list[Score]:
        """One score per task, in order; no task can stop the others."""
        return self.sandbox.score(tasks)
