"""What is known of a machine or a cluster when it is judged; checks see nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from actors.placement import Member
from effrl.config.cluster import NodePool


class ProbeModel(BaseModel):
    """Part of a probe's report: one that lacks something, or says more, comes from other code than this."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DiskFacts(ProbeModel):
    free: int
    """Bytes."""
    files_free: int | None
    """Files that may still be made; None where the file system does not count them."""


class GpuFacts(ProbeModel):
    name: str
    memory: int | None
    """MiB; None where the GPU does not say it."""
    used: int | None
    driver: str
    errors: int | None
    """Of its memory, that could not be corrected."""
    users: tuple[str, ...]
    """Processes that compute on it, for people."""


class VisitFacts(ProbeModel):
    """Of the folder in which driver and nodes leave files for each other."""

    sees: bool
    """The driver's file."""
    locked: bool | None
    """Whether the driver's lock on it holds here; None where it was not tried."""
    wrote: bool
    seconds: float | None
    """For :data:`deploy.doctor.probe.SAMPLE` bytes, until they were on the disk."""
    error: str


class NodeFacts(ProbeModel):
    """What a probe reports of its node."""

    hostname: str
    boot: str
    """Differs between machines, and is the same for all containers of one."""
    user: int
    python: tuple[int, int, int]
    distributions: Mapping[str, str | None]
    """Versions; None for what is not installed."""
    packages: Mapping[str, str | None]
    """The folder of each package of ours that an import would take."""
    source: str
    """A fingerprint of their code."""
    code: str | None
    """The version that this code says."""
    torch_build: str | None
    programs: Mapping[str, str | None]
    preload: str
    cores: int
    """That a process may use."""
    load: float
    """Processes that wanted to compute at a time, over a minute."""
    memory_free: int
    swap_used: int
    shm_free: int
    shm_total: int
    open_files: int
    processes: int
    """That are allowed; -1 for no limit, here and above."""
    disks: Mapping[str, DiskFacts]
    gpus: tuple[GpuFacts, ...]
    address: str
    """By which others know the node."""
    port: int | None
    """Where it listens there; None where that is refused."""
    port_refused: str
    interfaces: tuple[str, ...]
    gloo_interface: str | None
    auth_mode: str | None
    token_seen_by_others: bool
    models: tuple[str, ...]
    """Of those that were asked for, those that are there."""
    modules: tuple[str, ...]
    visit: VisitFacts | None

    def version(self, name: str) -> str | None:
        """Of a distribution; None where it is not installed."""
        return self.distributions[name]

    @property
    def on_cpu(self) -> bool:
        """Whether this is an installation for CPUs."""
        return self.version("vllm") is None


@dataclass(frozen=True, slots=True)
class NodeSeen:
    """A node that has answered."""

    member: Member
    facts: NodeFacts
    offset_s: float = 0.0
    """How far its clock is ahead of the driver's."""
    doubt_s: float = 0.0
    """By how much that may be wrong."""
    unreached: tuple[str, ...] = ()
    """Addresses of other nodes to which it gets no connection."""
    arrived: bool | None = None
    """Whether the driver sees what the node wrote into the run's folder; None where nothing was to be written."""


@dataclass(frozen=True, slots=True)
class RunNeeds:
    """What a config asks of the nodes that carry its workers."""

    folder: str
    """Where the run directory is, or will be made."""
    models: tuple[str, ...]
    modules: tuple[str, ...]
    """Of the user's own code, that is imported on nodes."""
    pools: tuple[NodePool, ...]
    weights: int
    """Bytes of one version on its way to the engines."""
    host_memory: Mapping[str, float]
    """Bytes that all workers of a role on one node take of its memory, by role."""
    gpu_memory: Mapping[str, float]
    """Bytes of a GPU that one worker of a role takes, by role."""
    gpu_share: float
    """Of a GPU that an engine takes."""


@dataclass(frozen=True, slots=True)
class ClusterSeen:
    """All nodes of a cluster as the driver's machine sees them."""

    here: NodeFacts
    """The process of the command."""
    nodes: tuple[NodeSeen, ...]
    silent: Mapping[str, str]
    """Why a node did not answer, by its address."""
    needs: RunNeeds | None = None
    """Of the config that was named."""
