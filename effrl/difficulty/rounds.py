"""What rounds of selection find out, for a predictor to learn from."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Round:
    """Pass rates while one round lasted, under nearly one policy; by index of the prompt in its pool.

    Example: ``Round({7: 0.25, 3: 1.0}, {12: 0.5})``.
    """

    references: dict[int, float]
    """Of a uniform draw, measured at the beginning: they show what this policy finds hard."""
    others: dict[int, float] = field(default_factory=dict)
    """Of what was trained on. Chosen by predictions, so they are no fair sample of the pool."""

    @property
    def measured(self) -> dict[int, float]:
        """All pass rates, references first."""
        return {**self.references, **self.others}
