"""Certainties on disk: made once per model and pool, and refused for any other model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from effrl.errors import UserError
from effrl.select.target import Target


@dataclass(frozen=True, slots=True)
class Scores:
    """What one pass over a pool found.

    Example: ``Scores("3f2a…", "final_answer", "<answer> ", {"chain/3f2a": 0.62}, {"chain/3f2a": 2})``.
    """

    model: str
    """Fingerprint of the model that scored (:func:`effrl.models.fingerprint`)."""
    target: Target
    prefix: str
    certainty: Mapping[str, float]
    """By prompt id."""
    tokens: Mapping[str, int]
    """Of each target, by prompt id. Certainty depends on the form of an answer, and its length shows how much."""

    def of(self, prompt_ids: Sequence[str]) -> NDArray[np.float64]:
        """[N] certainties of these prompts.

        Raises:
            UserError: one of them was not scored.
        """
        missing = [prompt_id for prompt_id in prompt_ids if prompt_id not in self.certainty]
        if missing:
            raise UserError(
                f"{len(missing)} of {len(prompt_ids)} prompts have no score, such as {missing[0]}: score the pool again"
            )
        return np.array([self.certainty[prompt_id] for prompt_id in prompt_ids], np.float64)

    def save(self, path: Path) -> None:
        """Write one JSON file; whole, or not at all."""
        draft = path.with_name(f".{path.name}.draft")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(path)


def load(path: Path, model: str, target: Target, prefix: str) -> Scores:
    """Read scores back.

    Raises:
        UserError: there are none, or they are of another model, target or prefix.
    """
    try:
        fields: dict[str, Any] = json.loads(path.read_text())
        found = Scores(**fields)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist: score the pool first") from None
    except (ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged or no file of scores: delete it, and score the pool again") from error
    expected = {"model": model, "target": target, "prefix": prefix}
    for name, value in expected.items():
        if fields[name] != value:
            raise UserError(
                f"{path} was scored with {name} {fields[name]!r}, this run has {value!r}: score the pool again"
            )
    return found
