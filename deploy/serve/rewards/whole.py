"""The rewards, whole: what ``effrl serve rewards`` runs by itself, and Ray Serve in each of its replicas."""

import os
from pathlib import Path
from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from actors.environment import COMMON_ENVIRONMENT
from deploy.serve.rewards.app import Scorers, rewards_app
from deploy.serve.rewards.scorers import OutcomeScorer, StepScorer, reward_of
from effrl.preflight.judge import judge_of


class RewardsWish(BaseModel):
    """What to score with; the ``args`` of a Serve config."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    run: str
    """The run whose reward it is."""
    prm: str | None = None
    """The run, or checkpoint, whose implicit PRM reads solutions too."""
    requests: Annotated[int, Field(ge=1)] = 64
    """Requests at a time; they are scored one after the other."""


def whole_rewards(wish: RewardsWish, token: str | None) -> FastAPI:
    """The app of a run's rewards; its workers and models start when a server does.

    Raises:
        UserError: there is no such run, or it has no PRM.
    """
    reward = reward_of(Path(wish.run))
    judge = None if wish.prm is None else judge_of(Path(wish.prm))

    def start() -> Scorers:
        os.environ.update(COMMON_ENVIRONMENT)
        steps = None if judge is None else StepScorer(judge)
        return Scorers(wish.run, OutcomeScorer(reward), judge.name if judge else None, steps)

    return rewards_app(start, wish.requests, token)
