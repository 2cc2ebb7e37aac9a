"""Has this machine, or every node of a cluster, report what there is."""

import asyncio
import fcntl
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from actors.placement import Member, Node
from deploy.doctor.facts import ClusterSeen, NodeFacts, NodeSeen, RunNeeds
from deploy.doctor.probe import CONNECT_S, SAMPLE, NodeProbe, soon
from deploy.doctor.software import DISTRIBUTIONS, PACKAGES
from effrl.errors import UserError, one_line

if TYPE_CHECKING:
    from actors.node.survey import Answered

LOOPBACK = "127.0.0.1"


def this_machine(needs: RunNeeds | None) -> ClusterSeen:
    """A cluster of the one node that a run would start itself.

    Raises:
        UserError: the folder of the run cannot be written.
    """
    with _meeting(needs) as meeting:
        here = NodeFacts.model_validate(NodeProbe().look(wanted(LOOPBACK, "here", needs, meeting, (str(Path.cwd()),))))
        has = Node("this machine", os.cpu_count() or 1, len(here.gpus))
        seen = NodeSeen(Member("here", LOOPBACK, has.name, has, has), here)
        return ClusterSeen(here, _arrived((seen,), meeting), {}, needs)


def whole_cluster(needs: RunNeeds | None) -> ClusterSeen:
    """All nodes of the Ray that this process is connected to.

    Raises:
        UserError: the folder of the run cannot be written from here.
    """
    from actors.node.survey import members, survey

    nodes = members()
    here = NodeFacts.model_validate(NodeProbe().look(wanted(LOOPBACK, "here", needs, None)))
    with _meeting(needs) as meeting:
        answers = asyncio.run(survey(nodes, NodeProbe, lambda node: wanted(node.address, node.id, needs, meeting)))
        seen, silent = understood(answers)
        return ClusterSeen(here, _arrived(seen, meeting), silent, needs)


def understood(answers: "Sequence[Answered]") -> tuple[tuple[NodeSeen, ...], dict[str, str]]:
    """The nodes that have answered, and why others have not, by name."""
    seen, silent = [], {}
    for one in answers:
        if one.facts is None:
            silent[one.member.name] = one.silence
            continue
        try:
            facts = NodeFacts.model_validate(one.facts)
        except ValidationError as error:
            silent[one.member.name] = f"it reports what nobody understands: {error.errors()[0]['msg']}"
            continue
        seen.append(NodeSeen(one.member, facts, one.offset_s, one.doubt_s, tuple(one.unreached)))
    return tuple(seen), silent


def wanted(
    address: str, name: str, needs: RunNeeds | None, meeting: Path | None, folders: tuple[str, ...] = ()
) -> Mapping[str, Any]:
    """What a probe is asked; see :meth:`NodeProbe.look`."""
    return {
        "address": address,
        "id": name,
        "distributions": DISTRIBUTIONS,
        "packages": PACKAGES,
        "folders": (*folders, needs.folder) if needs else folders,
        "models": needs.models if needs else (),
        "modules": needs.modules if needs else (),
        "search_path": (os.getcwd(),),
        "meeting": str(meeting) if meeting else None,
    }


@contextmanager
def _meeting(needs: RunNeeds | None) -> Iterator[Path | None]:
    """A folder for files of all nodes, where runs will be, with a marker that is locked; it is removed again."""
    if needs is None:
        yield None
        return
    folder = Path(needs.folder)
    there = next(path for path in (folder, *folder.parents) if path.is_dir())
    meeting = there / f".effrl-doctor-{uuid.uuid4().hex}"
    try:
        meeting.mkdir()
    except OSError as error:
        raise UserError(f"cannot write a run to {folder} ({error.strerror}): choose another run.dir") from error
    try:
        with open(meeting / "marker", "wb") as marker:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield meeting
    finally:
        shutil.rmtree(meeting, ignore_errors=True)


def _arrived(nodes: tuple[NodeSeen, ...], meeting: Path | None) -> tuple[NodeSeen, ...]:
    """The same, with what of their files is seen here."""
    if meeting is None:
        return nodes
    wrote = [node.member.id for node in nodes if node.facts.visit is not None and node.facts.visit.wrote]
    soon(lambda: all(_is_whole(meeting / name) for name in wrote))
    return tuple(replace(node, arrived=_is_whole(meeting / node.member.id)) for node in nodes)


def _is_whole(file: Path) -> bool:
    return file.is_file() and file.stat().st_size == SAMPLE


@contextmanager
def connected(address: str) -> Iterator[None]:
    """The Ray at an address, as long as it is wanted.

    Raises:
        UserError: one line on why it cannot be reached from here.
    """
    from actors.session import ray_session

    if address.startswith(("http://", "https://")):
        raise UserError(
            f"--address {address} is a dashboard: give that of Ray itself, HOST:6379, or auto, on a node of the cluster"
        )
    host, _, port = address.rpartition(":")
    if host and port.isdigit():
        try:
            socket.create_connection((host, int(port)), CONNECT_S).close()
        except OSError as error:
            raise UserError(
                f"nothing answers at {address} ({error}): is Ray started there, and let through?"
            ) from error
    with ExitStack() as stack:
        try:
            stack.enter_context(ray_session(address))
        except Exception as error:  # whatever Ray finds wrong: it has no types for another version, or a missing token
            raise UserError(f"no way into the Ray at {address}: {one_line(error)}") from error
        yield
