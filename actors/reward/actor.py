"""The reward actor: reads and scores completions; verifiers run in worker processes that can be killed."""

from collections.abc import Sequence
from pathlib import Path

from actors.role import Role
from effrl.config.reward import AnyReward, answering
from effrl.reward.reading import Completions, answers_of, by_text, clusters, equality
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.pool import Sandbox
from effrl.types import Score


class RewardActor(Role):
    """One sandbox of reward workers."""

    def __init__(self, name: str, run_dir: Path, version: str, config: AnyReward, search_path: Sequence[str]) -> None:
        super().__init__(name, run_dir, version)
        self.verifier = answering(config)
        self.sandbox = Sandbox(config, search_path)
        self.equal = equality(self.verifier, self.sandbox.score)

    def read(
        self, groups: Sequence[Completions], compare: bool
    ) -> list[tuple[tuple[str | None, ...], tuple[int | None, ...]]]:
        """Answers and clusters of each group; unless asked to ``compare`` values, equal texts alone are one cluster."""
        answers = answers_of(self.verifier, groups, self.sandbox.score)
        named = [(group.prompt_id, found) for group, found in zip(groups, answers, strict=True)]
        return list(zip(answers, clusters(named, self.equal if compare else by_text), strict=True))

    def score(self, tasks: Sequence[ScoringTask]) -> list[Score]:
        """One score per task, in order; no task can stop the others."""
        return self.sandbox.score(tasks)
