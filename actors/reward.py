"""The reward actor: reads and scores completions; verifiers run in worker processes that can be killed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.role import Role
from effrl.kinds import AnyReward
from effrl.reward.reading import answers_of, cluster, equivalence
from effrl.reward.sandbox import Sandbox, ScoringTask
from effrl.types import Score


class RewardActor(Role):
    """One sandbox of reward workers."""

    def __init__(self, name: str, run_dir: Path, version: str, config: AnyReward, search_path: Sequence[str]) -> None:
        super().__init__(name, run_dir, version)
        self.kind = config.kind
        self.sandbox = Sandbox(config, search_path)

    def read(
        self, groups: Sequence[tuple[Sequence[str], Mapping[str, Any]]]
    ) -> list[tuple[tuple[str | None, ...], tuple[int | None, ...]]]:
        """Answers and clusters of each group, from its completions and its prompt's meta."""
        answers = [answers_of(self.kind, completions, meta) for completions, meta in groups]
        relations = equivalence(self.kind, answers, self.sandbox.score)
        return [(found, cluster(found, same)) for found, same in zip(answers, relations, strict=True)]

    def score(self, tasks: Sequence[ScoringTask]) -> list[Score]:
        """One score per task, in order; no task can stop the others."""
        return self.sandbox.score(tasks)
