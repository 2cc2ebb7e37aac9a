"""What GPUs can do by their makers' data sheets, and what of it a run reaches.

Sources: NVIDIA's data sheets of H100 (SXM5), H200 (SXM5), A100 (SXM4, 80 GB), L40S and L4; bfloat16 without sparsity.
Links count one direction, half of what the sheets add up. Networks are those of NVIDIA's DGX systems, one adapter per
GPU (H100 and H200: 400 Gb/s, A100: 200 Gb/s); for L40S and L4 100 Gb/s are assumed. A CPU's figures are those of one
core of the server that docs/speed.md was measured on (two cores, AVX-512, float32), and its seconds are CPU seconds.
"""

from dataclasses import dataclass, replace

from effrl.errors import UserError

GB, TFLOP = 1e9, 1e12


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU, or one core; what is reached of it, in FLOP/s, bytes and bytes per second."""

    name: str
    matrix: float
    """FLOP/s of matrix products in a forward or backward pass of the learner."""
    prefill: float
    """The same of an engine."""
    bandwidth: float
    """Bytes per second from and to its memory."""
    memory: float | None
    """Bytes; None of a core."""
    link: float
    """Bytes per second to its neighbour in the node."""
    network: float
    """Bytes per second to another node."""
    publish: float
    """Seconds per byte of a version, from the learner's memory into every engine of a node."""

    def times(self, count: int) -> "Device":
        """So many GPUs with a part of one model each, but for what they say to each other; a CPU's core stays one."""
        if self.memory is None:
            return self
        return replace(
            self,
            matrix=count * self.matrix,
            prefill=count * self.prefill,
            bandwidth=count * self.bandwidth,
            memory=count * self.memory,
        )

    @property
    def is_gpu(self) -> bool:
        """Whether it has memory of its own."""
        return self.memory is not None


MATRIX, PREFILL, STREAM, WIRE = 0.45, 0.5, 0.8, 0.8
"""Shares of a data sheet's figures that are taken as reached: of FLOP/s in training (with the traffic of activations
this comes to the 0.38 to 0.43 that arXiv 2407.21783, table 4, reports) and in prefill, of the memory's and of the
wires' bandwidth. They are assumptions, but for the first; a calibration replaces what they make."""
PUBLISH_S_PER_BYTE = 2e-9
"""Packing, checksums, object store, verification and the engine's reload: 1.98 GB took 3.8 to 4.3 s (docs/learner.md).
Hosts do this work, so it is taken for every GPU; a GPU was never measured."""


def _gpu(name: str, tflops: float, bandwidth: float, memory: float, link: float, network: float) -> Device:
    """By data sheet: TFLOP/s, GB/s, GB, GB/s in each direction, Gb/s."""
    return Device(
        name=name,
        matrix=tflops * TFLOP * MATRIX,
        prefill=tflops * TFLOP * PREFILL,
        bandwidth=bandwidth * GB * STREAM,
        memory=memory * GB,
        link=link * GB * WIRE,
        network=network / 8 * GB * WIRE,
        publish=PUBLISH_S_PER_BYTE,
    )


CPU = Device("cpu", matrix=7.5e10, prefill=1.1e11, bandwidth=1.2e10, memory=None, link=2e9, network=1e9, publish=3.2e-9)
"""The first three reproduce the rows of tests/bench/results/speed; the last is 1.33 CPU seconds for 408 MB there."""
GPUS = {
    gpu.name: gpu
    for gpu in (
        _gpu("h200", 989, 4800, 141, 450, 400),
        _gpu("h100", 989, 3350, 80, 450, 400),
        _gpu("a100", 312, 2039, 80, 300, 200),
        _gpu("l40s", 362, 864, 48, 32, 100),
        _gpu("l4", 121, 300, 24, 32, 100),
    )
}


def gpu_called(name: str) -> Device:
    """A GPU by its name, in any case.

    Raises:
        UserError: its data sheet is not known here.
    """
    found = GPUS.get(name.lower())
    if found is None:
        raise UserError(f"--gpu {name} is not known: choose one of {', '.join(GPUS)}")
    return found
