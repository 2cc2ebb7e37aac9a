"""The vault: the only place of a run where labels are, and the two doors through which they leave it."""

from collections.abc import Iterable, Sequence
from typing import Never

from effrl.types import Row


class LabelVault:
    """Labels by prompt id, in the oracle's process alone.

    A label leaves through :meth:`buy`, which the oracle calls for what its ledger holds, or through :meth:`monitor`,
    whose answers only ever reach metrics. Nothing else shows labels: the vault cannot be iterated, indexed, printed,
    copied or pickled, so it cannot travel to another process by accident.
    """

    __slots__ = ("__labels",)

    def __init__(self, rows: Iterable[Row]) -> None:
        """Take the labels out of ``rows``.

        Raises:
            ValueError: two rows share an id.
        """
        labels: dict[str, str | None] = {}
        for row in rows:
            if row.prompt.id in labels:
                raise ValueError(f"two rows share the id {row.prompt.id!r}")
            labels[row.prompt.id] = row.label
        self.__labels = labels

    def buy(self, prompt_id: str) -> str | None:
        """The label of one prompt, to be charged; None where the source has none.

        Raises:
            KeyError: no such prompt.
        """
        return self.__labels[prompt_id]

    def monitor(self, prompt_ids: Sequence[str]) -> list[str | None]:
        """Labels for metrics, free of charge: they must not reach a reward, an advantage, a prompt or a probe.

        Raises:
            KeyError: no such prompt.
        """
        return [self.__labels[prompt_id] for prompt_id in prompt_ids]

    def __repr__(self) -> str:
        labelled = sum(label is not None for label in self.__labels.values())
        return f"LabelVault({len(self.__labels)} prompts, {labelled} labelled)"

    def __reduce__(self) -> Never:
        raise TypeError("a label vault stays in the process that read it: send prompt ids to its oracle instead")

    def __reduce_ex__(self, protocol: object) -> Never:
        self.__reduce__()

    def __getstate__(self) -> Never:  # object's own would hand out the slots
        self.__reduce__()
