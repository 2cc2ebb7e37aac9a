"""The reward actor: reads and scores completions; verifiers run in worker processes that can be killed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actors.role import Role
from effrl.config.reward import AnyReward, answering
from effrl.reward.reading import answers_of, cluster, equivalence
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.pool import Sandbox
from effrl.types import Score


class RewardActor(Role):
    """One sandbox of reward workers."""

    def __init__(self, name: str, run_dir: Path, version: str, config: AnyReward, search_path: Sequence[str]) -> None:
        super().__init__(name, run_dir, version)
        self.verifier = answering(config)
        self.sandbox = Sandbox(config, search_path)

    def read(
        self, groups: Sequence[tuple[Sequence[str], Mapping[str, Any]]]
    ) -> list[tuple[tuple[str | None, ...], tuple[int | None, ...]]]:
        """Answers and clusters of each group, from its completions and its prompt's meta."""
        answers = answers_of(self.verifier, groups, self.sandbox.score)
        relations = equivalence(self.verifier, answers, self.sandbox.score)
        return [(found, cluster(found, same)) for found, same in zip(answers, relations, strict=True)]

    def score(self, tasks: Sequence[ScoringTask]) -> list[Score]:
        """One score per task, in order; no task can stop the others."""
        return self.sandbox.score(tasks)

    def formatted(self, completions: Sequence[str]) -> list[bool]:
        """Whether each completion has the format of ``reward.terms.format``; what cannot be matched in time has not."""
        tasks = [ScoringTask(completion, None, {}, False, "format") for completion in completions]
        return [score.outcome == 1.0 for score in self.sandbox.score(tasks)]
