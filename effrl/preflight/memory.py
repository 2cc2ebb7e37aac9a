"""Bytes of a learner's rank and of an engine, from a model's shape.

A rank holds weights, gradients, AdamW's state and perhaps a reference all the time. On top of that come, one after the
other, what a micro-batch leaves for its backward pass with the gradients of that, and the flat copies with which
DeepSpeed's step works: a peak has the larger of the two. Constants were set by peaks of real ranks (docs/plan.md).
"""

from dataclasses import dataclass

from effrl.config.learn import LearnConfig
from effrl.learn.packing import LOGITS
from effrl.preflight.shape import Shape

GIB = 2**30
BYTES = {"float32": 4, "bfloat16": 2}
"""Of a weight."""
ADAM_BYTES = 12
"""Per trained parameter: a master copy and two moments, in float32."""
GRADIENT_BYTES = 4
"""Per trained parameter; they are added up in float32."""
WIDTHS, INNERS = 11, 4
"""Values per token that a layer keeps for its backward pass, in widths of the model and of its MLP. Two norms keep
their input, what it is divided into and their output (6 widths), attention its queries, expanded keys and values, its
output and a copy of that for the next matrix (5); the MLP keeps both products, one after its activation, and the
gated one. Attention scores are not kept. Two sizes of micro-batch at 22.7M parameters measured 22.0 widths, where
this has 11 + 4 · 2.75."""
RECOMPUTED = 4
"""Layers' worth of values with checkpointed activations, beside each layer's input: those of the layer that is made
anew, their gradients, and what the allocator holds; 4.2 were measured (``22.7m-4096-checkpointed``)."""
REDUCED, LIVE = 5e8, 1e9
"""Gradients that wait for their reduction from ZeRO-2 on, and weights that ZeRO-3 keeps gathered, at most
(``reduce_bucket_size`` and ``stage3_max_live_parameters`` of DeepSpeed, which effrl leaves alone)."""
STEP_COPIES = {0: 12, 1: 12, 2: 12, 3: 16}
"""The same in the optimizer's step, by ZeRO stage: gradients as one flat tensor, and temporaries of AdamW."""
LIBRARIES = {"rank": 0.48 * GIB, "engine": 1.7 * GIB}
"""What a process takes on a CPU before it holds anything: the tiny model's learner and engine (docs/learner.md)."""
CONTEXT = 1.0 * GIB
"""What CUDA, NCCL and the kernels take of a GPU in each process; assumed."""


@dataclass(frozen=True, slots=True)
class RankMemory:
    """Bytes of tensors of one rank."""

    weights: float
    """Adapters included."""
    gradients: float
    optimizer: float
    reference: float
    activations: float
    """Of one micro-batch, logits included."""
    backward: float
    """Beside activations: gradients of a micro-batch that are not added to the others yet, and gathered weights."""
    step: float
    """Flat copies and temporaries of the optimizer's step, when activations are gone."""

    @property
    def peak(self) -> float:
        """The most at a time."""
        held = self.weights + self.gradients + self.optimizer + self.reference
        return held + max(self.activations + self.backward, self.step)


def rank_memory(
    shape: Shape, learn: LearnConfig, ranks: int, pass_tokens: int, size: int, reference: float = 0.0
) -> RankMemory:
    """What one of so many ranks holds.

    Args:
        pass_tokens: most tokens of a micro-batch.
        size: bytes of a weight: 2 in bfloat16, 4 in float32.
        reference: how much of a second, frozen model it holds.
    """
    trained, weights = shape.trained(learn.lora), shape.parameters * size
    share = 1 / ranks
    of_weights, of_gradients, of_optimizer = (share if learn.zero >= stage else 1.0 for stage in (3, 2, 1))
    return RankMemory(
        weights=weights * of_weights + shape.adapters(learn.lora) * size,
        gradients=trained * GRADIENT_BYTES * of_gradients,
        optimizer=trained * ADAM_BYTES * of_optimizer,
        reference=weights * reference,
        activations=activations(shape, learn, pass_tokens, size),
        backward=_backward(shape, trained, learn.zero, size),
        step=trained * STEP_COPIES[learn.zero] * of_optimizer,
    )


def _backward(shape: Shape, trained: float, zero: int, size: int) -> float:
    waiting = trained if zero < 2 else min(trained, REDUCED)
    return size * (waiting + (min(shape.parameters, LIVE) if zero == 3 else 0.0))


def prm_memory(shape: Shape, reference: str, learn: LearnConfig, ranks: int, pass_tokens: int, size: int) -> RankMemory:
    """What a rank of an implicit PRM holds; its reference, if that is the initial model, is in shards where it is."""
    second = 0.0 if reference != "initial" else 1 / ranks if learn.zero == 3 else 1.0
    return rank_memory(shape, learn, ranks, pass_tokens, size, second)


def activations(shape: Shape, learn: LearnConfig, tokens: int, size: int) -> float:
    """What a micro-batch keeps for its backward pass, one slice of logits and its gradient included."""
    layer = kept_values(shape)
    again = shape.layers * shape.width + min(shape.layers, RECOMPUTED) * layer
    kept = again if learn.activation_checkpointing else shape.layers * layer
    logits = min(LOGITS, tokens * shape.vocabulary) * 4 * 2
    return tokens * kept * size + logits


def kept_values(shape: Shape) -> float:
    """Of one token in one layer, for the backward pass."""
    return WIDTHS * shape.width + INNERS * shape.inner


@dataclass(frozen=True, slots=True)
class EngineMemory:
    """What one engine has."""

    weights: float
    cache: float
    """Bytes of its key-value cache; negative where even the weights do not fit."""
    sequences: float
    """Sequences of full length that the cache holds, at least."""


def engine_memory(shape: Shape, cache: float, tokens: float, size: int) -> EngineMemory:
    """An engine whose weights and key-value cache have so many bytes for sequences of so many tokens at most."""
    return EngineMemory(shape.parameters * size, cache, max(0.0, cache) / (shape.kv_bytes(size) * tokens))
