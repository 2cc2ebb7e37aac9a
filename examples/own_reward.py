"""A reward of your own: half a point for a number that is off by one.

    effrl train quickstart reward.kind=examples.own_reward:nearly run.steps=2

Expect a mean outcome of about 0.48 in step 1; the built-in ``math`` begins at 0.46.
"""

import re
from collections.abc import Mapping
from typing import Any

from effrl.protocols import Verdict
from effrl.types import Status


def nearly(completion: str, label: str | None, meta: Mapping[str, Any]) -> Verdict:
    """Compare the last number of the completion with the label."""
    numbers = re.findall(r"-?\d+", completion)
    if not numbers or label is None:
        return Verdict(0.0, status=Status.UNPARSEABLE)
    distance = abs(int(numbers[-1]) - int(label))
    return Verdict({0: 1.0, 1: 0.5}.get(distance, 0.0), numbers[-1])
