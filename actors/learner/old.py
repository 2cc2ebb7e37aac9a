"""Log-probs that the policy gave a step's sequences when the labeller looked at them, before it learns from them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from effrl.sequences import TrainingSequence
from effrl.types import Continuation, Float32, Int32


@dataclass
class OldLogprobs:
    """What was scored by one version; what an earlier one scored is forgotten."""

    version: int | None = None
    known: dict[tuple[bytes, int], Float32] = field(default_factory=dict)
    """Log-probs [T] by the bytes of the ids and the length of the prompt."""

    def note(self, version: int, texts: Sequence[Continuation], logprobs: Sequence[Float32]) -> None:
        """Remember what ``version`` gave these texts, at the temperature of the rollouts."""
        if version != self.version:
            self.version, self.known = version, {}
        self.known |= {_key(text.ids, text.start): found for text, found in zip(texts, logprobs, strict=True)}

    def of(self, version: int, texts: Sequence[Continuation]) -> list[Float32] | None:
        """What ``version`` gave these texts; None where it has not seen one of them."""
        keys = [_key(text.ids, text.start) for text in texts]
        return [self.known[key] for key in keys] if version == self.version and self.known.keys() >= {*keys} else None

    def given(self, version: int, updates: Sequence[Sequence[TrainingSequence]]) -> list[list[TrainingSequence]]:
        """The sequences with what ``version`` gave them; all as they are where it has not seen one of them.

        Ranks meet in every pass, so that all score what is not known or none does.
        """
        keys = [[_key(sequence.ids, sequence.prompt_length) for sequence in update] for update in updates]
        if version != self.version or not all(key in self.known for update in keys for key in update):
            return [list(update) for update in updates]
        return [
            [replace(sequence, old=self.known[key]) for sequence, key in zip(update, names, strict=True)]
            for update, names in zip(updates, keys, strict=True)
        ]


def _key(ids: Int32, prompt_length: int) -> tuple[bytes, int]:
    return ids.tobytes(), prompt_length
