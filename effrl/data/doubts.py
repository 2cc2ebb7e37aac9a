"""What may be right and mostly is not: told, never refused."""

from effrl.acceptable import alternatives
from effrl.types import Row

_NOTHING = frozenset({"nan", "none", "null", "n/a", "<na>"})
"""What programs write where there is nothing."""

PREFILLED = "end with the assistant's turn"
DOUBTFUL = "say nothing (nan, None, null)"


def prefilled(row: Row) -> bool:
    """Whether the policy goes on with a turn of the assistant, which of a data set for SFT is the answer."""
    content = row.prompt.content
    return not isinstance(content, str) and content[-1]["role"] == "assistant"


def doubtful(row: Row) -> bool:
    """Whether the label is a word for no label."""
    return row.label is not None and all(label.strip().casefold() in _NOTHING for label in alternatives(row.label))
