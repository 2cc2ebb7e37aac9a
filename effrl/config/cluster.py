"""The ``cluster`` section of a config: how many workers of each kind there are, and what each of them gets."""

from typing import Annotated

from pydantic import Field, model_validator

from effrl.config.section import PositiveFloat, PositiveInt, Section


class WorkersConfig(Section):
    per_node: PositiveInt = 1
    """Workers on each node."""
    gpus: Annotated[int, Field(ge=0)] = 0
    """GPUs of each worker; 0 runs on the CPU."""
    cpus: Annotated[float, Field(ge=0)] = 0.5
    """CPU share that each worker reserves; stages alternate, so workers may use the same cores."""


class ClusterConfig(Section):
    rollout: WorkersConfig = WorkersConfig()
    """vLLM engines."""
    learner: WorkersConfig = WorkersConfig()
    """DeepSpeed ranks."""
    nodes: PositiveInt = 1
    """Nodes that carry workers."""
    colocate: bool = False
    """A rollout worker and a learner rank share the one GPU of each node: engines sleep while the learner works."""
    start_s: PositiveFloat = 300.0
    """Deadline for a worker to come up, in seconds."""
    wait_s: PositiveFloat = 1800.0
    """Deadline for any answer of a worker, in seconds."""

    @model_validator(mode="after")
    def _one_gpu_for_both(self) -> "ClusterConfig":
        kinds = {"rollout": self.rollout, "learner": self.learner}
        wrong = [name for name, kind in kinds.items() if (kind.per_node, kind.gpus) != (1, 1)]
        if self.colocate and wrong:
            raise ValueError(
                "cluster.colocate shares one GPU on each node between one worker of each kind:"
                f" set cluster.{wrong[0]} to {{per_node: 1, gpus: 1}}"
            )
        return self

    @property
    def gpus_per_node(self) -> int:
        """GPUs that the workers of one node use."""
        kinds = (self.rollout,) if self.colocate else (self.rollout, self.learner)
        return sum(kind.per_node * kind.gpus for kind in kinds)

    @property
    def rollout_workers(self) -> int:
        """vLLM engines on all nodes."""
        return self.rollout.per_node * self.nodes

    @property
    def ranks(self) -> int:
        """DeepSpeed ranks on all nodes."""
        return self.learner.per_node * self.nodes
