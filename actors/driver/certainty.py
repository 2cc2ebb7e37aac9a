"""How sure the policy of the moment is of given answers: one forward pass each, and not a token generated."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.learner.service import LearnerService
from actors.wait import answer
from effrl.errors import RunError, UserError
from effrl.learn.packing import MicroBatch, layout, pad, unweighted, weightless
from effrl.select.ufo.target import TargetIds
from effrl.select.ufo.zone import certainty
from effrl.types import Float32, Prompt

CHUNK = 1024
"""Prompts that are tokenised and scored together: what a wait lasts for, and what a message may hold."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What is scored of a prompt: ``Aim(prompt, "46", "gold")``."""

    prompt: Prompt
    target: str
    source: str
    """Where it comes from: ``gold`` or ``vote``."""


@dataclass(frozen=True, slots=True)
class Certainty:
    """What one forward pass found out."""

    aim: Aim
    value: float
    """In [0, 1] (:func:`effrl.select.ufo.zone.certainty`)."""
    tokens: int
    """Of the target."""
    forward_tokens: int
    """Of prompt, prefix and target."""

    @property
    def record(self) -> dict[str, Any]:
        """As a run keeps it."""
        return {
            "prompt_id": self.aim.prompt.id,
            "certainty": self.value,
            "label_source": self.aim.source,
            "target_tokens": self.tokens,
        }


@dataclass
class CertaintyService:
    """Scores on the learner's ranks, whose weights are the policy of the moment; an engine's tokenizer serves."""

    learner: LearnerService
    rollout_worker: Any
    """Any one, for its tokenizer."""
    context: int
    """Longest sequence, in tokens."""
    wait_s: float

    async def __call__(self, aims: Sequence[Aim], prefix: str) -> list[Certainty]:
        """One certainty per aim, in order; sequences longer than the context are left out."""
        found: list[Certainty] = []
        for start in range(0, len(aims), CHUNK):
            found += await self._chunk(aims[start : start + CHUNK], prefix)
        return found

    async def _chunk(self, aims: Sequence[Aim], prefix: str) -> list[Certainty]:
        asked = self.rollout_worker.target_ids.remote([(aim.prompt, aim.target) for aim in aims], prefix)
        tokenised: list[TargetIds] = await answer(asked, self.wait_s, "tokenised targets", "rollout")
        fitting = [pair for pair in zip(aims, tokenised, strict=True) if len(pair[1].ids) <= self.context]
        logprobs = await self._logprobs([text for _, text in fitting])
        return [
            Certainty(aim, _certainty(aim, values), text.tokens, len(text.ids))
            for (aim, text), values in zip(fitting, logprobs, strict=True)
        ]

    async def _logprobs(self, texts: Sequence[TargetIds]) -> list[Float32]:
        """Log-probs of each target's tokens; every text is in one micro-batch of one rank."""
        group, tokens = self.learner.group, self.learner.config.learn.micro_batch_tokens
        places = layout([len(text.ids) for text in texts], len(group.ranks), tokens)
        shares = [[_padded(texts, rows) for rows in share] or [weightless()] for share in places]
        answered = await group.each("target_logprobs", shares)
        found: dict[int, Float32] = {}
        for share, batches in zip(places, answered, strict=True):
            for rows, values in zip(share, batches, strict=False):  # a rank without a share scored a weightless batch
                found |= dict(zip(rows, values, strict=True))
        return [found[row] for row in range(len(texts))]


def _padded(texts: Sequence[TargetIds], rows: Sequence[int]) -> MicroBatch:
    return pad([unweighted(texts[row].ids, texts[row].start) for row in rows])


def _certainty(aim: Aim, logprobs: Float32) -> float:
    try:
        return certainty(logprobs.tolist())
    except ValueError as error:
        raise RunError(f"prompt {aim.prompt.id} cannot be scored: {error}") from error


def nothing_scored(asked: int, without_target: int, too_long: int) -> UserError:
    """What to raise where no prompt at all could be scored."""
    return UserError(
        f"none of {asked:,} prompts could be scored: {without_target:,} have no label or voted answer, {too_long:,} are"
        " longer than the context with their target; look at data.train, label.budget and select.target"
    )
