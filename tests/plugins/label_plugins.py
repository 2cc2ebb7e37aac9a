"""A labeller of the user's own, as small as it can be."""

from typing import Any


def made(config: Any, oracle: Any) -> Any:
    return "made", config
