"""An actor that is one rank of a DeepSpeed group."""

import os

import psutil
import ray
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # in its documentation, and not in its __all__

from actors.role import Role


class RankRole(Role):
    """Base of such actors; every method is called on all ranks in the same order."""

    _store: TCPStore

    def address(self) -> tuple[str, int]:
        """Host and port of the group's rendezvous; the rank that is asked serves it from now on.

        A port that was only found to be free could go to another run on the node before the group meets. When torch
        meets at this port in this process, it finds the server that is there.
        """
        host = ray.util.get_node_ip_address()
        self._store = TCPStore(host, 0, is_master=True, wait_for_workers=False, multi_tenant=True)
        return host, self._store.port


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
    if name := interface(ray.util.get_node_ip_address()):
        os.environ.setdefault("GLOO_SOCKET_IFNAME", name)


def interface(address: str) -> str | None:
    """The network interface that has an address: where gloo is to listen.

    By itself gloo takes the address that the hostname stands for. On many machines that is the loopback, and ranks on
    other nodes then look for it at home.
    """
    found = psutil.net_if_addrs().items()
    return next((name for name, own in found if any(entry.address == address for entry in own)), None)
