"""What KubeRay takes: a job, a cluster to work in, a nightly evaluation, the label inbox, and the policy."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

import yaml

from deploy.render.options import RenderOptions
from deploy.render.pod import CONFIG, DATA, LEDGER, Object, PodWish, autoscaler, pod, ray_start, submitter
from deploy.render.services import inbox_config, policy_config
from deploy.render.sizes import WorkerGroup, replica_group, store_gib, worker_groups
from effrl.config.schema import Config
from effrl.errors import UserError

API = "ray.io/v1"
RAY = "2.60.0"
"""What the images of deploy/images have: the pin of pyproject.toml."""
CONFIG_FILE = "config.yaml"
_WEEK_S = 604_800
HEAD_STORE_GIB = 1
"""Weights go from worker to worker: the head's object store holds batches alone."""
_DASHBOARD = {"dashboard-host": "0.0.0.0"}
_ENDED = ({"jobStatus": "SUCCEEDED"}, {"jobDeploymentStatus": "Failed"})
"""When pods go. The second is true after the last retry, and of a job that outlasted a deadline, whose jobStatus is not
FAILED: without it GPUs would be held for nothing."""


@dataclass(frozen=True, slots=True)
class Rendering:
    """What a manifest is made from."""

    config: Config
    text: str
    """The config as YAML."""
    options: RenderOptions

    @property
    def run(self) -> str:
        """The run directory in the pods.

        Raises:
            UserError: the config names one that is not on the volume.
        """
        path = PurePosixPath(DATA, self.config.run.dir or PurePosixPath("runs", self.options.name))
        if not path.is_relative_to(DATA):
            raise UserError(f"run.dir={path} is not on the volume of the runs, {DATA}: leave it out, or write it so")
        return str(path)

    @property
    def ledger(self) -> str | None:
        """Claim of the label ledger; None where an inbox owns it."""
        return None if self.config.label.is_remote else f"{self.options.name}-ledger"


def config_map(made: Rendering) -> Object:
    """The config, as it is."""
    return {**_head("v1", "ConfigMap", made.options), "data": {CONFIG_FILE: made.text}}


def ledger_claim(name: str | None, options: RenderOptions) -> list[Object]:
    """The volume of a ledger. SQLite needs a disk of one node: on a shared one it cannot write safely."""
    if name is None:
        return []
    size = {"requests": {"storage": f"{options.ledger_gib}Gi"}}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": size}
    return [{**_head("v1", "PersistentVolumeClaim", options, name), "spec": spec}]


def ray_job(made: Rendering) -> list[Object]:
    """The job of a run, which goes on where an attempt before it stopped."""
    words = ["effrl", "train", f"{CONFIG}/{CONFIG_FILE}", "--or-resume", f"run.dir={made.run}"]
    if made.ledger and made.config.label.ledger is None:
        words.append(f"label.ledger={LEDGER}/ledger.sqlite")
    groups = worker_groups(made.config, made.options)
    cluster = _cluster(made, groups, made.run, made.options.name, made.ledger)
    job = {**_head(API, "RayJob", made.options), "spec": _job(made, words, cluster, _scales(groups))}
    return [config_map(made), *ledger_claim(made.ledger, made.options), job]


def ray_cluster(made: Rendering) -> list[Object]:
    """A cluster without a job, to work in: its pods stay until it is deleted."""
    cluster = _cluster(made, worker_groups(made.config, made.options), None, made.options.name, made.ledger)
    whole = {**_head(API, "RayCluster", made.options), "spec": cluster}
    return [config_map(made), *ledger_claim(made.ledger, made.options), whole]


def nightly_eval(made: Rendering) -> list[Object]:
    """An evaluation of the run's best checkpoint, every night; it needs no learner."""
    words = ["effrl", "eval", made.run, "--out", f"{made.run}/nightly.json"]
    sampling = worker_groups(made.config, made.options, learning=False)
    cluster = _cluster(made, [replace(group, most=group.nodes) for group in sampling])  # nobody joins an evaluation
    job = _job(made, words, cluster) | {"backoffLimit": 0}
    for ended in _ENDED:  # else there is one more RayJob every night
        rule = {"policy": "DeleteSelf", "condition": {**ended, "ttlSeconds": _WEEK_S}}
        job["deletionStrategy"]["deletionRules"].append(rule)
    spec = {"schedule": made.options.schedule, "timeZone": "Etc/UTC", "jobTemplate": job}
    return [{**_head(API, "RayCronJob", made.options), "spec": spec}]


def inbox(made: Rendering) -> list[Object]:
    """The label inbox under Ray Serve: one head, which owns the ledger."""
    options = made.options
    claim = f"{options.name}-ledger"
    head = PodWish("inbox", options.head_cpus, options.head_memory_gib, HEAD_STORE_GIB, ledger=claim)
    cluster = {
        "rayVersion": RAY,
        "headGroupSpec": {
            "rayStartParams": ray_start(head, **_DASHBOARD),
            "template": pod(head, options),
        },
    }
    # A second cluster beside the first would be a second owner of the ledger.
    served = _service(made, inbox_config(f"{LEDGER}/ledger.sqlite"), "None", cluster)
    return [*ledger_claim(claim, options), served]


def policy(made: Rendering) -> list[Object]:
    """The policy of a run under Ray Serve, and its rewards: a pod for each replica, as many as are busy."""
    replica = replica_group(made.config, made.options)
    serving = policy_config(made.run, replica, has_prm=made.config.prm is not None)
    # The old pods answer until the new ones do: nobody owns a file here.
    return [_service(made, serving, "NewCluster", _cluster(made, [replica], secrets=True))]


KINDS: dict[str, Callable[[Rendering], list[Object]]] = {
    "job": ray_job,
    "cluster": ray_cluster,
    "nightly-eval": nightly_eval,
    "inbox": inbox,
    "policy": policy,
}
"""What can be rendered, by the name that the command line has for it."""


def _head(api: str, kind: str, options: RenderOptions, name: str | None = None) -> Object:
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": name or options.name, "namespace": options.namespace},
    }


def _service(made: Rendering, serving: Object, upgrade: str, cluster: Object) -> Object:
    spec = {
        "serveConfigV2": yaml.safe_dump(serving, sort_keys=False),
        "upgradeStrategy": {"type": upgrade},
        "rayClusterConfig": cluster,
    }
    return {**_head(API, "RayService", made.options), "spec": spec}


def _scales(groups: list[WorkerGroup]) -> bool:
    return any(group.most > group.nodes for group in groups)


def _job(made: Rendering, words: list[str], cluster: Object, scales: bool = False) -> Object:
    """A RayJob's spec. Where pods come and go with the autoscaler, it also lets workers go that have nothing to do.

    KubeRay puts the words into a shell, and Ray into another: none may have a character that one of these reads.
    """
    options = made.options
    ends = (("DeleteCluster", options.keep_s),) if scales else (("DeleteWorkers", 0), ("DeleteCluster", options.keep_s))
    return {
        "entrypoint": " ".join(words),
        "submissionMode": "K8sJobMode",
        "submitterPodTemplate": submitter(options),
        "backoffLimit": options.retries,
        "preRunningDeadlineSeconds": options.pending_s,
        "activeDeadlineSeconds": options.deadline_s,
        "deletionStrategy": {
            "deletionRules": [
                {"policy": policy, "condition": {**ended, "ttlSeconds": seconds}}
                for ended in _ENDED
                for policy, seconds in ends
            ]
        },
        "rayClusterSpec": cluster,
    }


def _cluster(
    made: Rendering,
    groups: list[WorkerGroup],
    run: str | None = None,
    config: str | None = None,
    ledger: str | None = None,
    secrets: bool = False,
) -> Object:
    """A RayCluster's spec: a head without work for actors, and the worker pods."""
    options, store = made.options, store_gib(made.config, made.options)
    scales = _scales(groups)
    head = PodWish("head", options.head_cpus, options.head_memory_gib, HEAD_STORE_GIB, 0, run, config, ledger, scales)
    return {
        "rayVersion": RAY,
        **({"enableInTreeAutoscaling": True, "autoscalerOptions": autoscaler()} if scales else {}),
        "headGroupSpec": {
            # No cores for Ray: learner and engines never land beside the driver.
            "rayStartParams": ray_start(head, **_DASHBOARD, **{"num-cpus": "0"}),
            "template": pod(head, options),
        },
        "workerGroupSpecs": [
            _workers(
                group, PodWish("worker", group.cpus, group.memory_gib, store, group.gpus, run, secrets=secrets), options
            )
            for group in groups
        ],
    }


def _worker(group: WorkerGroup, store: int, run: str | None, secrets: bool) -> PodWish:
    return PodWish("worker", group.cpus, group.memory_gib, store, group.gpus, run, secrets=secrets)


def _workers(group: WorkerGroup, wish: PodWish, options: RenderOptions) -> Object:
    return {
        "groupName": group.name,
        **({"labels": dict(group.labels)} if group.labels else {}),
        "replicas": group.nodes,
        "minReplicas": group.nodes,
        "maxReplicas": group.most,
        "rayStartParams": ray_start(wish),
        "template": pod(wish, options),
    }
