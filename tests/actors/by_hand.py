"""Real actors without a driver: a learner and rollout workers, started by hand."""

from pathlib import Path
from typing import Any

import ray

import effrl
from actors.cluster import COMMON_ENVIRONMENT, CPU_ENVIRONMENT, ENGINE_ENVIRONMENT
from actors.learner.actor import LearnerOptions
from actors.learner.group import LearnerGroup
from actors.rollout.sampling import EngineOptions
from actors.wait import answer, answers
from effrl.config.learn import LearnConfig
from effrl.config.loss import AnyLoss, ClippedLoss

WAIT_S = 240.0
CONTEXT = 512
"""Longest sequence of an engine."""


def start_workers(role: type, count: int, model: Path, run_dir: Path, dtype: str = "float32") -> dict[str, Any]:
    """Rollout workers (not yet ready), four of which fit beside two learners on two cores."""
    environment = {**COMMON_ENVIRONMENT, **CPU_ENVIRONMENT, **ENGINE_ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    options = EngineOptions(str(model), dtype, CONTEXT, version=0, seed=1, kv_cache_gb=0.25, gpus=0)
    actor = ray.remote(role).options(num_cpus=0, runtime_env={"env_vars": environment})
    names = [f"rollout-{index}" for index in range(count)]
    return {name: actor.remote(name, run_dir, effrl.__version__, options) for name in names}


async def start_learner(
    role: type,
    ranks: int,
    model: Path,
    run_dir: Path,
    learn: LearnConfig,
    loss: AnyLoss | None = None,
    reference: Path | None = None,
    temperature: float = 1.0,
) -> LearnerGroup:
    """A learner's group, ready to step; ``reference`` is the model that a KL term measures from."""
    environment = {**COMMON_ENVIRONMENT, **CPU_ENVIRONMENT, "OMP_NUM_THREADS": "1"}
    actor = ray.remote(role).options(num_cpus=0, runtime_env={"env_vars": environment})
    handles = {}
    for rank in range(ranks):
        initial = str(reference) if reference else None
        options = LearnerOptions(
            model=str(model),
            dtype="float32",
            learn=learn,
            loss=loss or ClippedLoss(),
            rank=rank,
            world_size=ranks,
            reference=initial,
            temperature=temperature,
            search_path=(str(Path(__file__).parents[1] / "plugins"),),
        )
        handles[f"learner-{rank}"] = actor.remote(f"learner-{rank}", run_dir, effrl.__version__, options)
    host, port = await answer(handles["learner-0"].address.remote(), WAIT_S, "address", "learner-0")
    await answers({name: handle.start.remote(host, port) for name, handle in handles.items()}, WAIT_S, "start")
    return LearnerGroup(handles, WAIT_S)


async def ready(workers: dict[str, Any]) -> None:
    await answers({name: worker.ready.remote() for name, worker in workers.items()}, WAIT_S, "start-up")


def stop(*groups: dict[str, Any]) -> None:
    for handle in (handle for group in groups for handle in group.values()):
        ray.kill(handle)
