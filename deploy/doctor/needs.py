"""What a config asks of the nodes that carry its workers, as far as it is known before the run."""

from collections.abc import Sequence
from pathlib import Path

from actors.node.actor import LEARNER_PLUGINS
from deploy.doctor.facts import RunNeeds
from effrl.config import load
from effrl.config.schema import Config
from effrl.preflight.check import check
from effrl.preflight.memory import CONTEXT, GIB, LIBRARIES
from effrl.preflight.plan import Memory, plan


def needs_of(recipe: str, overrides: Sequence[str]) -> RunNeeds:
    """Look at all that a config names, and work out what its workers take.

    Raises:
        UserError: something is wrong with the config, the data or the model.
    """
    config = load.load(recipe, list(overrides))
    checked = check(config)
    memory = plan(config, checked).memory
    used = _bytes(config, memory)
    workers = config.workers()
    on_host = {role: kind.per_node * used[role] for role, kind in workers.items() if not kind.gpus}
    beside = {role: kind.per_node * float(memory.engine_weights) for role, kind in workers.items() if kind.gpus}
    return RunNeeds(
        folder=str((config.run.dir or Path("runs")).absolute()),
        models=tuple(dict.fromkeys(str(model.path) for model in (checked.model, checked.judge) if model is not None)),
        modules=tuple(path.partition(":")[0] for name, path in config.plugins.items() if name in LEARNER_PLUGINS),
        pools=config.pools(),
        weights=memory.publish,
        host_memory={**on_host, **beside},
        gpu_memory={role: used[role] + CONTEXT for role, kind in workers.items() if kind.gpus},
        gpu_share=config.rollout.gpu_memory if config.cluster.rollout.gpus else 0.0,
    )


def _bytes(config: Config, memory: Memory) -> dict[str, float]:
    """Of one worker of each role."""
    cache = 0.0 if config.cluster.rollout.gpus else config.rollout.kv_cache_gb * GIB
    return {
        "rollout": memory.engine_weights + cache + LIBRARIES["engine"],
        "learner": memory.learner + LIBRARIES["rank"],
        "prm": memory.prm + LIBRARIES["rank"],
    }
