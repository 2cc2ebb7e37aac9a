"""Pods: what all have in common, and what head, worker and submitter have besides.

Every container meets the "restricted" pod security standard and has a read-only root: what Ray and the libraries write
lies in volumes. KubeRay adds the ``ray start`` command and the probes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from deploy.render.options import RenderOptions
from deploy.render.sizes import GIB, shm_gib

Object = dict[str, Any]

ACCOUNT, RUNS_CLAIM, SECRETS = "effrl", "effrl-runs", "effrl-secrets"
"""What ``k8s/base`` defines, and the secret that its reader may create."""
DATA, LEDGER, CONFIG = "/data", "/ledger", "/etc/effrl"
"""Where volumes lie: runs, models and data on all nodes; the label ledger on the head's; the config."""
HOME = "/home/effrl"
USER = 1000
"""The user of deploy/images."""
GPU = "nvidia.com/gpu"
PORTS = {"gcs": 6379, "dashboard": 8265, "client": 10001, "serve": 8000, "metrics": 8080}

_CONTAINER_SECURITY: Object = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
_DRAIN = (
    'timeout 20 ray drain-node --reason DRAIN_NODE_REASON_PREEMPTION --reason-message "the pod is stopped"'
    " --deadline-remaining-seconds {seconds} || true; exec {stop}"
)
"""Ray puts nothing new on a node that will go; then the pod stays while the run elsewhere still saves."""


@dataclass(frozen=True, slots=True)
class PodWish:
    """What one kind of pod is to be."""

    role: str
    cpus: int
    memory_gib: int
    store_gib: int
    """Ray's object store, which lies in /dev/shm."""
    gpus: int = 0
    run: str | None = None
    """Run directory, to be stopped in order before the pod goes; None where no run is known."""
    config: str | None = None
    """ConfigMap with the config."""
    ledger: str | None = None
    """Claim of the label ledger."""
    scales: bool = False
    """Whether Ray's autoscaler is in the pod: it asks Kubernetes for pods, with the rights that KubeRay gives it."""
    secrets: bool = False
    """Whether a worker gets the secrets too, as heads do."""


def pod(wish: PodWish, options: RenderOptions) -> Object:
    """The template of a head or a worker."""
    mounts = {"runs": DATA, "tmp": "/tmp", "home": HOME, "shm": "/dev/shm"}
    volumes: list[Object] = [
        {"name": "runs", "persistentVolumeClaim": {"claimName": RUNS_CLAIM}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "home", "emptyDir": {}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": f"{shm_gib(wish.store_gib)}Gi"}},
    ]
    if wish.config:
        mounts["config"] = CONFIG
        volumes.append({"name": "config", "configMap": {"name": wish.config}})
    if wish.ledger:
        mounts["ledger"] = LEDGER
        volumes.append({"name": "ledger", "persistentVolumeClaim": {"claimName": wish.ledger}})
    template = _template(wish.role, [_container(wish, options, mounts)], volumes, options.grace_s, wish.scales)
    if wish.gpus:
        template["spec"]["tolerations"] = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    return template


def submitter(options: RenderOptions) -> Object:
    """The pod that hands the job to the head, and shows its log.

    KubeRay makes one itself, without a security context, which a restricted namespace refuses.
    """
    container: Object = {
        "name": "submitter",
        "image": options.image,
        "env": [{"name": "HOME", "value": HOME}],
        "resources": _resources("250m", "512Mi"),
        "securityContext": _CONTAINER_SECURITY,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}, {"name": "home", "mountPath": HOME}],
    }
    volumes: list[Object] = [{"name": "tmp", "emptyDir": {}}, {"name": "home", "emptyDir": {}}]
    return _template("submitter", [container], volumes, 30)


def autoscaler() -> Object:
    """The container of Ray's autoscaler, which KubeRay adds to the head."""
    return {
        "version": "v2",
        "idleTimeoutSeconds": 300,
        "resources": _resources("500m", "512Mi"),
        "securityContext": _CONTAINER_SECURITY,
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }


def _template(role: str, containers: list[Object], volumes: list[Object], grace_s: int, asks: bool = False) -> Object:
    labels = {"app.kubernetes.io/part-of": "effrl", "app.kubernetes.io/component": role}
    return {
        "metadata": {"labels": labels},
        "spec": {
            "serviceAccountName": ACCOUNT,
            "automountServiceAccountToken": asks,
            "enableServiceLinks": False,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": grace_s,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": containers,
            "volumes": volumes,
        },
    }


def _container(wish: PodWish, options: RenderOptions, mounts: dict[str, str]) -> Object:
    is_head = wish.role != "worker"
    resources = _resources(str(wish.cpus), f"{wish.memory_gib}Gi")
    if wish.gpus:
        for part in resources.values():
            part[GPU] = wish.gpus
    container: Object = {
        "name": "ray-head" if is_head else "ray-worker",
        "image": options.image,
        "workingDir": DATA,
        "env": _environment(options),
        "resources": resources,
        "securityContext": _CONTAINER_SECURITY,
        "volumeMounts": [_mount(name, path) for name, path in mounts.items()],
    }
    if is_head or wish.secrets:
        container["envFrom"] = [{"secretRef": {"name": SECRETS, "optional": True}}]
    if is_head:
        container["ports"] = [{"name": name, "containerPort": port} for name, port in PORTS.items()]
    if wish.run:
        container["lifecycle"] = {"preStop": {"exec": {"command": _pre_stop(is_head, wish.run, options.stop_s)}}}
    return container


def _pre_stop(is_head: bool, run: str, seconds: int) -> Sequence[str]:
    stop = ["effrl", "stop", run, "--wait", str(seconds)]
    return stop if is_head else ["/bin/sh", "-c", _DRAIN.format(seconds=seconds, stop=" ".join(stop))]


def _environment(options: RenderOptions) -> list[Object]:
    variables = {
        "HOME": HOME,
        "HF_HOME": f"{DATA}/huggingface",  # every node must find the model at the same place
        "RAY_JOB_STOP_WAIT_TIME_S": str(options.stop_s),  # 3 by default: too short for a checkpoint
    }
    return [{"name": name, "value": value} for name, value in variables.items()]


def _mount(name: str, path: str) -> Object:
    return {"name": name, "mountPath": path, **({"readOnly": True} if path == CONFIG else {})}


def _resources(cpus: str, memory: str) -> Object:
    """Requests are limits: memory that is promised to nobody is where pods get killed."""
    return {name: {"cpu": cpus, "memory": memory} for name in ("requests", "limits")}


def ray_start(wish: PodWish, **more: str) -> Object:
    """What ``ray start`` is told besides what KubeRay reads off the pod."""
    return {**more, "object-store-memory": str(wish.store_gib * GIB)}
