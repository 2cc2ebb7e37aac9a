"""Terms on top of the outcome: what advantages read and filters do not.

A term changes a rollout's reward and leaves its outcome alone. So a group whose answers are all right stays without
signal, however its lengths and formats differ, unless a mark is asked for that some of them lack; pass rates, votes
and evaluation are about correctness alone.
"""

from collections.abc import Sequence
from dataclasses import replace

from effrl.config.reward import RewardTerms
from effrl.types import Score, ScoredGroup


def soft_overlong(tokens: int, max_tokens: int, buffer: int) -> float:
    """0 up to ``max_tokens - buffer`` sampled tokens, then falling linearly to -1 at ``max_tokens``.

    DAPO's soft overlong punishment (arXiv 2503.14476, eq. 13).

    Example: with 100 tokens and a buffer of 20, 80 tokens give 0, 90 give -0.5, and 100 give -1.
    """
    return max(-1.0, min(0.0, (max_tokens - buffer - tokens) / buffer))


def relative_length(tokens: int, shortest: int, longest: int, right: bool) -> float:
    """0.5 for a group's shortest completion, falling linearly to -0.5 for its longest; a wrong one gains nothing.

    Kimi k1.5's length reward (arXiv 2501.12599, section 2.3.3); 0 where all lengths are equal.

    Example: between 10 and 110 tokens, 35 give 0.25 if right, and 0 if wrong; 110 give -0.5 either way.
    """
    if shortest == longest:
        return 0.0
    value = 0.5 - (tokens - shortest) / (longest - shortest)
    return value if right else min(0.0, value)


def shaped(scored: ScoredGroup, terms: RewardTerms, max_tokens: int, formatted: Sequence[bool]) -> ScoredGroup:
    """The group with the terms of each score, and rewards that are outcome plus terms.

    What could not be scored stays so, and a dropped group, which has no scores, passes through.

    Args:
        formatted: whether each rollout has the format of ``terms.format``; empty where that is not asked for.
    """
    found = [_terms(scored, place, terms, max_tokens, formatted) for place in range(len(scored.scores))]
    scores = [_with(score, values) for score, values in zip(scored.scores, found, strict=True)]
    return replace(scored, scores=tuple(scores))


def _terms(
    scored: ScoredGroup, place: int, terms: RewardTerms, max_tokens: int, formatted: Sequence[bool]
) -> dict[str, float]:
    rollouts = scored.group.rollouts
    tokens, found = len(rollouts[place].token_ids), {}
    if terms.overlong is not None:
        found["overlong"] = terms.overlong.penalty * soft_overlong(tokens, max_tokens, terms.overlong.buffer)
    if terms.format is not None:
        found["format"] = terms.format.weight * formatted[place]
    if terms.mark is not None:
        worth = scored.scores[place].reward or 0.0
        found["mark"] = 0.0 if terms.mark.text in rollouts[place].text else terms.mark.without - worth
    if terms.length is not None:
        right = scored.scores[place].outcome == 1
        lengths = [len(rollout.token_ids) for rollout in rollouts if not rollout.failed] or [tokens]
        found["length"] = terms.length.weight * relative_length(tokens, min(lengths), max(lengths), right)
    return found


def _with(score: Score, terms: dict[str, float]) -> Score:
    if score.reward is None or not terms:
        return score
    return replace(score, reward=score.reward + sum(terms.values()), terms=terms)
