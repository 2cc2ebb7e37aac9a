"""The route of rewards: what solutions are worth to a run's reward function, and to a PRM."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from deploy.serve.policy.access import Bearer, no
from deploy.serve.policy.app import admission, openai_app
from deploy.serve.policy.door import Door
from deploy.serve.rewards.bodies import (
    ScoreBody,
    ScoredSolutions,
    ScoreReply,
    SolutionsBody,
    SolutionScore,
)
from deploy.serve.rewards.scorers import Unreadable, Worth
from effrl.types import Score


class JudgesOutcomes(Protocol):
    """A reward function."""

    def score(self, item: SolutionsBody) -> list[Score]:
        """One score per solution."""


class ReadsSteps(Protocol):
    """A process reward model."""

    def score(self, item: SolutionsBody) -> list[Worth | None]:
        """Steps and worth of each solution."""


@dataclass(frozen=True, slots=True)
class Scorers:
    """Who scores, by name."""

    reward: str
    outcomes: JudgesOutcomes
    prm: str | None = None
    steps: ReadsSteps | None = None

    def __call__(self, body: ScoreBody) -> ScoreReply:
        """Score everything; raises Unreadable."""
        return ScoreReply(reward=self.reward, prm=self.prm, items=[self._scored(item) for item in body.items])

    def _scored(self, item: SolutionsBody) -> ScoredSolutions:
        count = len(item.completions)
        outcomes = self.outcomes.score(item) if item.label is not None else [None] * count
        worths = self.steps.score(item) if self.steps else [None] * count
        scores = [_told(outcome, worth) for outcome, worth in zip(outcomes, worths, strict=True)]
        known = [place for place, score in enumerate(scores) if score.worth is not None]
        best = max(known, key=lambda place: scores[place].worth or 0.0, default=None)
        return ScoredSolutions(scores=scores, best=best)


def _told(score: Score | None, worth: Worth | None) -> SolutionScore:
    outcome = {} if score is None else {"outcome": score.outcome, "status": score.status.value, "answer": score.answer}
    return SolutionScore.model_validate(
        {**outcome, **({} if worth is None else {"steps": worth[0], "worth": worth[1]})}
    )


def rewards_app(start: Callable[[], Scorers], requests: int, token: str | None) -> FastAPI:
    """The whole app.

    Args:
        start: makes the scorers, in the thread that they work in: the kernel ties a worker's life to it.
        requests: that may be under way or wait for their turn.
        token: that callers must send.
    """
    thread = ThreadPoolExecutor(1, "scoring")
    scorers: list[Scorers] = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        scorers.append(await asyncio.get_running_loop().run_in_executor(thread, start))
        yield
        thread.shutdown(wait=False, cancel_futures=True)

    app = openai_app("effrl rewards", lifespan)
    routes = APIRouter(prefix="/v1", tags=["rewards"], dependencies=[Depends(Bearer(token))])

    @routes.post("/score", dependencies=[admission(Door(requests))])
    async def score(body: ScoreBody) -> ScoreReply:
        """Score solutions; without a label by the PRM alone."""
        if scorers[0].steps is None and (places := [n for n, item in enumerate(body.items) if item.label is None]):
            raise Unreadable(f"items.{places[0]} has no label, and no PRM is served: send one")
        return await asyncio.get_running_loop().run_in_executor(thread, scorers[0], body)

    @app.get("/healthz", tags=["health"])
    async def healthz() -> dict[str, str | None]:
        """Whose reward it is."""
        return {"status": "ok", "reward": scorers[0].reward, "prm": scorers[0].prm}

    app.include_router(routes)
    app.add_exception_handler(Unreadable, _unreadable)
    return app


def _unreadable(_: Request, error: Exception) -> JSONResponse:
    return no(400, str(error))
