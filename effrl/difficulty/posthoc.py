"""After the network: a line through what it predicts for the references and what was measured there."""

from dataclasses import dataclass

import numpy as np

from effrl.types import Float64


@dataclass(frozen=True, slots=True)
class Line:
    """``slope x prediction + intercept``, kept within [0, 1]."""

    slope: float
    intercept: float

    def __call__(self, predicted: Float64) -> Float64:
        return np.clip(self.slope * predicted + self.intercept, 0.0, 1.0)


IDENTITY = Line(1.0, 0.0)


def ordinary_least_squares(predicted: Float64, measured: Float64) -> Line:
    """The line that fits best; the identity where there is none, or where it falls and would turn the order around.

    Predictions must be made without each reference's own rate: with it the network looks better than it is, and the
    slope is too steep.
    """
    deviation = predicted - predicted.mean()
    spread = float(deviation @ deviation)
    if len(predicted) < 2 or spread <= 1e-12 * len(predicted):  # constant predictions, but for rounding
        return IDENTITY
    slope = float(deviation @ (measured - measured.mean())) / spread
    return Line(slope, float(measured.mean() - slope * predicted.mean())) if slope > 0 else IDENTITY
