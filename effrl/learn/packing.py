"""Cutting the sequences of an optimizer step into ranks and micro-batches.

The cut never changes the gradient: the loss is a sum over tokens, divided by one number for the whole step.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from effrl.config.loss import LossConfig
from effrl.sequences import Portion, TrainingSequence
from effrl.types import Float32, Int32

LOGITS = 2**25
"""Logits that exist at a time on a rank: 128 MiB in float32. A few such tensors live in each pass."""
BUSY = 4096
"""Real tokens of a micro-batch from which on padding is not worth a larger one."""
PADDING = 0.1
"""Share of a busy micro-batch that may be padding."""


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """Right-padded sequences of one forward pass; arrays are [B, L] and aligned with ``ids``, but for three columns.

    A sampled token at position t has mask 1 there; its log-prob comes from the logits at t - 1.
    """

    ids: Int32
    attention: Int32
    mask: Float32
    behaviour: Float32
    advantages: Float32
    weight: Float32
    """[B, 1]"""
    offset: Float32
    """[B, 1]; a row's advantages become ``weight * (advantages + offset)``."""
    learned: Float32
    """[B, 1]; 0 for a row that only the KL term is about."""
    old: Float32 | None = None
    """Log-probs of the learner's policy before the first update of a batch; None: those of the forward pass itself."""
    values: Float32 | None = None
    """Of the states before each token, by the value function before the first update; None without a value head."""
    returns: Float32 | None = None
    """What they should have been."""


@dataclass(frozen=True, slots=True)
class Size:
    """What sums over the micro-batches of one optimizer step, on all ranks, are divided by."""

    tokens: int
    """Sampled tokens that are learned from: metrics are means over them."""
    denominator: int
    """Makes the configured mean of a weighted sum (:func:`effrl.loss.policy.token_weights`)."""


def size_of(portion: Portion, loss: LossConfig, max_tokens: int) -> Size:
    """Sizes of one optimizer step.

    ``loss.over`` says which sequences the mean is over, ``loss.reduce`` how. ``token``: the mean over all tokens (DAPO,
    arXiv 2503.14476, eq. 12). ``sequence``: the mean over sequences of their mean over tokens (GRPO, arXiv 2402.03300,
    eq. 3). ``constant``: the sum over sequences and tokens by sequences x ``max_tokens``, whatever the lengths
    (Dr. GRPO, arXiv 2503.20783, section 3.2).
    """
    counted = [*portion.learned, *(portion.silent if loss.over == "sampled" else ())]
    denominators = {"token": _tokens(counted), "sequence": len(counted), "constant": len(counted) * max_tokens}
    return Size(_tokens(portion.learned), denominators[loss.reduce])


def _tokens(sequences: Sequence[TrainingSequence]) -> int:
    return sum(len(sequence.logprobs) for sequence in sequences)


def cut(sequences: Sequence[TrainingSequence], ranks: int, tokens: int) -> list[list[MicroBatch]]:
    """Distribute sequences (at least one) over ranks, and each rank's over micro-batches.

    A micro-batch has at most ``tokens`` tokens, padding included; and little padding, once it has enough to be worth
    a pass.

    A rank without any gets one of weight zero: DeepSpeed's step needs a backward pass on every rank.
    """
    shares = layout([len(sequence.ids) for sequence in sequences], ranks, tokens)
    batches = [[pad([sequences[row] for row in rows]) for rows in share] for share in shares]
    idle = weightless()
    if sequences[0].old is not None:  # or a rank without a share would score what the others need not
        idle = replace(idle, old=np.zeros_like(idle.mask))
    return [share or [idle] for share in batches]


def layout(lengths: Sequence[int], ranks: int, tokens: int) -> list[list[list[int]]]:
    """For each rank, its micro-batches, each as indices of the sequences in it.

    Longest first to the rank with the fewest tokens; neighbours in length share a micro-batch. A sequence longer
    than the limit gets a micro-batch of its own.
    """
    shares: list[list[int]] = [[] for _ in range(ranks)]
    loads = [0] * ranks
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        rank = loads.index(min(loads))
        shares[rank].append(index)
        loads[rank] += lengths[index]
    return [_within(share, lengths, tokens) for share in shares]


def weightless() -> MicroBatch:
    """Two tokens without any influence on the loss, for a rank that has to take part in a pass."""
    blank, none = np.zeros((1, 2), np.float32), np.zeros((1, 1), np.float32)
    return MicroBatch(np.zeros((1, 2), np.int32), np.ones((1, 2), np.int32), blank, blank, blank, none, none, none)


def unweighted(ids: Int32, prompt_length: int) -> TrainingSequence:
    """A sequence that is only scored, not learned from."""
    nothing = np.zeros(len(ids) - prompt_length, np.float32)
    return TrainingSequence(ids, prompt_length, nothing, nothing)


def ends(batch: MicroBatch) -> Int32:
    """[B, 2] places of the prompt's last token and of the last token of all, in each row."""
    last = batch.attention.sum(1) - 1
    return np.stack([last - batch.mask.sum(1).astype(np.int32), last], 1).astype(np.int32)


def _within(indices: Sequence[int], lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Cut a list sorted by falling length: rows x longest stays within ``tokens``, and padding within its share."""
    batches: list[list[int]] = []
    real = 0
    for index in indices:
        padded = (len(batches[-1]) + 1) * lengths[batches[-1][0]] if batches else 0
        dense = real < BUSY or padded - real - lengths[index] <= PADDING * padded
        if batches and padded <= tokens and dense:
            batches[-1].append(index)
            real += lengths[index]
        else:
            batches.append([index])
            real = lengths[index]
    return batches


def pad(sequences: Sequence[TrainingSequence]) -> MicroBatch:
    """Right-pad to the longest sequence; padding has id 0, attention 0 and mask 0. All have old log-probs, or none."""
    shape = (len(sequences), max(len(sequence.ids) for sequence in sequences))
    batch = MicroBatch(
        ids=np.zeros(shape, np.int32),
        attention=np.zeros(shape, np.int32),
        mask=np.zeros(shape, np.float32),
        behaviour=np.zeros(shape, np.float32),
        advantages=np.zeros(shape, np.float32),
        weight=_column([sequence.weight for sequence in sequences]),
        offset=_column([sequence.offset for sequence in sequences]),
        learned=_column([not sequence.silent for sequence in sequences]),
        old=None if sequences[0].old is None else np.zeros(shape, np.float32),
    )
    for row, sequence in enumerate(sequences):
        end, sampled = len(sequence.ids), slice(sequence.prompt_length, len(sequence.ids))
        batch.ids[row, :end] = sequence.ids
        batch.attention[row, :end] = 1
        batch.mask[row, sampled] = 1.0
        batch.behaviour[row, sampled] = sequence.logprobs
        batch.advantages[row, sampled] = sequence.advantages
        if batch.old is not None:
            assert sequence.old is not None, "all have them"
            batch.old[row, sampled] = sequence.old
    return batch


def _column(values: Sequence[float]) -> Float32:
    return np.array(values, np.float32)[:, None]
