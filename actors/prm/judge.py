"""The implicit PRM as a judge of whole solutions: one actor around a reader of them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from actors.role import Role
from effrl.learn.packing import MicroBatch
from effrl.preflight.judge import Judge
from effrl.process.steps import solution_score

if TYPE_CHECKING:
    from actors.prm.reading import SolutionReader


class PrmJudge(Role):
    """Scores the sampled tokens of any texts."""

    def __init__(self, name: str, run_dir: Path, version: str, judge: Judge) -> None:
        super().__init__(name, run_dir, version)
        self.judge = judge
        self.reader: SolutionReader

    def start(self) -> None:
        """Load both models."""
        from actors.prm.reading import SolutionReader  # reads the environment when it is imported

        self.reader = SolutionReader(self.judge)

    def score(self, batches: Sequence[MicroBatch]) -> list[list[float]]:
        """What each row's solution is worth (:func:`effrl.process.steps.solution_score`).

        Raises:
            RunError: a model's log-probs are no numbers.
        """
        separator = self.judge.process.separator
        return [[solution_score(*row, separator) for row in self.reader.read(batch)] for batch in batches]
