"""The two probes of CARE (RLAVR/CARE): is the vote right, and if not, how many of the other rollouts are?

H numbers in a hidden state, n rollouts in a group, B groups. The running means of the batch norms are the only running
statistics of the method.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from effrl.config.buy import ProbeConfig
from effrl.label.care.features import Features

NEVER = -1e9
"""Logit of a class that a group cannot have."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Features of several groups as tensors."""

    prompt: Tensor
    """[B, H + 1 + n] prompt's state, share of valid answers, cluster shares."""
    last: Tensor
    """[B, n, H]."""
    lengths: Tensor
    """[B, n, 1]."""
    minority: Tensor
    """[B, n, 1], 0 or 1."""
    admissible: Tensor
    """[B, n + 1], boolean."""
    gaps: Tensor
    """[B, n + 1]."""


def inputs_of(groups: Sequence[Features]) -> Inputs:
    """Stack the features of some groups of as many rollouts each."""
    prompts = [np.concatenate([entry.prompt, [entry.valid], entry.shares]) for entry in groups]
    return Inputs(
        prompt=torch.tensor(np.stack(prompts), dtype=torch.float32),
        last=torch.tensor(np.stack([entry.last for entry in groups]), dtype=torch.float32),
        lengths=torch.tensor(np.stack([entry.lengths for entry in groups]), dtype=torch.float32)[:, :, None],
        minority=torch.tensor(np.stack([entry.minority for entry in groups]), dtype=torch.float32)[:, :, None],
        admissible=torch.tensor(np.stack([entry.admissible for entry in groups])),
        gaps=torch.tensor(np.stack([entry.gaps for entry in groups])),
    )


class VoteProbe(nn.Module):
    """Stage 1: whether the vote is right, and, as an auxiliary task, whether each rollout is."""

    def __init__(self, hidden: int, n: int, config: ProbeConfig) -> None:
        super().__init__()
        self.prompt = _prompt_branch(hidden, n, config)
        self.norm = nn.BatchNorm1d(hidden + 1)
        self.response = _response_branch(hidden + 1, config)
        joined = config.prompt + config.response[1]
        self.main = _head(joined, config.main, 2)
        self.auxiliary = _head(joined, config.main, 2)
        self.auxiliary_weight = config.auxiliary

    def forward(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Logits [B, 2] of the vote, class 1 being right, and [B, n, 2] of each rollout."""
        rows = torch.cat([inputs.last, inputs.lengths], dim=2)
        prompt, response = self.prompt(inputs.prompt), self.response(_by_row(self.norm, rows))
        vote: Tensor = self.main(torch.cat([prompt, response.mean(1)], dim=1))
        each = torch.cat([prompt[:, None].expand(-1, response.shape[1], -1), response], dim=2)
        return vote, _by_row(self.auxiliary, each)


class CountProbe(nn.Module):
    """Stage 2: how many of the rollouts that are not in the majority are right; 0 where the vote is."""

    def __init__(self, hidden: int, n: int, config: ProbeConfig) -> None:
        super().__init__()
        self.prompt = _prompt_branch(hidden, n, config)
        self.norm = nn.BatchNorm1d(hidden)
        self.response = _response_branch(hidden, config)
        self.main = _head(config.prompt + config.response[1], config.main, n + 1)

    def forward(self, inputs: Inputs) -> Tensor:
        """Logits [B, n + 1]; those of inadmissible numbers are :data:`NEVER`."""
        minority = inputs.minority
        response = self.response(_by_row(self.norm, inputs.last * minority)) * minority
        pooled = response.sum(1) / minority.sum(1).clamp(min=1)
        logits: Tensor = self.main(torch.cat([self.prompt(inputs.prompt), pooled], dim=1))
        return logits.masked_fill(~inputs.admissible, NEVER)


def _prompt_branch(hidden: int, n: int, config: ProbeConfig) -> nn.Module:
    width = hidden + 1 + n
    return nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, config.prompt), nn.ReLU())


def _response_branch(width: int, config: ProbeConfig) -> nn.Module:
    inner, outer = config.response
    return nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, outer), nn.ReLU())


def _head(width: int, hidden: int, classes: int) -> nn.Module:
    return nn.Sequential(nn.BatchNorm1d(width), nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, classes))


def _by_row(module: nn.Module, rows: Tensor) -> Tensor:
    """Apply a module to [B, n, C] as to B x n rows: a batch norm's batch is all rollouts."""
    out: Tensor = module(rows.flatten(0, 1))
    return out.view(*rows.shape[:2], -1)
