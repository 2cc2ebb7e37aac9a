"""What of a forecast does not fit, and the one change that shortens a step most."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from effrl.config.learn import LearnConfig
from effrl.preflight.forecast import Forecast, Scene, forecast, judge_memory, learner_memory
from effrl.preflight.memory import BYTES, CONTEXT, GIB, RankMemory
from effrl.preflight.pools import misfits

WORTH = 0.05
"""Share of a step that a change must save to be told."""
SMALLER: tuple[Mapping[str, Any], ...] = (
    {"activation_checkpointing": True},
    {"zero": 2},
    {"zero": 3},
    {"zero": 3, "activation_checkpointing": True},
)
"""What makes a rank smaller, the cheapest first."""


def notes(scene: Scene, found: Forecast) -> list[str]:
    """What differs from the config or does not fit, a line each."""
    return [*misfits(scene.config, scene.layout), *too_large(scene, found)]


def too_large(scene: Scene, found: Forecast) -> Iterator[str]:
    """Engines and ranks that a GPU cannot hold; a CPU's memory is not known here."""
    room, share, config = scene.device.memory, scene.config.rollout.gpu_memory, scene.config
    if room is None:
        return
    if found.engine.sequences < 1:
        gpus = scene.layout.pools["rollout"].gpus
        narrower = "model.dtype=bfloat16, " if scene.size == BYTES["float32"] else ""
        yield (
            f"an engine does not fit: weights of {found.engine.weights / GIB:.1f} GiB and one sequence's cache are more"
            f" than {share:.0%} of the {gpus * room / GIB:.0f} GiB of {gpus} {scene.device.name}: set"
            f" cluster.rollout.gpus={2 * gpus}, or plan {narrower}a smaller model"
        )
    free = room * (1 - share if scene.layout.colocated else 1) - CONTEXT
    if found.learner.peak > free:
        changes = _fitting(config.learn, free, lambda learn: learner_memory(scene, learn))
        yield _no_room("learner", found.learner, free, changes)
    if found.prm is not None and config.prm is not None and found.prm.peak > free:
        changes = _fitting(config.prm.learn, free, lambda learn: judge_memory(scene, learn))
        yield _no_room("prm", found.prm, free, changes)


def _no_room(kind: str, rank: RankMemory, free: float, changes: Mapping[str, Any] | None) -> str:
    section = {"learner": "learn", "prm": "process.learn"}[kind]
    told = " ".join(f"{section}.{name}={str(value).lower()}" for name, value in (changes or {}).items())
    remedy = f"set {told}" if told else f"plan more ranks with {section}.zero=3, or {section}.lora"
    return f"a rank of the {kind} does not fit: {rank.peak / GIB:.1f} GiB where {free / GIB:.1f} are free: {remedy}"


def _fitting(learn: LearnConfig, free: float, memory: Callable[[LearnConfig], RankMemory]) -> Mapping[str, Any] | None:
    """The first change under which a rank fits; None where none is enough."""
    return next(
        (change for change in SMALLER if memory(learn.model_copy(update=dict(change))).peak <= free),
        None,
    )


def better(scene: Scene, found: Forecast) -> tuple[str, float] | None:
    """The change that shortens a step most, and the seconds that it then takes; None where none saves a twentieth."""
    forecasts = [(text, other, forecast(other)) for text, other in _changes(scene)]
    tried = [(text, told.step) for text, other, told in forecasts if not any(too_large(other, told))]
    best = min(tried, key=lambda change: change[1], default=None)
    return best if best is not None and best[1] < found.step * (1 - WORTH) else None


def _changes(scene: Scene) -> Iterator[tuple[str, Scene]]:
    """Sampling ahead, and every other way to share out the GPUs of engines and learner."""
    found = scene.layout
    if not scene.device.is_gpu or found.colocated:
        return
    if not scene.work.ahead:
        yield "rollout.max_staleness=1", replace(scene, work=replace(scene.work, ahead=True))
    engines, ranks = found.pools["rollout"], found.pools["learner"]
    if engines.apart or ranks.apart:
        return  # whole nodes would have to move, which labels may forbid
    both = engines.workers + ranks.workers
    unit = found.nodes if both % found.nodes == 0 else 1
    for count in range(unit, both, unit):
        moved = {"rollout": replace(engines, workers=count), "learner": replace(ranks, workers=both - count)}
        other = replace(found, pools={**found.pools, **moved})
        yield other.overrides or f"{count} engines and {both - count} ranks", replace(scene, layout=other)
