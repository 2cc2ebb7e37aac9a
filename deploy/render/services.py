"""Serve configs: what Ray Serve runs of effrl, as ``serve deploy`` and a RayService's ``serveConfigV2`` take it.

Ray Serve ignores keys that it does not know, so ``tests/unit/deploy/test_serve_configs.py`` compares these with its
schema.
"""

from typing import Any

from deploy.render.sizes import WorkerGroup

ServeObject = dict[str, Any]

INBOX = "deploy.serve.inbox.serving:inbox"
POLICY = "deploy.serve.policy.serving:policy"
REWARDS = "deploy.serve.rewards.serving:rewards"
REQUESTS = 64
"""That a replica takes at a time; what is more is refused with 429."""
BUSY = 24
"""Requests under way in each replica that the autoscaler aims at: a wave finds places while another replica starts."""


def inbox_config(ledger: str) -> ServeObject:
    """The label inbox: one replica, which owns the ledger."""
    return _config(_application("inbox", INBOX, "/", {"ledger": ledger}))


def policy_config(run: str, replica: WorkerGroup, has_prm: bool) -> ServeObject:
    """The policy of a run at ``/v1``, and beside it its rewards at ``/rewards/v1``.

    Args:
        run: its directory.
        replica: the pod that one replica of the policy fills.
        has_prm: whether the run trains an implicit PRM, which then reads solutions too.
    """
    needs = {"num_cpus": replica.cpus - 1, "num_gpus": replica.gpus}
    scaling = {
        "min_replicas": replica.nodes,
        "max_replicas": replica.most,
        "target_ongoing_requests": BUSY,
        "upscale_delay_s": 30,
        "downscale_delay_s": 600,  # an engine starts in minutes: a pause between two waves should not cost one
    }
    policy = {
        "name": "policy",
        "max_ongoing_requests": REQUESTS + 1,  # our own refusal comes first: it says when to come again
        "autoscaling_config": scaling,
        "ray_actor_options": needs,
        "graceful_shutdown_timeout_s": 120,
    }
    rewards = {"name": "rewards", "num_replicas": 1, "ray_actor_options": {"num_cpus": 1}}
    arguments = {"run": run, "gpus": replica.gpus, "requests": REQUESTS}
    return _config(
        _application("policy", POLICY, "/", arguments, policy),
        _application("rewards", REWARDS, "/rewards", {"run": run, **({"prm": run} if has_prm else {})}, rewards),
    )


def _config(*applications: ServeObject) -> ServeObject:
    return {"applications": list(applications)}


def _application(
    name: str, path: str, prefix: str, arguments: ServeObject, deployment: ServeObject | None = None
) -> ServeObject:
    made = {"name": name, "import_path": path, "route_prefix": prefix, "args": arguments}
    return made if deployment is None else {**made, "deployments": [deployment]}
