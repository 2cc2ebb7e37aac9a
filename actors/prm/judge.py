"""The implicit PRM as a judge of whole solutions: one actor with the model and its reference, which learn nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from actors.role import Role
from effrl.data.tokenizer import load_tokenizer
from effrl.errors import RunError
from effrl.learn.packing import MicroBatch
from effrl.preflight.judge import Judge
from effrl.process.steps import pieces_of, solution_score

if TYPE_CHECKING:
    from actors.ranks.rank import FrozenModel


class PrmJudge(Role):
    """Scores the sampled tokens of any texts."""

    def __init__(self, name: str, run_dir: Path, version: str, judge: Judge) -> None:
        super().__init__(name, run_dir, version)
        self.judge = judge
        self.prm: FrozenModel
        self.reference: FrozenModel

    def start(self) -> None:
        """Load both models, onto the GPU where there is one."""
        from actors.ranks.rank import FrozenModel  # reads the environment when it is imported

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        models = (self.judge.prm, self.judge.reference)
        self.prm, self.reference = (FrozenModel(str(model), self.judge.dtype, device) for model in models)
        self.tokenizer = load_tokenizer(self.judge.prm)

    def score(self, batches: Sequence[MicroBatch]) -> list[list[float]]:
        """What each row's solution is worth (:func:`effrl.process.steps.solution_score`).

        Raises:
            RunError: a model's log-probs are no numbers.
        """
        return [self._scores(batch) for batch in batches]

    def _scores(self, batch: MicroBatch) -> list[float]:
        prm, reference = (model.logprobs(batch, self.judge.temperature) for model in (self.prm, self.reference))
        rewards = (self.judge.process.beta * (prm - reference)).float().cpu()
        if not torch.isfinite(rewards).all():
            raise RunError(f"the PRM of {self.judge.name} gives rewards that are no numbers")
        rows = zip(rewards.numpy(), batch.ids, batch.mask > 0, strict=True)
        separator = self.judge.process.separator
        return [solution_score(row[own], self._pieces(ids[own].tolist()), separator) for row, ids, own in rows]

    def _pieces(self, ids: Sequence[int]) -> list[str]:
        return pieces_of(ids, self._text)

    def _text(self, ids: Sequence[int]) -> str:
        """Without what stands for no text, such as the end, and without the clean-up that shortens what is before."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text
