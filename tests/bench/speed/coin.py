"""The reward of every arm: a coin that is a hash of the completion, so it costs nothing and every arm agrees on it."""

import hashlib


def coin(completion: str, label: object = None, meta: object = None) -> float:
    """0 or 1; label and metadata are not looked at."""
    return float(hashlib.md5(completion.encode()).digest()[0] % 2)
