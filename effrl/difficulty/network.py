"""The network that predicts pass rates: two adapters, attention over a reference set, and a calibration head.

DOTS (arXiv 2506.05316, section 4.2), in the form of its released code: query and reference have an adapter each, and
the head's softplus output divides.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from effrl.difficulty.attention import attend


class Adapter(nn.Sequential):
    """[n, D] embeddings of a frozen model to [n, h]; begins with a LayerNorm, so that scale does not matter."""

    def __init__(self, dimension: int, hidden: int, layers: int, dropout: float) -> None:
        """``layers`` linear maps, at least one, with GELU and dropout between them."""
        parts: list[nn.Module] = [nn.LayerNorm(dimension), nn.Linear(dimension, hidden)]
        for _ in range(layers - 1):
            parts += [nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden)]
        super().__init__(*parts, nn.LayerNorm(hidden))


class Calibration(nn.Module):
    """Moves predictions to where a policy's own rates lie: one temperature and one shift for each set of rates."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, 2))

    def forward(self, predicted: Tensor, rates: Tensor) -> Tensor:
        """[n] predictions in [0, 1], and the references' rates, [K] or [n, K], to [n] in (0, 1).

        The order of predictions for one set of rates does not change.
        """
        deviation = rates.std(-1) if rates.shape[-1] > 1 else torch.zeros_like(rates[..., 0])
        scale, shift = self.layers(torch.stack([rates.mean(-1), deviation], -1)).unbind(-1)
        return calibrate(predicted, functional.softplus(scale).clamp(1e-2, 10.0), torch.tanh(shift))


def calibrate(predicted: Tensor, temperature: Tensor, shift: Tensor) -> Tensor:
    """``sigmoid(logit(s) / temperature + shift)``; s is kept off 0 and 1, where the logit is infinite."""
    return torch.sigmoid(torch.logit(predicted, eps=1e-4) / temperature + shift)


class DifficultyNetwork(nn.Module):
    """Predicts the pass rates of prompts under a policy, from the rates that it has on a reference set.

    The policy shows itself in these rates alone: a network that was fitted on some policies serves others.
    """

    def __init__(self, dimension: int, hidden: int = 896, layers: int = 3, dropout: float = 0.1) -> None:
        """The paper's sizes by default; with embeddings of 1,536 dimensions, 5,978,932 parameters."""
        super().__init__()
        self.dimension, self.hidden, self.layers = dimension, hidden, layers
        self.queries = Adapter(dimension, hidden, layers, dropout)
        self.references = Adapter(dimension, hidden, layers, dropout)
        self.calibration = Calibration()

    def forward(self, queries: Tensor, references: Tensor, rates: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Pass rates of [n, D] prompts; references [K, D] are projected once, whatever n is.

        Args:
            queries: [n, D] embeddings.
            references: [K, D] embeddings.
            rates: [K] pass rates of the references, or [n, K] with one policy per query.
            hidden: [n, K] true where a query may not see a reference: itself.
        """
        return self.predict(self.queries(queries), self.references(references), rates, hidden)

    def predict(self, queries: Tensor, references: Tensor, rates: Tensor, hidden: Tensor | None = None) -> Tensor:
        """The same from [n, h] and [K, h] projections, those of the queries being worth keeping."""
        return self.calibration(attend(queries, references, rates, hidden), rates)  # type: ignore[no-any-return]
