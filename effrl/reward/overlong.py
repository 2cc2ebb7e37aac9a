"""A soft penalty for completions that come near the token limit."""

from dataclasses import replace

from effrl.kinds import Overlong
from effrl.types import Score, ScoredGroup


def soft_overlong(tokens: int, max_tokens: int, buffer: int) -> float:
    """0 up to ``max_tokens - buffer`` sampled tokens, then falling linearly to -1 at ``max_tokens``.

    DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13).

    Example: with 100 tokens and a buffer of 20, 80 tokens give 0, 90 give -0.5, and 100 give -1.
    """
    return max(-1.0, min(0.0, (max_tokens - buffer - tokens) / buffer))


def shaped(scored: ScoredGroup, overlong: Overlong | None, max_tokens: int) -> ScoredGroup:
    """The group with penalised rewards. Outcomes stay: filters and metrics read them, and length is no correctness.

    What could not be scored stays so, and a dropped group, which has no scores, passes through.
    """
    if overlong is None or not scored.scores:
        return scored
    lengths = [len(rollout.token_ids) for rollout in scored.group.rollouts]
    scores = [
        _penalised(score, overlong.penalty * soft_overlong(tokens, max_tokens, overlong.buffer))
        for score, tokens in zip(scored.scores, lengths, strict=True)
    ]
    return replace(scored, scores=tuple(scores))


def _penalised(score: Score, penalty: float) -> Score:
    return score if score.reward is None else replace(score, reward=score.reward + penalty)
