"""Serve configs against Ray Serve's own schema, which ignores what it does not know, and the arguments of our apps."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel
from ray.serve.schema import ServeDeploySchema

from deploy.render.services import BUSY, POLICY, REQUESTS, REWARDS, inbox_config, policy_config
from deploy.render.sizes import WorkerGroup
from deploy.serve.policy.serving import policy
from deploy.serve.policy.whole import PolicyWish
from deploy.serve.rewards.serving import rewards
from deploy.serve.rewards.whole import RewardsWish
from effrl.errors import UserError
from tests.unit.sources import ROOT

REPLICA = WorkerGroup("replicas", 1, 2, 9, 1, 12, {})
CONFIGS = {
    "inbox": inbox_config("/ledger/ledger.sqlite"),
    "policy": policy_config("/data/runs/demo", REPLICA, has_prm=True),
    **{
        file.parent.name: yaml.safe_load(list(yaml.safe_load_all(file.read_text()))[-1]["spec"]["serveConfigV2"])
        for file in (ROOT / "k8s").glob("rayservice-*/rayservice.yaml")
    },
}


def unknown(model: type[BaseModel], given: dict[str, Any], place: str = "") -> Iterator[str]:
    """Keys that a schema would ignore, at any depth."""
    for key, value in given.items():
        if key not in model.model_fields:
            yield f"{place}{key}"
        for part in value if isinstance(value, list) else [value]:
            for inner in _models(model.model_fields[key].annotation) if key in model.model_fields else ():
                if isinstance(part, dict):
                    yield from unknown(inner, part, f"{place}{key}.")


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models(argument)


def problems(config: dict[str, Any]) -> list[str]:
    ServeDeploySchema.model_validate(config)
    return [*unknown(ServeDeploySchema, config)]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_is_one_of_ray_serve(name: str) -> None:
    assert problems(CONFIGS[name]) == []


@pytest.mark.parametrize(
    ("place", "wrong"),
    [
        ((), "application"),
        (("applications", 0), "route"),
        (("applications", 0, "deployments", 0), "max_concurrent_queries"),
        (("applications", 0, "deployments", 0, "autoscaling_config"), "max_replica"),
        (("applications", 0, "deployments", 0, "ray_actor_options"), "gpus"),
    ],
)
def test_an_unknown_key_is_found_at_any_depth(place: tuple[str | int, ...], wrong: str) -> None:
    config: Any = policy_config("/data/runs/demo", REPLICA, has_prm=False)
    inner = config
    for step in place:
        inner = inner[step]
    inner[wrong] = 1
    assert any(found.endswith(wrong) for found in problems(config))


def test_our_own_arguments_fit_and_unknown_ones_are_refused() -> None:
    applications = {entry["import_path"]: entry["args"] for entry in CONFIGS["policy"]["applications"]}
    assert PolicyWish.model_validate(applications[POLICY]).gpus == 1
    assert RewardsWish.model_validate(applications[REWARDS]).prm == "/data/runs/demo"
    for build in (policy, rewards):
        with pytest.raises(UserError, match=r"args\.rum: Extra inputs"):
            build({"run": "runs/demo", "rum": 1})
        with pytest.raises(UserError, match=r"args\.run: Field required"):
            build({})


def test_a_replica_refuses_before_ray_serve_does_and_there_is_room_for_the_rewards() -> None:
    [deployment] = CONFIGS["policy"]["applications"][0]["deployments"]
    assert deployment["max_ongoing_requests"] > REQUESTS > BUSY
    scored = CONFIGS["policy"]["applications"][1]["deployments"][0]["ray_actor_options"]["num_cpus"]
    assert deployment["ray_actor_options"]["num_cpus"] + scored == REPLICA.cpus


def test_the_manifests_are_there() -> None:
    assert {"rayservice-inbox", "rayservice-policy"} <= CONFIGS.keys() and Path(ROOT / "k8s").is_dir()
