"""Threads of a worker: who works on a node at the same time shares its cores. And what each node is asked for."""

from pathlib import Path
from typing import Any

import pytest

from actors.cluster import Cluster
from actors.node.actor import NodeNeeds
from effrl.config.schema import Config

ONE, OTHER = "node-1", "node-2"


def cluster(bundles: dict[str, list[str]], staleness: int = 1, loss: str = "clipped", **roles: Any) -> Cluster:
    config = Config.model_validate(
        {
            "data": {"train": "tasks:chain"},
            "cluster": {"rollout": {"per_node": 2}, "learner": {"per_node": 3}, **roles},
            "rollout": {"max_staleness": staleness},
            "process": {"kind": "implicit_prm"},
            "loss": {"kind": loss},
        }
    )
    return Cluster(config, Path("run"), bundles=bundles)


def test_workers_of_one_role_share_the_cores_as_stages_alternate() -> None:
    together = cluster({role: [ONE] for role in ("rollout", "learner", "prm")}, staleness=0)
    assert [together._at_work(role, ONE) for role in ("rollout", "learner", "prm")] == [2, 3, 1]


def test_with_staleness_engines_and_ranks_work_at_a_time() -> None:
    together = cluster({role: [ONE] for role in ("rollout", "learner", "prm")})
    assert [together._at_work(role, ONE) for role in ("rollout", "learner", "prm")] == [5, 5, 5]


@pytest.mark.parametrize(("learner", "beside"), [([OTHER], 2), ([OTHER, ONE], 5)])
def test_who_is_placed_apart_shares_cores_only_where_they_meet(learner: list[str], beside: int) -> None:
    apart = cluster(
        {"rollout": [ONE], "learner": learner, "prm": ["node-3"]},
        **{role: {"nodes": 1, "per_node": count} for role, count in (("rollout", 2), ("learner", 3), ("prm", 4))},
    )
    assert (apart._at_work("rollout", ONE), apart._at_work("prm", "node-3")) == (beside, 4)


def test_a_node_is_asked_for_what_its_own_workers_load() -> None:
    """A cheap machine for engines needs no judge, and none of the learner's own code."""
    apart = cluster({"rollout": [ONE], "learner": [OTHER], "prm": [OTHER]}, loss="my_losses:mine")
    models = {"rollout": {Path("policy")}, "learner": {Path("policy")}, "prm": {Path("judge")}}
    needs: dict[str, NodeNeeds] = {node: apart._needs(node, models, None) for node in (ONE, OTHER)}
    assert {node: set(found.models) for node, found in needs.items()} == {
        ONE: {Path("policy")},
        OTHER: {Path("policy"), Path("judge")},
    }
    assert {node: list(found.plugins) for node, found in needs.items()} == {ONE: [], OTHER: ["loss.kind"]}
