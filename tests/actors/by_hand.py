"""Real actors without a driver: a learner and rollout workers, started by hand."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from planted import FaultyWorker, OpenPrm, OpenRank

import effrl
from actors.environment import COMMON_ENVIRONMENT, CPU_ENVIRONMENT, ENGINE_ENVIRONMENT
from actors.learner.actor import LearnerOptions
from actors.learner.group import LearnerGroup
from actors.learner.objective import Rules
from actors.prm.actor import PrmOptions
from actors.ranks.group import RankGroup
from actors.rollout.sampling import EngineOptions
from actors.wait import answer, answers
from effrl.config.learn import LearnConfig
from effrl.config.loss import ClippedLoss
from effrl.config.process import ImplicitPrm

WAIT_S = 240.0
CONTEXT = 512
"""Longest sequence of an engine."""
ENVIRONMENT = {
    **COMMON_ENVIRONMENT,
    **CPU_ENVIRONMENT,
    "OMP_NUM_THREADS": "1",
    # Actors import the tests' own subclasses from here.
    "PYTHONPATH": os.pathsep.join(filter(None, (str(Path(__file__).parent), os.environ.get("PYTHONPATH")))),
}


def start_workers(
    role: type, count: int, model: Path, run_dir: Path, dtype: str = "float32", parts: int = 1
) -> dict[str, Any]:
    """Rollout workers (not yet ready), four of which fit beside two learners on two cores."""
    environment = {**ENVIRONMENT, **ENGINE_ENVIRONMENT}
    options = EngineOptions(str(model), dtype, CONTEXT, version=0, seed=1, kv_cache_gb=0.25, gpus=0, cpu_parts=parts)
    actor = ray.remote(role).options(num_cpus=0, runtime_env={"env_vars": environment})
    names = [f"rollout-{index}" for index in range(count)]
    return {name: actor.remote(name, run_dir, effrl.__version__, options) for name in names}


async def start_learner(role: type, ranks: int, model: Path, run_dir: Path, reference: Path) -> LearnerGroup:
    """A learner's group, ready to step; ``reference`` is the model that a KL term measures from."""
    actor = ray.remote(role).options(num_cpus=0, runtime_env={"env_vars": ENVIRONMENT})
    handles = {}
    for rank in range(ranks):
        options = LearnerOptions(
            model=str(model),
            dtype="float32",
            learn=LearnConfig(),
            rank=rank,
            world_size=ranks,
            reference=str(reference),
            rules=(Rules(ClippedLoss(), LearnConfig().lr),),
            search_path=(str(Path(__file__).parents[1] / "plugins"),),
        )
        handles[f"learner-{rank}"] = actor.remote(f"learner-{rank}", run_dir, effrl.__version__, options)
    host, port = await answer(handles["learner-0"].address.remote(), WAIT_S, "address", "learner-0")
    await answers({name: handle.start.remote(host, port) for name, handle in handles.items()}, WAIT_S, "start")
    return LearnerGroup(handles, WAIT_S)


async def start_prm(ranks: int, model: Path, run_dir: Path) -> RankGroup:
    """The ranks of an implicit PRM, whose reference is its own beginning until they become another."""
    actor = ray.remote(OpenPrm).options(num_cpus=0, runtime_env={"env_vars": ENVIRONMENT})
    handles = {}
    for rank in range(ranks):
        options = PrmOptions(str(model), str(model), "float32", ImplicitPrm(), 1.0, rank, ranks)
        handles[f"prm-{rank}"] = actor.remote(f"prm-{rank}", run_dir, effrl.__version__, options)
    host, port = await answer(handles["prm-0"].address.remote(), WAIT_S, "address", "prm-0")
    await answers({name: handle.start.remote(host, port) for name, handle in handles.items()}, WAIT_S, "start")
    return RankGroup(handles, WAIT_S)


async def ready(workers: dict[str, Any]) -> None:
    await answers({name: worker.ready.remote() for name, worker in workers.items()}, WAIT_S, "start-up")


def stop(*groups: dict[str, Any]) -> None:
    for handle in (handle for group in groups for handle in group.values()):
        ray.kill(handle)


@dataclass
class Kept:
    """Processes that one test after the other uses, each started when it is first asked for."""

    models: dict[str, Path]
    run_dir: Path
    learners: dict[int, LearnerGroup] = field(default_factory=dict)
    prms: dict[int, RankGroup] = field(default_factory=dict)
    workers: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def learner(self, ranks: int) -> LearnerGroup:
        """Ranks that become any learner: of the tied model and near the untied one, where no other is named."""
        if ranks not in self.learners:
            paths = self.models["tied"], self.run_dir, self.models["untied"]
            self.learners[ranks] = await start_learner(OpenRank, ranks, *paths)
        await self.learners[ranks].all("renew")
        return self.learners[ranks]

    async def prm(self, ranks: int) -> RankGroup:
        """Ranks of a PRM, to become another."""
        if ranks not in self.prms:
            self.prms[ranks] = await start_prm(ranks, self.models["tied"], self.run_dir)
        return self.prms[ranks]

    async def engines(
        self, name: str, model: Path, count: int, dtype: str = "float32", parts: int = 1
    ) -> dict[str, Any]:
        """Rollout workers with faults to plant, by a name of the caller's."""
        if name not in self.workers:
            self.workers[name] = start_workers(FaultyWorker, count, model, self.run_dir, dtype, parts)
            await ready(self.workers[name])
        return self.workers[name]

    def stop(self) -> None:
        """End all of them; who asks for one gets a new one."""
        groups = (*self.learners.values(), *self.prms.values())
        stop(*(dict(group.ranks) for group in groups), *self.workers.values())
        self.learners.clear()
        self.prms.clear()
        self.workers.clear()
