"""The implicit PRM as a reader of solutions: the model and its reference, which learn nothing."""

from collections.abc import Sequence

import torch

from actors.ranks.rank import FrozenModel
from effrl.data.tokenizer import load_tokenizer
from effrl.errors import RunError
from effrl.learn.packing import MicroBatch
from effrl.preflight.judge import Judge
from effrl.process.steps import pieces_of
from effrl.types import Float32


class SolutionReader:
    """Gives sampled tokens their rewards, and the text that each of them adds."""

    def __init__(self, judge: Judge) -> None:
        """Load both models, onto the GPU where there is one."""
        self._judge = judge
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        models = (judge.prm, judge.reference)
        self.prm, self._reference = (FrozenModel(str(model), judge.dtype, device) for model in models)
        self.tokenizer = load_tokenizer(judge.prm)

    def read(self, batch: MicroBatch) -> list[tuple[Float32, list[str]]]:
        """Of each row its process rewards [T] and the pieces [T] of its text.

        Raises:
            RunError: a model's log-probs are no numbers.
        """
        temperature, beta = self._judge.temperature, self._judge.process.beta
        prm, reference = (model.logprobs(batch, temperature) for model in (self.prm, self._reference))
        rewards = (beta * (prm - reference)).float().cpu()
        if not torch.isfinite(rewards).all():
            raise RunError(f"the PRM of {self._judge.name} gives rewards that are no numbers")
        rows = zip(rewards.numpy(), batch.ids, batch.mask > 0, strict=True)
        return [(row[own], pieces_of(ids[own].tolist(), self._text)) for row, ids, own in rows]

    def _text(self, ids: Sequence[int]) -> str:
        """Without what stands for no text, such as the end, and without the clean-up that shortens what is before."""
        text: str = self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text
