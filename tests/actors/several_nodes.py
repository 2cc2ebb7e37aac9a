"""A Ray of several nodes on this machine, a run's actors on them, and the loss of a node; a program of its own.

It prints what it found as one line of JSON. Another Ray than the one that the tests share needs its own process.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import ray
from ray._private.state import actors
from ray.cluster_utils import Cluster as Machines

from actors import reservation
from actors.cluster import Cluster
from actors.reservation import Room
from actors.session import ray_session
from effrl.config.load import load
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.models import TINY

LABELS = ["cluster.learner.labels.pool=keep", "cluster.rollout.labels.pool=spot"]
CPUS = ["cluster.learner.cpus=0.6", "cluster.rollout.cpus=0.6", "cluster.start_s=600"]


def main(run_dir: Path) -> None:
    """Two nodes with labels, and a head that has room for neither."""
    reservation.FREE_S = 1.0
    machines = Machines(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    spot, _ = [machines.add_node(num_cpus=1, labels={"pool": pool}) for pool in ("spot", "keep")]
    os.environ["RAY_ADDRESS"] = machines.address
    wanted = load("quickstart", LABELS + CPUS)
    found: dict[str, Any] = {}
    with ray_session(), Cluster(wanted, run_dir) as cluster:
        found["no such label"] = refused(load("quickstart", [*LABELS, "cluster.rollout.labels.pool=cheap"]))
        found["both on one node"] = refused(
            load("quickstart", [*CPUS, "cluster.labels.pool=keep", "cluster.learner.nodes=1"])
        )
        asyncio.run(cluster.start(TINY, TINY, context=512, version=0))
        found["pools"] = pools_of(cluster)
        found["a second run"] = refused(wanted)
        machines.remove_node(spot)
        machines.add_node(num_cpus=1, labels={"pool": "spot"})
        cluster.rollout["rollout-0"] = asyncio.run(cluster.replace("rollout-0", cluster.rollout["rollout-0"]))
        found["pools after a loss"] = pools_of(cluster)
        found["usage after a loss"] = sorted(name for name, used in asyncio.run(cluster.usage()).items() if used)
    machines.shutdown()
    print(json.dumps(found))


def refused(config: Config) -> str:
    """Why there is no room for a run."""
    try:
        asyncio.run(Room.reserve(config, learning=True)).give_back()
    except UserError as error:
        return str(error)
    return "there was room"


def pools_of(cluster: Cluster) -> dict[str, str]:
    """The label of the node where each worker is, as Ray says and as the cluster believes."""
    pools = {node["NodeID"]: node["Labels"].get("pool", "none") for node in ray.nodes()}
    workers = {**cluster.rollout, **cluster.learner}
    where = {name: actors(actor._actor_id.hex())["Address"]["NodeID"] for name, actor in workers.items()}
    assert where == {name: cluster.places[name] for name in workers}, (where, cluster.places)
    return {name: pools[node] for name, node in where.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))
