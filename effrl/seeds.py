"""One root seed, and named streams derived from it, so that no draw depends on how many others came before."""

import hashlib
import random


def derive(root: int, *names: str | int) -> int:
    """A 63-bit seed for the stream ``names``: ``derive(1, "rollout", 12, "chain/3f2a", 0)``."""
    text = repr((root, *names))  # unlike a join, this keeps ("a/b",) and ("a", "b") apart
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def stream(root: int, *names: str | int) -> random.Random:
    """A random generator for the stream ``names``."""
    return random.Random(derive(root, *names))
