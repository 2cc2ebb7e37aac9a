"""Numbers that rows bring along."""

import math

from effrl.errors import UserError
from effrl.types import Prompt


def difficulty_of(prompt: Prompt, column: str, field: str) -> float:
    """The number in a prompt's column, which ``field`` of the config names.

    Raises:
        UserError: there is none; one line that names the prompt and the columns it has.
    """
    value = prompt.meta.get(column)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        found = "is not there" if column not in prompt.meta else f"is {value!r}"
        raise UserError(
            f"{field}: {column!r} of prompt {prompt.id} {found}, and easy to hard needs a number;"
            f" its columns: {', '.join(map(str, prompt.meta)) or 'none'}"
        )
    return float(value)
