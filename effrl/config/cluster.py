"""The ``cluster`` section of a config: how many workers of each role there are, where, and what each of them gets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from effrl.config.section import PositiveFloat, PositiveInt, Section


def _names_and_texts(value: object) -> object:
    if not isinstance(value, dict) or not all(isinstance(part, str) for pair in value.items() for part in pair):
        raise ValueError('labels are names and texts, like {pool: spot}: put others into quotes, like {spot: "true"}')
    return value


Labels = Annotated[dict[str, str], BeforeValidator(_names_and_texts)]


@dataclass(frozen=True, slots=True)
class NodePool:
    """Nodes that carry the same workers: ``NodePool(("rollout", "learner"), nodes=2, cpus=1.0, gpus=2, labels={})``."""

    roles: tuple[str, ...]
    nodes: int
    cpus: float
    """That the workers of one node reserve."""
    gpus: int
    """The same."""
    labels: Mapping[str, str]
    """That each of these nodes has."""

    @property
    def where(self) -> str:
        """For people: ``2 node(s) with pool=spot``."""
        return f"{self.nodes} node(s){' with ' if self.labels else ''}{told_labels(self.labels)}"


def told_labels(labels: Mapping[str, str]) -> str:
    """``pool=spot, zone=a``."""
    return ", ".join(f"{key}={value}" for key, value in labels.items())


class WorkersConfig(Section):
    per_node: PositiveInt = 1
    """Workers on each node."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of each worker; 0 runs on the CPU."""
    cpus: Annotated[float, Field(ge=0)] = 0.5
    """CPU share that each worker reserves; stages alternate, so workers may use the same cores."""
    nodes: PositiveInt | None = None
    """Nodes that carry workers of this role; ``cluster.nodes`` by default. A role with a number or labels of its own is
    placed apart from the others."""
    labels: Labels | None = None
    """Labels of these nodes, as ``ray start --labels`` gives them: {pool: spot}; ``cluster.labels`` by default."""

    @property
    def apart(self) -> bool:
        """Whether it has places of its own, and shares none with the other roles of a node."""
        return self.nodes is not None or self.labels is not None


class RanksConfig(WorkersConfig):
    @field_validator("gpus")
    @classmethod
    def _uses_all(cls, gpus: int) -> int:
        if gpus > 1:
            raise ValueError(
                f"a rank uses one GPU, and {gpus} would be reserved: set per_node to {gpus}, and gpus to 1"
            )
        return gpus


class RolloutWorkersConfig(WorkersConfig):
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of each engine, over which vLLM spreads the model (tensor parallel); 0 runs on the CPU."""
    min: PositiveInt = 1
    """Rollout workers that a run needs to go on, on all nodes: one that is lost is replaced, and where it does not come
    back the others do its work."""
    max: PositiveInt | None = None
    """Rollout workers that a run may have: while there are fewer, one more joins wherever there is room for it, also on
    nodes that come later. As many as the nodes of the config carry, by default."""


class ClusterConfig(Section):
    rollout: RolloutWorkersConfig = RolloutWorkersConfig()
    """vLLM engines."""
    learner: RanksConfig = RanksConfig()
    """DeepSpeed ranks."""
    prm: RanksConfig = RanksConfig()
    """DeepSpeed ranks of an implicit PRM (``process``); a run without one starts none."""
    nodes: PositiveInt = 1
    """Nodes that carry workers."""
    labels: Labels = Field({})
    """Labels of these nodes; any node will do by default."""
    colocate: bool = False
    """A rollout worker and a learner rank, and a rank of the PRM, share the one GPU of each node: engines sleep while
    the learner works, and the PRM is in the host's memory between uses."""
    start_s: PositiveFloat = 300.0
    """Deadline for a worker to come up, in seconds."""
    wait_s: PositiveFloat = 1800.0
    """Deadline for any answer of a worker, in seconds."""

    @model_validator(mode="after")
    def _has_enough(self) -> Self:
        if self.rollout.min > self.rollout_workers:
            raise ValueError(
                f"rollout.min is {self.rollout.min}, and there are {self.rollout_workers} rollout worker(s): lower it,"
                " or raise rollout.per_node or nodes"
            )
        if self.rollout.max is not None and self.rollout.max < self.rollout_workers:
            raise ValueError(
                f"rollout.max is {self.rollout.max}, and a run begins with {self.rollout_workers} rollout worker(s):"
                " raise it, or lower rollout.per_node or nodes"
            )
        if self.rollout.max is not None and self.colocate:
            raise ValueError("colocate pairs each engine with a learner rank, so none can join: leave rollout.max out")
        return self

    @property
    def most_rollout_workers(self) -> int:
        """vLLM engines that there may ever be."""
        return self.rollout.max or self.rollout_workers

    @property
    def one_more(self) -> NodePool:
        """The room of a rollout worker that joins."""
        return NodePool(("rollout",), 1, self.rollout.cpus, self.rollout.gpus, self._labels(self.rollout))

    @property
    def rollout_workers(self) -> int:
        """vLLM engines on all nodes."""
        return self._on_all_nodes(self.rollout)

    @property
    def ranks(self) -> int:
        """DeepSpeed ranks on all nodes."""
        return self._on_all_nodes(self.learner)

    @property
    def prm_ranks(self) -> int:
        """DeepSpeed ranks of a PRM on all nodes."""
        return self._on_all_nodes(self.prm)

    def pools(self, workers: Mapping[str, WorkersConfig]) -> tuple[NodePool, ...]:
        """Where workers of these roles belong; whoever is hardest to place comes first.

        Roles without nodes or labels of their own are together: each node of their pool carries workers of all of them.
        """
        together = {role: kind for role, kind in workers.items() if not kind.apart}
        found = [self._pool({role: kind}) for role, kind in workers.items() if kind.apart]
        pools = [*found, *([self._pool(together)] if together else [])]
        return tuple(sorted(pools, key=lambda pool: (-len(pool.labels), -pool.gpus, -pool.cpus)))

    def _pool(self, workers: Mapping[str, WorkersConfig]) -> NodePool:
        first, *_ = workers.values()
        return NodePool(
            roles=tuple(workers),
            nodes=first.nodes or self.nodes,
            cpus=sum(kind.per_node * kind.cpus for kind in workers.values()),
            gpus=1 if self.colocate else sum(kind.per_node * kind.gpus for kind in workers.values()),
            labels=self._labels(first),
        )

    def _labels(self, workers: WorkersConfig) -> Mapping[str, str]:
        return self.labels if workers.labels is None else workers.labels

    def _on_all_nodes(self, workers: WorkersConfig) -> int:
        return workers.per_node * (workers.nodes or self.nodes)
