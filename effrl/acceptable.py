"""Several acceptable answers in one label.

A label that is a list stays one text everywhere: in the vault, the ledger, requests and records. Its answers are
separated by a character that no text of a data set has. Whoever judges an answer splits it
(:mod:`effrl.reward.sandbox.worker`), and whoever shows a label does.
"""

from collections.abc import Iterable

SEPARATOR = "\x1e"
"""The record separator of ASCII."""


def joined(answers: Iterable[str]) -> str:
    """One label of several answers, each of them once; of one answer it is that answer.

    Example: ``alternatives(joined(["1/2", "0.5"])) == ("1/2", "0.5")``.
    """
    return SEPARATOR.join(dict.fromkeys(answers))


def alternatives(label: str) -> tuple[str, ...]:
    """The acceptable answers of a label, in order; of most labels it is one."""
    return tuple(label.split(SEPARATOR))


def listed(label: str) -> str:
    """A label as it is printed: ``1/2 | 0.5``."""
    return " | ".join(alternatives(label))
