"""How large pods must be: what a config's workers reserve, and memory from the size of the model.

Memory is an estimate to start from, as in :mod:`effrl.preflight.plan`: tensors, and what a process takes besides. The
metrics ``memory/rss_mb/ROLE`` of a run say what it really took.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from deploy.render.options import PREFIX, RenderOptions
from effrl.config.cluster import NodePool, WorkersConfig
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.models import BUILT_IN, find_model
from effrl.preflight.memory import BYTES

GIB = 2**30
NODE_GIB = 1.0
"""Ray's own processes in a pod."""
PROCESS_GIB = {False: 1.5, True: 4.0}
"""Libraries of one worker's process, without and with CUDA."""
TRAINED_BYTES = 16
"""Of a parameter that a learner on a CPU trains, besides its weight: gradient, and Adam's master copy and moments."""
CORES = {False: 2, True: 8}
"""Of one worker without a GPU, and of one GPU."""


@dataclass(frozen=True, slots=True)
class WorkerGroup:
    """Worker pods that are alike, one for each node of a pool of the config."""

    name: str
    nodes: int
    most: int
    """Pods that there may be once more workers join; as many as nodes where none does."""
    cpus: int
    """Cores of one pod."""
    gpus: int
    """GPUs of one pod."""
    memory_gib: int
    """Memory of one pod, /dev/shm included: what lies there counts against the pod."""
    labels: Mapping[str, str]
    """By which Ray finds the pod for its workers."""


def worker_groups(config: Config, options: RenderOptions, learning: bool = True) -> list[WorkerGroup]:
    """The worker pods of a run, or of an evaluation.

    Raises:
        UserError: the model is not on this machine, and nobody says how large it is.
    """
    pools, kinds = config.pools(learning), config.workers(learning)
    return [
        _group(
            "workers" if len(pools) == 1 else "-".join(pool.roles),
            pool,
            {role: kinds[role] for role in pool.roles},
            config,
            options,
        )
        for pool in pools
    ]


def replica_group(config: Config, options: RenderOptions) -> WorkerGroup:
    """Pods of a served policy, an engine each; one core is left for the rewards.

    Raises:
        UserError: as :func:`worker_groups` does.
    """
    engine = config.cluster.rollout
    alone = engine.model_copy(update={"per_node": 1})
    cpus = options.worker_cpus or CORES[engine.gpus > 0] + 1
    memory = options.worker_memory_gib or _memory_gib({"rollout": alone}, config, options)
    return WorkerGroup("replicas", 1, options.replicas, cpus, engine.gpus, memory, {})


def _group(
    name: str, pool: NodePool, kinds: Mapping[str, WorkersConfig], config: Config, options: RenderOptions
) -> WorkerGroup:
    parts = pool.gpus or sum(kind.per_node for kind in kinds.values())
    cpus = options.worker_cpus or max(ceil(pool.cpus), CORES[pool.gpus > 0] * parts)
    memory = options.worker_memory_gib or _memory_gib(kinds, config, options)
    most = pool.nodes
    if pool.roles == ("rollout",):  # pods that carry other roles as well are not made for an engine alone
        most = ceil(config.cluster.most_rollout_workers / kinds["rollout"].per_node)
    return WorkerGroup(name, pool.nodes, most, cpus, pool.gpus, memory, pool.labels)


def store_gib(config: Config, options: RenderOptions) -> int:
    """Ray's object store in a worker pod: the version that is served and the next one, and room for batches.

    Raises:
        UserError: as :func:`worker_groups` does.
    """
    return options.store_gib or ceil(2 * _weights_gib(config, options) + 0.5)


def shm_gib(store: int) -> int:
    """/dev/shm of a pod with such an object store: NCCL and gloo have 1 GiB more."""
    return store + 1


def _memory_gib(kinds: Mapping[str, WorkersConfig], config: Config, options: RenderOptions) -> int:
    weights = _weights_gib(config, options)
    processes = sum(kind.per_node * _process_gib(name, kind, weights, config) for name, kind in kinds.items())
    return ceil(NODE_GIB + processes) + shm_gib(store_gib(config, options))


def _process_gib(name: str, kind: WorkersConfig, weights: float, config: Config) -> float:
    """Memory of one worker's process on its host."""
    libraries = PROCESS_GIB[kind.gpus > 0]
    if kind.gpus:  # a copy that is published or sleeps, and one that each GPU's process has while it loads
        processes = kind.gpus + (kind.gpus > 1)
        return libraries * processes + (1 + kind.gpus) * weights
    if name == "rollout":
        return libraries + weights + config.rollout.kv_cache_gb
    return libraries + weights * (2 + TRAINED_BYTES / BYTES[config.model.dtype])  # one copy is what is published


def _weights_gib(config: Config, options: RenderOptions) -> float:
    path = config.model.path
    if options.parameters is None and path not in BUILT_IN and not Path(path).is_dir():
        raise UserError(
            f"model.path={path} is not on this machine, so its size is not known: say it, {PREFIX}parameters=494e6"
        )
    parameters = options.parameters or find_model(path).parameters
    return parameters * BYTES[config.model.dtype] / GIB
