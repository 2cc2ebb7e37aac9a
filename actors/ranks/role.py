"""An actor that is one rank of a DeepSpeed group."""

import os
import socket

import ray

from actors.role import Role


class RankRole(Role):
    """Base of such actors; every method is called on all ranks in the same order."""

    def address(self) -> tuple[str, int]:
        """Host and a free port of this rank's node, for the group's rendezvous; chosen by the rank that binds it."""
        with socket.socket() as probe:
            probe.bind(("", 0))
            return ray.util.get_node_ip_address(), int(probe.getsockname()[1])


def join(rank: int, world_size: int, host: str, port: int) -> None:
    """Tell DeepSpeed where the group meets; before :mod:`actors.ranks.rank` is imported, which reads it."""
    os.environ.update(
        RANK=str(rank),
        WORLD_SIZE=str(world_size),
        LOCAL_RANK="0",
        LOCAL_SIZE=str(world_size),
        MASTER_ADDR=host,
        MASTER_PORT=str(port),
    )
