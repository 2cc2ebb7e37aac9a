"""A node comes while a run goes on, and a worker joins on it; it is drained, and the worker leaves. On real raylets."""

import subprocess
import sys
from pathlib import Path

import pytest
from ray.cluster_utils import Cluster as Machines
from runs import SMALL, Command, rows

from effrl.run.groups import tally

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_worker_joins_on_a_new_node_and_leaves_it_when_it_is_drained(tmp_path: Path) -> None:
    machines = Machines(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    run = tmp_path / "run"
    settings = ("run.steps=100000", "cluster.rollout.max=2", "cluster.start_s=600", f"run.dir={run}")
    command = Command(("train", "quickstart", *SMALL, *settings), tmp_path, {"RAY_ADDRESS": machines.address})
    try:
        command.until(lambda: run.is_dir() and len(rows(run)) > 2, 600, "two steps")
        assert "has joined" not in command.output(), "there was no room"
        node = machines.add_node(num_cpus=1)
        command.until(lambda: "rollout-1 has joined" in command.output(), 600, "a worker that joins")
        reached = rows(run)[-1]["step"]
        command.until(lambda: rows(run)[-1]["step"] > reached + 2, 600, "two steps of both")
        drain = ("drain-node", "--node-id", node.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION")
        told = ("--reason-message", "spot", "--deadline-remaining-seconds", "600", "--address", machines.address)
        subprocess.run([str(Path(sys.executable).with_name("ray")), *drain, *told], check=True, timeout=120)
        command.until(lambda: "rollout-1 leaves" in command.output(), 600, "a worker that leaves")
        reached = rows(run)[-1]["step"]
        command.until(lambda: rows(run)[-1]["step"] > reached + 2, 600, "two steps of one")
        machines.remove_node(node)
        reached = rows(run)[-1]["step"]
        command.until(lambda: rows(run)[-1]["step"] > reached + 2, 600, "two steps without the node")
        command.process.send_signal(2)
        assert command.end(600) == 0, command.output()
    finally:
        if command.process.poll() is None:
            command.kill()
        machines.shutdown()
    rolled, fates = tally(run / "groups")
    assert rolled == sum(fates.values())
    assert sum(row["rollout/workers_lost"] for row in rows(run)[1:]) == 0, "nobody was lost"
    assert all(row["sync/verified"] is not False for row in rows(run)[1:])
