"""How sure the policy of the moment is of given answers, how strange prompts are to it, by one forward pass each, and
how sure it is of what it sampled itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from actors.driver.sampler import Sampler
from effrl.chunks import chunks
from effrl.config.select import Normalise, TargetForm
from effrl.config.template import Form
from effrl.errors import RunError, UserError
from effrl.protocols import Learner
from effrl.select.perplexity import perplexity
from effrl.select.ufo.zone import certainty
from effrl.types import Continuation, Float32, Prompt, Rollout

CHUNK = 1024
"""Prompts that are tokenised together: what a wait lasts for, and what a message may hold."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What is scored of a prompt: ``Aim(prompt, "46", "gold")``."""

    prompt: Prompt
    target: str
    source: str
    """Where it comes from: ``gold``, ``vote`` or ``sample``."""


@dataclass(frozen=True, slots=True)
class Certainty:
    """What one forward pass, or one rollout, found out."""

    aim: Aim
    normalise: Normalise
    value: float
    """In [0, 1] (:func:`effrl.select.ufo.zone.certainty`)."""
    tokens: int
    """Of the target."""
    forward_tokens: int
    """Of prompt, prefix and target; 0 where the target was sampled, which needs no pass."""

    @property
    def record(self) -> dict[str, Any]:
        """As a run keeps it."""
        return {
            "prompt_id": self.aim.prompt.id,
            "certainty": self.value,
            "normalise": self.normalise,
            "label_source": self.aim.source,
            "target_tokens": self.tokens,
        }


@dataclass
class CertaintyService:
    """Scores on the learner's ranks, whose weights are the policy of the moment; an engine's tokenizer serves."""

    learner: Learner
    sampler: Sampler
    """Of its workers, any one tokenises."""
    context: int
    """Longest sequence, in tokens."""

    async def __call__(self, aims: Sequence[Aim], form: TargetForm) -> tuple[int, list[Certainty]]:
        """The version that scored, and one certainty per aim, in order; what is longer than the context is left out."""
        texts: list[Continuation] = []
        for part in chunks(aims, CHUNK):
            asked = [(aim.prompt, aim.target) for aim in part]
            texts += await self.sampler.any("target_ids", asked, form.prefix, what="tokenised targets")
        fitting = [(aim, text) for aim, text in zip(aims, texts, strict=True) if len(text.ids) <= self.context]
        version, logprobs = await self.learner.logprobs([text for _, text in fitting])
        return version, [
            Certainty(aim, form.normalise, _certainty(aim, values, form), text.tokens, len(text.ids))
            for (aim, text), values in zip(fitting, logprobs, strict=True)
        ]

    async def perplexities(self, prompts: Sequence[Prompt], form: Form) -> tuple[dict[str, float], int]:
        """Perplexities of the prompts' own texts, by id, and how many tokens went through the model for them.

        What has no token to score, or does not fit into the context, is left out.
        """
        texts: list[Continuation] = []
        for part in chunks(prompts, CHUNK):
            texts += await self.sampler.any("user_text_ids", part, form, what="tokenised prompts")
        told = [
            pair for pair in zip(prompts, texts, strict=True) if pair[1].tokens and len(pair[1].ids) <= self.context
        ]
        _, logprobs = await self.learner.logprobs([text for _, text in told])
        found = {prompt.id: _perplexity(prompt, row) for (prompt, _), row in zip(told, logprobs, strict=True)}
        return found, sum(len(text.ids) for _, text in told)


def of_sample(prompt: Prompt, rollout: Rollout, form: TargetForm) -> Certainty:
    """How probable a policy's own completion was when it was sampled, by the engine's log-probs."""
    aim = Aim(prompt, rollout.text, "sample")
    return Certainty(aim, form.normalise, _certainty(aim, rollout.logprobs, form), len(rollout.token_ids), 0)


def _certainty(aim: Aim, logprobs: Float32, form: TargetForm) -> float:
    try:
        return certainty(logprobs.tolist(), form.normalise)
    except ValueError as error:
        raise RunError(f"prompt {aim.prompt.id} cannot be scored: {error}") from error


def _perplexity(prompt: Prompt, logprobs: Float32) -> float:
    try:
        return perplexity(logprobs.tolist())
    except ValueError as error:
        raise RunError(f"prompt {prompt.id} cannot be scored: {error}") from error


def nothing_scored(asked: int, without_target: int, too_long: int) -> UserError:
    """What to raise where no prompt at all could be scored."""
    return UserError(
        f"none of {asked:,} prompts could be scored: {without_target:,} have no label or voted answer, {too_long:,} are"
        " longer than the context with their target; look at data.train, label.budget and select.target"
    )
