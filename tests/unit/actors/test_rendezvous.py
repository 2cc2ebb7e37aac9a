"""Where the ranks of a group meet, and where they listen: with two runs on a node, and on nodes of many addresses."""

import os
import socket
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psutil
import pytest
import ray
from torch.distributed import TCPStore

import effrl
from actors.ranks.role import RankRole, interface, join


@pytest.fixture
def meeting(monkeypatch: pytest.MonkeyPatch) -> Iterator[MutableMapping[str, str]]:
    """The environment that a rank reads; what a test changes in it is taken back."""
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.1")
    with patch.dict(os.environ):
        os.environ.pop("GLOO_SOCKET_IFNAME", None)
        yield os.environ


@pytest.fixture
def rank(meeting: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RankRole:
    monkeypatch.setattr("actors.role._log_to", lambda path: None)
    return RankRole("learner-0", tmp_path, effrl.__version__)


def test_the_port_of_a_rendezvous_is_taken_until_the_group_meets(rank: RankRole) -> None:
    """Another run on the node must not get it meanwhile: engines and DeepSpeed load for many seconds."""
    host, port = rank.address()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((host, port))


def test_a_group_meets_at_the_port_that_its_first_rank_holds(rank: RankRole, meeting: MutableMapping[str, str]) -> None:
    """As torch does, when DeepSpeed asks it to meet where the environment says."""
    join(0, 1, *rank.address())
    rank._store.set("from", "the rank that was asked")
    address = meeting["MASTER_ADDR"], int(meeting["MASTER_PORT"])
    assert TCPStore(*address, is_master=True, multi_tenant=True).get("from") == b"the rank that was asked"


def test_ranks_listen_where_other_nodes_find_them(meeting: MutableMapping[str, str]) -> None:
    """Not at the address that the hostname stands for, which is the loopback on many machines."""
    join(1, 2, "10.77.0.1", 4000)
    assert meeting["GLOO_SOCKET_IFNAME"] == interface("127.0.0.1")
    assert any(entry.address == "127.0.0.1" for entry in psutil.net_if_addrs()[meeting["GLOO_SOCKET_IFNAME"]])


def test_an_interface_that_the_user_chose_stays(meeting: MutableMapping[str, str]) -> None:
    meeting["GLOO_SOCKET_IFNAME"] = "ib0"
    join(1, 2, "10.77.0.1", 4000)
    assert meeting["GLOO_SOCKET_IFNAME"] == "ib0"


def test_an_address_that_no_interface_has_is_left_to_gloo(
    meeting: MutableMapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray may be told an address that stands for the machine outside, behind a translation."""
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "203.0.113.7")
    join(1, 2, "10.77.0.1", 4000)
    assert "GLOO_SOCKET_IFNAME" not in meeting
