"""What a step takes on a cluster that one may not have: memory, seconds by stage, and what bounds it."""

from collections.abc import Mapping
from dataclasses import dataclass

from effrl.config.learn import LearnConfig
from effrl.config.schema import Config
from effrl.preflight.devices import Device
from effrl.preflight.memory import BYTES, CONTEXT, GIB, EngineMemory, RankMemory, engine_memory, prm_memory, rank_memory
from effrl.preflight.pools import Layout
from effrl.preflight.seconds import (
    Passes,
    StepWork,
    Team,
    learn_s,
    learner_passes,
    prm_passes,
    publish_s,
    rest_s,
    rollout_s,
)
from effrl.preflight.shape import Shape


@dataclass(frozen=True, slots=True)
class Scene:
    """What a forecast is about."""

    config: Config
    shape: Shape
    layout: Layout
    device: Device
    work: StepWork
    factors: Mapping[str, float]
    """What the seconds of a stage are multiplied by, where a run was measured."""

    @property
    def size(self) -> int:
        """Bytes of a weight."""
        return BYTES[self.config.model.dtype]


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of one step."""

    seconds: Mapping[str, float]
    """By stage."""
    ahead: bool
    """Whether sampling and learning overlap."""
    learner: RankMemory
    prm: RankMemory | None
    engine: EngineMemory

    @property
    def step(self) -> float:
        """Seconds of the whole step."""
        stages = self.seconds
        learning = stages["learn"] + stages["process"]
        both = max(stages["rollout"], learning) if self.ahead else stages["rollout"] + learning
        return both + stages["publish"] + stages["rest"]

    @property
    def bound(self) -> str:
        """The stage that takes most."""
        return max(self.seconds, key=lambda stage: self.seconds[stage])


def forecast(scene: Scene) -> Forecast:
    """Work it out."""
    config = scene.config
    engine = engine_memory(scene.shape, _cache_bytes(scene), _longest(scene), scene.size)
    prm = judge_memory(scene, config.prm.learn) if config.prm else None
    seconds = {stage: value * scene.factors.get(stage, 1.0) for stage, value in _seconds(scene, engine).items()}
    return Forecast(seconds, scene.work.ahead and scene.device.is_gpu, learner_memory(scene, config.learn), prm, engine)


def learner_memory(scene: Scene, learn: LearnConfig) -> RankMemory:
    """A rank of the learner under such settings."""
    ranks, reference = scene.layout.workers("learner"), 1.0 if scene.config.loss.kl else 0.0
    return rank_memory(scene.shape, learn, ranks, scene.work.pass_tokens, scene.size, reference)


def judge_memory(scene: Scene, learn: LearnConfig) -> RankMemory:
    """A rank of the PRM under such settings."""
    prm, ranks = scene.config.prm, scene.layout.workers("prm")
    assert prm is not None, "asked for a run that has one"
    return prm_memory(scene.shape, prm.reference, learn, ranks, scene.work.prm_pass_tokens, scene.size)


def _longest(scene: Scene) -> float:
    return scene.work.prompt_tokens + scene.work.longest


def _cache_bytes(scene: Scene) -> float:
    """Of an engine's key-value cache."""
    rollout, gpus = scene.config.rollout, scene.layout.pools["rollout"].gpus
    memory = scene.device.times(gpus).memory
    if memory is None:
        return rollout.kv_cache_gb * GIB
    return memory * rollout.gpu_memory - gpus * CONTEXT - scene.shape.parameters * scene.size


def _seconds(scene: Scene, engine: EngineMemory) -> dict[str, float]:
    work, shape, device, size, found = scene.work, scene.shape, scene.device, scene.size, scene.layout
    together = device.times(found.pools["rollout"].gpus)
    return {
        "rollout": rollout_s(work, shape, together, found.workers("rollout"), size, engine.sequences),
        "process": _process_s(scene),
        "learn": learn_s(work, shape, device, _learner(scene), size),
        "publish": publish_s(shape, device, found.nodes, size, found.colocated),
        "rest": rest_s(work),
    }


def _learner(scene: Scene) -> Team:
    learn = scene.config.learn
    return _team(scene, "learner", learn, scene.work.updates, learner_passes(scene.config), scene.work.pass_tokens)


def _process_s(scene: Scene) -> float:
    if (prm := scene.config.prm) is None:
        return 0.0
    team = _team(scene, "prm", prm.learn, 1, prm_passes(prm), scene.work.prm_pass_tokens)
    return learn_s(scene.work, scene.shape, scene.device, team, scene.size)


def _team(scene: Scene, kind: str, learn: LearnConfig, updates: int, passes: Passes, pass_tokens: int) -> Team:
    pool, trained = scene.layout.pools[kind], scene.shape.trained(learn.lora)
    return Team(pool.workers, min(pool.nodes, pool.workers), learn.zero, updates, trained, passes, pass_tokens)
