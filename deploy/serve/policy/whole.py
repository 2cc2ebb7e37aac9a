"""The policy, whole: what ``effrl serve policy`` runs by itself, and Ray Serve in each of its replicas."""

import os
from typing import Annotated

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field

from actors.environment import COMMON_ENVIRONMENT, CPU_ENVIRONMENT, ENGINE_ENVIRONMENT
from deploy.serve.policy.app import Limits, Policy, ServedPolicy, policy_app
from deploy.serve.policy.door import Door
from deploy.serve.policy.source import WeightsSource
from deploy.serve.policy.swap import LOOK_S, Follower


class PolicyWish(BaseModel):
    """What to serve, and how; the ``args`` of a Serve config."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    run: str
    """A run, one of its checkpoints, or any model."""
    checkpoint: str = "best"
    """Of a run: the best on its dev set (or else the newest), the newest, or a step; the first two are followed."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs that share the model; 0 for a CPU."""
    requests: Annotated[int, Field(ge=1)] = 64
    """Requests at a time."""
    tokens: Annotated[int, Field(ge=1)] = 1024
    """Longest completion."""
    look_s: Annotated[float, Field(gt=0)] = LOOK_S
    """Seconds between two looks for a newer checkpoint."""


def whole_app(wish: PolicyWish, token: str | None) -> FastAPI:
    """The app of a policy; its engine starts when a server does.

    Raises:
        UserError: there is no such run, model or checkpoint.
    """
    source = WeightsSource(wish.run, wish.checkpoint)
    version = source.wanted()
    digest = source.prove(version)

    async def start() -> ServedPolicy:
        os.environ.update(_environment(wish.gpus))
        from deploy.serve.policy.engine import EngineWish, PolicyEngine  # reads the environment when it is imported

        given = EngineWish(wish.gpus, wish.tokens)
        return PolicyEngine(source.name, version, digest, source.manner, given)

    follow = Follower(source, wish.look_s) if source.moves else None
    limits = Limits(wish.requests, wish.tokens)
    return policy_app(Policy(Door(limits.requests), version), start, follow, limits, token)


def _environment(gpus: int) -> dict[str, str]:
    """That of a rollout worker, but that the engine has processes of its own."""
    several = {"VLLM_ENABLE_V1_MULTIPROCESSING": "1"}
    return {**COMMON_ENVIRONMENT, **ENGINE_ENVIRONMENT, **several, **({} if gpus else CPU_ENVIRONMENT)}
