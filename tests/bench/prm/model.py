"""An implicit PRM in this process alone: the core's loss and rewards, and one optimizer step per step of the run."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from actors.ranks.model import Scorer
from effrl.learn.packing import MicroBatch, layout, pad, unweighted
from effrl.models import locate
from effrl.process.losses import prm_losses
from effrl.sequences import TrainingSequence
from effrl.types import Float32
from tests.bench.prm.recorded import Recorded

BETA = 0.05
CLIP_NORM = 10.0
MICRO_BATCH_TOKENS = 2048

Rows = list[Float32]
"""[T_i] of each rollout, group after group."""


def scorer(path: str) -> Scorer:
    """A model of the policy's kind, in float32 as the learner's."""
    language_model = AutoModelForCausalLM.from_pretrained(locate(path), dtype=torch.float32)
    return Scorer(language_model).eval()


def rows_of(groups: Sequence[Recorded]) -> list[TrainingSequence]:
    """One for each rollout, group after group."""
    return [
        unweighted(np.concatenate([group.prompt_ids, tokens]).astype(np.int32), len(group.prompt_ids))
        for group in groups
        for tokens in group.tokens
    ]


def micro_batches(rows: Sequence[TrainingSequence]) -> Iterator[tuple[list[int], MicroBatch]]:
    """The rows in passes of about equal lengths, and which ones they are."""
    for share in layout([len(row.ids) for row in rows], 1, MICRO_BATCH_TOKENS):
        for places in share:
            yield list(places), pad([rows[place] for place in places])


def logprobs(model: Scorer, batch: MicroBatch) -> Tensor:
    """[B, L] of the sampled tokens; 0 elsewhere."""
    ids, attention, mask = (torch.from_numpy(part) for part in (batch.ids, batch.attention, batch.mask))
    return model(ids.long(), attention, mask)[0]


@torch.no_grad()
def scored(model: Scorer, groups: Sequence[Recorded]) -> Rows:
    """Log-probs [T_i] of each rollout."""
    rows, found = rows_of(groups), dict[int, Float32]()
    for places, batch in micro_batches(rows):
        said = logprobs(model, batch).numpy()
        found |= {place: said[n][batch.mask[n] > 0] for n, place in enumerate(places)}
    return [found[place] for place in range(len(rows))]


class ImplicitPrm:
    """The policy's initial model at first, beside which it is read."""

    def __init__(self, path: str, lr: float) -> None:
        self.model = scorer(path)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=lr, betas=(0.9, 0.95), weight_decay=0.0)

    def learn(self, groups: Sequence[Recorded], reference: Rows, labels: Float32) -> tuple[Rows, float]:
        """One optimizer step. Returns the rewards [T_i] before it, and the loss.

        Args:
            reference: log-probs [T_i] of each rollout by the initial model.
            labels: [N] in [0, 1] of each rollout.
        """
        rows, rewards, total = rows_of(groups), dict[int, Float32](), 0.0
        self.optimizer.zero_grad()
        for places, batch in micro_batches(rows):
            ratios = logprobs(self.model, batch) - torch.from_numpy(placed(batch, [reference[n] for n in places]))
            mask, target = torch.from_numpy(batch.mask), torch.from_numpy(labels[places])
            losses = prm_losses(ratios, mask, target, torch.zeros_like(target), BETA)
            (losses.sum() / len(rows)).backward()
            total += float(losses.detach().sum())
            said = BETA * ratios.detach().numpy()
            rewards |= {place: said[n][batch.mask[n] > 0] for n, place in enumerate(places)}
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP_NORM)
        self.optimizer.step()
        return [rewards[place] for place in range(len(rows))], total / len(rows)

    def rewards(self, groups: Sequence[Recorded], reference: Rows) -> Rows:
        """[T_i] of each rollout."""
        said = scored(self.model, groups)
        return [np.float32(BETA) * (own - other) for own, other in zip(said, reference, strict=True)]


def placed(batch: MicroBatch, rows: Rows) -> Float32:
    """[B, L] with each row's values where its sampled tokens stand."""
    values = np.zeros_like(batch.mask)
    for n, row in enumerate(rows):
        values[n][batch.mask[n] > 0] = row
    return values
