"""Fitting the difficulty network on pass rates of several policies (DOTS, arXiv 2506.05316, appendix)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from effrl.types import Float32

Int64 = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PolicyTable:
    """Pass rates of one policy.

    Example: two prompts, and three references that every policy was measured on:
    ``PolicyTable(prompts=[7, 9], rates=[0.5, 1.0], reference_rates=[0.0, 0.125, 0.75])``.
    """

    prompts: Int64
    """[n] rows of the embeddings."""
    rates: Float32
    """[n] their pass rates."""
    reference_rates: Float32
    """[R] pass rates of the reference prompts, in the order that all policies share."""

    def __post_init__(self) -> None:
        assert len(self.prompts) == len(self.rates) > 0, "one pass rate per prompt"


@dataclass(frozen=True, slots=True)
class Examples:
    """All that a network is fitted on."""

    embeddings: Float32
    """[N, D] of a frozen model."""
    references: Int64
    """[R] rows of the reference prompts."""
    tables: Sequence[PolicyTable]

    def __post_init__(self) -> None:
        assert self.tables and len(self.references) > 0, "fitted on at least one policy, and one reference"
        assert all(len(table.reference_rates) == len(self.references) for table in self.tables)


@dataclass(frozen=True, slots=True)
class Fit:
    """How to fit; the values of the paper's released code."""

    lr: float = 1e-3
    """Largest learning rate of Adam."""
    batch: int = 256
    """Prompts per step; prompts of several policies are mixed."""
    epochs: int = 20
    references: int = 256
    """References that a step draws, at most all."""
    seed: int = 1


@dataclass(frozen=True, slots=True)
class FitStep:
    """Tensors of one step of n queries and K references."""

    queries: Tensor
    """[n, D]."""
    references: Tensor
    """[K, D]."""
    reference_rates: Tensor
    """[n, K]: each query's own policy's."""
    own: Tensor
    """[n, K] true where a reference is the query itself, which must not see its own rate."""
    rates: Tensor
    """[n] what to predict."""


@dataclass(frozen=True, slots=True)
class LossShare:
    """Which steps of an epoch one of several processes takes; they average their gradients."""

    rank: int
    of: int


ALONE = LossShare(0, 1)


def fit(network: nn.Module, parts: Sequence[Examples], how: Fit, share: LossShare = ALONE) -> list[float]:
    """Fit a network in place, on the CPU, and leave it ready to predict.

    Args:
        network: a difficulty network, or one wrapped to average its gradients over processes.
        parts: each with references of its own, such as rounds or snapshots of a run.
        how: to fit.
        share: of several processes, this one.

    Returns:
        Mean loss of every epoch, over this process's steps.

    Raises:
        ValueError: there are fewer steps than processes.
    """
    size = steps_of_epoch(parts, how) // share.of
    if size == 0:
        raise ValueError(f"{share.of} processes for fewer steps than that")
    optimizer = torch.optim.Adam(network.parameters(), lr=how.lr, fused=True)  # two thirds of the time on a CPU
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(step, how.epochs * size))
    torch.manual_seed(how.seed + share.rank)  # dropout
    losses = []
    network.train()
    for epoch in range(how.epochs):
        sums = 0.0
        for step in islice(mixed_steps(parts, how, epoch), share.rank, size * share.of, share.of):
            value = loss(network, step)
            optimizer.zero_grad()
            value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            sums += float(value.detach())
        losses.append(sums / size)
    network.eval()
    return losses


def steps_of_epoch(parts: Sequence[Examples], how: Fit) -> int:
    """Steps of all parts together."""
    return sum(len(_cuts(part, how.batch)) for part in parts)


def learning_rate(step: int, total: int) -> float:
    """Factor of step 0, 1, …: rises over ``min(100, total / 10)`` steps, then falls in a line, to 0 after the last."""
    warmup = max(1, min(100, total // 10))
    return min((step + 1) / warmup, (total - step) / max(1, total - warmup))


def loss(network: nn.Module, step: FitStep) -> Tensor:
    """Binary cross-entropy with soft targets, mean over queries; its least value is their entropy, not 0."""
    predicted: Tensor = network(step.queries, step.references, step.reference_rates, step.own)
    return functional.binary_cross_entropy(predicted, step.rates)


def mixed_steps(parts: Sequence[Examples], how: Fit, epoch: int) -> Iterator[FitStep]:
    """The steps of every part, in a seeded order.

    An epoch depends on the seed and its number alone, so that several processes may each take a share of the steps.
    """
    turns = np.repeat(np.arange(len(parts)), [len(_cuts(part, how.batch)) for part in parts])
    streams = [steps(part, how, epoch, number) for number, part in enumerate(parts)]
    for turn in np.random.default_rng([how.seed, epoch]).permutation(turns):
        yield next(streams[turn])


def steps(examples: Examples, how: Fit, epoch: int, part: int = 0) -> Iterator[FitStep]:
    """Every prompt of every policy once, in a seeded order; each step draws references of its own."""
    random = np.random.default_rng([how.seed, epoch, part])
    policies = np.repeat(np.arange(len(examples.tables)), [len(table.prompts) for table in examples.tables])
    prompts = np.concatenate([table.prompts for table in examples.tables])
    rates = np.concatenate([table.rates for table in examples.tables])
    reference_rates = np.stack([table.reference_rates for table in examples.tables])
    order = random.permutation(len(prompts))
    for cut in _cuts(examples, how.batch):
        rows = order[cut]
        drawn = random.choice(
            len(examples.references), min(how.references, len(examples.references)), replace=False, shuffle=False
        )
        yield FitStep(
            queries=torch.from_numpy(examples.embeddings[prompts[rows]].astype(np.float32)),
            references=torch.from_numpy(examples.embeddings[examples.references[drawn]].astype(np.float32)),
            reference_rates=torch.from_numpy(reference_rates[policies[rows]][:, drawn].astype(np.float32)),
            own=torch.from_numpy(prompts[rows][:, None] == examples.references[drawn]),
            rates=torch.from_numpy(rates[rows].astype(np.float32)),
        )


def _cuts(examples: Examples, batch: int) -> list[slice]:
    size = sum(len(table.prompts) for table in examples.tables)
    return [slice(start, start + batch) for start in range(0, size, batch)]
