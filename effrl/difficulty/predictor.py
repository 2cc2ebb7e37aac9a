"""A fitted network over one pool of prompts: projections are made once, so that a selection round is cheap."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from effrl.difficulty.attention import attend
from effrl.difficulty.calibrated import CalibratedPredictor, Evidence
from effrl.difficulty.network import DifficultyNetwork
from effrl.difficulty.posthoc import ordinary_least_squares
from effrl.types import Float32, Float64

PostHoc = Literal["ols", "calibrated", "none"]

_ROWS = 4096
"""Prompts at a time: bounds what a round needs beside the projections, 4 MB of scores at 256 references."""


class DifficultyPredictor:
    """Predicts the pass rates of a whole pool under the policy of the moment.

    The projections of the prompts do not depend on the policy: they are kept, in half precision, and a round costs one
    pass of attention over them. Of the embeddings, which may be a memory map, it then reads the references' alone.
    """

    def __init__(
        self, network: DifficultyNetwork, embeddings: Float32, posthoc: PostHoc = "ols", tries: int = 8
    ) -> None:
        """Project every prompt, which is what takes long.

        Args:
            network: fitted on embeddings of the same model.
            embeddings: [N, D].
            posthoc: what comes after the network: a line through the references, kernel ridge on embeddings and what
                the network predicts (:mod:`effrl.difficulty.calibrated`), or nothing.
            tries: rollouts that a reference's rate is measured in.

        Raises:
            ValueError: the dimension is not the network's.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != network.dimension:
            raise ValueError(f"embeddings of shape {embeddings.shape} for a network of {network.dimension} dimensions")
        self._network = network.eval()
        self._embeddings = embeddings
        self._posthoc, self._tries = posthoc, tries
        self._projected = torch.empty(len(embeddings), network.hidden, dtype=torch.float16)
        with torch.inference_mode():
            for rows in _chunks(len(embeddings)):
                self._projected[rows] = network.queries(_tensor(embeddings[rows])).half()

    def __len__(self) -> int:
        return len(self._projected)

    def __call__(self, references: Sequence[int], rates: Sequence[float]) -> Float64:
        """[N] predicted pass rates of all prompts, the references' own included.

        A reference's prediction attends to its own rate too, which is information; but what comes after the network is
        fitted on predictions that do not.

        Args:
            references: K indices of prompts, none twice.
            rates: K pass rates of the policy on them.

        Raises:
            ValueError: there are no references, or a rate is not in [0, 1].
        """
        indices, measured = _checked(references, rates)
        predicted, projected, values = self._predicted(indices, measured)
        if self._posthoc == "none":
            return predicted
        without = self._without(indices, projected, values)
        if self._posthoc == "ols":
            return ordinary_least_squares(without, measured)(predicted)
        return self._calibrated(indices, measured, without, predicted)

    def _predicted(self, indices: NDArray[np.int64], measured: Float64) -> tuple[Float64, Tensor, Tensor]:
        """[N] of the network, and what it attended to: its references [K, h], projected, and their rates [K]."""
        with torch.inference_mode():
            projected = self._network.references(_tensor(self._embeddings[indices]))
            values = torch.from_numpy(measured.astype(np.float32))
            parts = [
                self._network.predict(self._projected[rows].float(), projected, values) for rows in _chunks(len(self))
            ]
        return torch.cat(parts).double().numpy(), projected, values

    def _without(self, indices: NDArray[np.int64], projected: Tensor, values: Tensor) -> Float64:
        """[K] of the network for its references, each without its own rate."""
        own = torch.eye(len(indices), dtype=torch.bool)
        with torch.inference_mode():
            found = self._network.predict(self._projected[indices].float(), projected, values, own)
        return np.asarray(found.double().numpy())

    def blind(self, references: Sequence[int], rates: Sequence[float]) -> Float64:
        """[N] of the network alone, each reference's without its own rate; raises as a call does."""
        indices, measured = _checked(references, rates)
        predicted, projected, values = self._predicted(indices, measured)
        predicted[indices] = self._without(indices, projected, values)
        return predicted

    def _calibrated(
        self, indices: NDArray[np.int64], measured: Float64, without: Float64, predicted: Float64
    ) -> Float64:
        tries = np.full(len(indices), float(self._tries))
        evidence = Evidence(indices, measured * tries, tries, 0 * tries, tries > 0)
        told = predicted.copy()
        told[indices] = without
        rates, _ = CalibratedPredictor(self._embeddings).fit(evidence, {"network": told})
        return np.concatenate([rates(np.arange(len(self))[rows]) for rows in _chunks(len(self))])


class UntrainedPredictor:
    """The baseline: the same attention over raw embeddings, without adapters, head or line (DOTS, section 4.2)."""

    def __init__(self, embeddings: Float32) -> None:
        self._embeddings = embeddings

    def __len__(self) -> int:
        return len(self._embeddings)

    def __call__(self, references: Sequence[int], rates: Sequence[float]) -> Float64:
        """[N] predicted pass rates; raises as :class:`DifficultyPredictor` does."""
        indices, measured = _checked(references, rates)
        projected, values = _tensor(self._embeddings[indices]), torch.from_numpy(measured.astype(np.float32))
        parts = [attend(_tensor(self._embeddings[rows]), projected, values) for rows in _chunks(len(self))]
        return np.asarray(torch.cat(parts).double().numpy())


def _checked(references: Sequence[int], rates: Sequence[float]) -> tuple[NDArray[np.int64], Float64]:
    indices, measured = np.asarray(references, np.int64), np.asarray(rates, np.float64)
    if len(indices) == 0 or len(indices) != len(measured):
        raise ValueError(f"{len(indices)} references with {len(measured)} rates: at least one of each, as many")
    if not ((measured >= 0) & (measured <= 1)).all():
        raise ValueError("a reference's pass rate is not in [0, 1]")
    return indices, measured


def _chunks(size: int) -> list[slice]:
    return [slice(start, min(start + _ROWS, size)) for start in range(0, size, _ROWS)]


def _tensor(rows: Float32) -> Tensor:
    """A copy: a memory map is read-only, and torch wants to own what it may write to."""
    return torch.from_numpy(np.array(rows, np.float32))
