"""The ``cluster`` section of a config: how many workers of each kind there are, and what each of them gets."""

from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator

from effrl.config.section import PositiveFloat, PositiveInt, Section


class WorkersConfig(Section):
    per_node: PositiveInt = 1
    """Workers on each node."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of each worker; 0 runs on the CPU."""
    cpus: Annotated[float, Field(ge=0)] = 0.5
    """CPU share that each worker reserves; stages alternate, so workers may use the same cores."""

    @field_validator("gpus")
    @classmethod
    def _uses_all(cls, gpus: int) -> int:
        if gpus > 1:
            raise ValueError(
                f"a worker uses one GPU, and {gpus} would be reserved: set per_node to {gpus}, and gpus to 1"
            )
        return gpus


class RolloutWorkersConfig(WorkersConfig):
    min: PositiveInt = 1
    """Rollout workers that a run needs to go on, on all nodes: one that is lost is replaced, and where it does not come
    back the others do its work."""


class ClusterConfig(Section):
    rollout: RolloutWorkersConfig = RolloutWorkersConfig()
    """vLLM engines."""
    learner: WorkersConfig = WorkersConfig()
    """DeepSpeed ranks."""
    prm: WorkersConfig = WorkersConfig()
    """DeepSpeed ranks of an implicit PRM (``process``); a run without one starts none."""
    nodes: PositiveInt = 1
    """Nodes that carry workers."""
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
        return self

    @property
    def rollout_workers(self) -> int:
        """vLLM engines on all nodes."""
        return self.rollout.per_node * self.nodes

    @property
    def ranks(self) -> int:
        """DeepSpeed ranks on all nodes."""
        return self.learner.per_node * self.nodes

    @property
    def prm_ranks(self) -> int:
        """DeepSpeed ranks of a PRM on all nodes."""
        return self.prm.per_node * self.nodes
