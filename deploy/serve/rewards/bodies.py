"""What ``POST /v1/score`` takes and gives."""

from typing import Annotated

from pydantic import Field, JsonValue

from deploy.serve.policy.bodies import ChatTurn, OpenAIBody, Text


class SolutionsBody(OpenAIBody):
    """Solutions of one prompt."""

    prompt: Text | Annotated[list[ChatTurn], Field(min_length=1, max_length=1024)] = ""
    """Text or messages; only a PRM looks at it."""
    completions: Annotated[list[Text], Field(min_length=1, max_length=64)]
    label: Text | None = None
    """The right answer; without it there are process rewards alone."""
    meta: dict[str, JsonValue] = Field({})
    """Of the prompt's row, where the reward reads any."""


class ScoreBody(OpenAIBody):
    """``POST /v1/score``."""

    items: Annotated[list[SolutionsBody], Field(min_length=1, max_length=64)]


class StepScore(OpenAIBody):
    """One step of a solution."""

    text: str
    reward: float
    """Sum of the process rewards of its tokens."""


class SolutionScore(OpenAIBody):
    """What a solution is worth."""

    outcome: float | None = None
    """Correctness in [0, 1]; null without a label, or where the verifier failed."""
    status: str | None = None
    """``ok``, ``unparseable``, or why there is no outcome."""
    answer: str | None = None
    """The final answer that was found."""
    steps: list[StepScore] | None = None
    """Null without a PRM."""
    worth: float | None = None
    """Reward of the worst step; null without a PRM, or of a solution without text."""


class ScoredSolutions(OpenAIBody):
    """Of one prompt."""

    scores: list[SolutionScore]
    best: int | None
    """The solution that the PRM takes, of equals the first; null without a PRM."""


class ScoreReply(OpenAIBody):
    """In the order of what was sent."""

    reward: str
    """The run whose reward it is."""
    prm: str | None
    """The checkpoint whose PRM it is."""
    items: list[ScoredSolutions]
