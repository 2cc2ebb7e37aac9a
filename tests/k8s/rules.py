"""What KubeRay's operator refuses beyond its CRDs, and what effrl's own manifests promise."""

import re
from collections.abc import Iterator

from tests.k8s.objects import Object, cluster_of, groups_of, inside, job_of, pods_of

LONGEST = {"RayJob": 47, "RayService": 47, "RayCluster": 63, "RayCronJob": 36}
"""Characters of a name; a RayCronJob leaves room for what its jobs are called after it."""
ORDER = ("DeleteWorkers", "DeleteCluster", "DeleteSelf")
_HEAD_PARAMS = ("headGroupSpec", "rayStartParams")
UNITS = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def broken(entry: Object) -> list[str]:
    """Every rule that an object breaks."""
    cluster, job = cluster_of(entry), job_of(entry)
    return [
        *_name(entry),
        *(_cluster(cluster) if cluster else ()),
        *(_job(job) if job else ()),
        *(_service(entry["spec"]) if entry["kind"] == "RayService" else ()),
        *(text for where, pod in pods_of(entry) for text in _pod(where, pod)),
        *_promises(entry),
    ]


def _name(entry: Object) -> Iterator[str]:
    kind, name = entry["kind"], entry["metadata"]["name"]
    if kind in LONGEST:
        if len(name) > LONGEST[kind]:
            yield f"a name of a {kind} has at most {LONGEST[kind]} characters"
        if not re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name):
            yield f"{name} is no DNS label"


def _cluster(spec: Object) -> Iterator[str]:
    auth, autoscaling = spec.get("authOptions"), spec.get("enableInTreeAutoscaling")
    if auth is not None and auth.get("mode") != "token":
        yield "authOptions without mode: token turns nothing on"
    if auth is not None and _version(spec.get("rayVersion", "0")) < (2, 52):
        yield "tokens need rayVersion 2.52.0"
    if {"networkPolicy", "tlsOptions"} & spec.keys():
        yield "networkPolicy and tlsOptions are behind gates that are off"
    if "version" in spec.get("autoscalerOptions", {}) and not autoscaling:
        yield "autoscalerOptions without enableInTreeAutoscaling do nothing"
    if autoscaling and spec.get("autoscalerOptions", {}).get("version") != "v2":
        yield "the autoscaler is not version v2"
    for group in groups_of(spec):
        params = group.get("rayStartParams", {})
        if group.get("resources") and {"num-cpus", "num-gpus", "memory", "resources"} & params.keys():
            yield "resources are both typed and in rayStartParams"
        if "labels" in params:
            yield "labels belong into the group's field"
        if any(not isinstance(value, str) for value in params.values()):
            yield "rayStartParams are texts"
        replicas = [group.get(name) for name in ("minReplicas", "replicas", "maxReplicas")]
        if "groupName" in group and not replicas[0] <= replicas[1] <= replicas[2]:
            yield "replicas are not between minReplicas and maxReplicas"
        if group["template"]["spec"].get("restartPolicy") != "Never":
            yield "restartPolicy is not Never: a pod that failed must be made anew"


def _job(spec: Object) -> Iterator[str]:
    rules = spec.get("deletionStrategy", {}).get("deletionRules", [])
    ends = spec.get("shutdownAfterJobFinishes", False)
    if rules and (ends or spec.get("ttlSecondsAfterFinished")):
        yield "deletionRules exclude shutdownAfterJobFinishes and a TTL"
    if spec.get("ttlSecondsAfterFinished", 0) > 0 and not ends:
        yield "a TTL needs shutdownAfterJobFinishes"
    if spec.get("suspend") and not ends:
        yield "suspend needs shutdownAfterJobFinishes"
    if spec.get("clusterSelector") and (spec.get("suspend") or spec.get("backoffLimit", 0) > 0):
        yield "clusterSelector excludes suspend and backoffLimit"
    if spec.get("submissionMode") == "SidecarMode" and {"submitterPodTemplate", "submitterConfig"} & spec.keys():
        yield "SidecarMode takes no submitter"
    if spec.get("activeDeadlineSeconds", 1) <= 0 or spec.get("backoffLimit", 0) < 0:
        yield "a deadline or the backoff is out of range"
    autoscales = spec.get("rayClusterSpec", {}).get("enableInTreeAutoscaling")
    if autoscales and any(rule["policy"] == "DeleteWorkers" for rule in rules):
        yield "DeleteWorkers excludes autoscaling"
    yield from _deletion(rules)


def _deletion(rules: list[Object]) -> Iterator[str]:
    for status in ("SUCCEEDED", "FAILED", "Failed"):
        mine = [rule for rule in rules if status in rule["condition"].values()]
        if len({rule["policy"] for rule in mine}) < len(mine):
            yield f"two rules of a policy for {status}"
        seconds = {rule["policy"]: rule["condition"].get("ttlSeconds", 0) for rule in mine}
        in_order = [seconds[policy] for policy in ORDER if policy in seconds]
        if in_order != sorted(in_order):
            yield "deletion rules are out of order: workers, cluster, self"


def _service(spec: Object) -> Iterator[str]:
    if ":inbox" in spec["serveConfigV2"] and spec.get("upgradeStrategy", {}).get("type") != "None":
        yield "an upgrade would make a second owner of the ledger"


def _pod(where: str, pod: Object) -> Iterator[str]:
    volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
    for container in pod["containers"]:
        if not re.fullmatch(r"[\w./:-]+@sha256:[0-9a-f]{64}", container["image"]):
            yield f"{where}: {container['image']} is no image by digest"
        if container["resources"]["requests"] != container["resources"]["limits"]:
            yield f"{where}: requests are not limits"
        mounts = container.get("volumeMounts", [])
        if missing := {mount["name"] for mount in mounts} - volumes.keys():
            yield f"{where}: no volume {missing}"
        if len({mount["mountPath"] for mount in mounts}) < len(mounts):
            yield f"{where}: two volumes at one place"
        for entry in container.get("env", []):
            if re.search("TOKEN|KEY|SECRET|PASSWORD", entry["name"]) and "value" in entry:
                yield f"{where}: a secret by value"
    if any("hostPath" in volume for volume in volumes.values()):
        yield f"{where}: a path of the node"


def _promises(entry: Object) -> Iterator[str]:
    """What effrl's manifests promise: enough shared memory, time to save, and an end of everything."""
    for where, pod in pods_of(entry):
        if where != "submitter":
            yield from _stops_in_time(where, pod)
    cluster, job = cluster_of(entry), job_of(entry)
    for group in groups_of(cluster) if cluster else ():
        yield from _memory(group)
    if cluster and cluster.get("workerGroupSpecs") and inside(cluster, _HEAD_PARAMS).get("num-cpus") != "0":
        yield "the head has cores for Ray: learner or engines may land beside the driver"
    if job is not None:
        yield from _ends(job)


def _memory(group: Object) -> Iterator[str]:
    pod = group["template"]["spec"]
    shared = [volume["emptyDir"] for volume in pod["volumes"] if volume["name"] == "shm"]
    if not shared or shared[0].get("medium") != "Memory":
        yield "/dev/shm is no memory of its own: 64 MiB are left"
        return
    size = bytes_of(shared[0]["sizeLimit"])
    if int(group["rayStartParams"]["object-store-memory"]) >= size:
        yield "the object store does not fit into /dev/shm"
    if bytes_of(pod["containers"][0]["resources"]["limits"]["memory"]) <= size:
        yield "/dev/shm is as large as the pod's memory, which it counts against"


def _stops_in_time(where: str, pod: Object) -> Iterator[str]:
    container, grace = pod["containers"][0], pod.get("terminationGracePeriodSeconds", 30)
    hook = inside(container, ("lifecycle", "preStop", "exec")).get("command", [])
    waits = re.search(r"--wait (\d+)", " ".join(hook))
    if waits and int(waits[1]) >= grace:
        yield f"{where}: it waits longer for the run than it has"
    given = {entry["name"]: entry.get("value") for entry in container.get("env", [])}
    if int(given.get("RAY_JOB_STOP_WAIT_TIME_S") or 3) >= grace or "RAY_JOB_STOP_WAIT_TIME_S" not in given:
        yield f"{where}: a stopped job has no time for a checkpoint, or more than its pod"


def _ends(job: Object) -> Iterator[str]:
    if not {"activeDeadlineSeconds", "preRunningDeadlineSeconds"} <= job.keys():
        yield "a job without deadlines"
    if job["entrypoint"].startswith("effrl train"):
        if "--or-resume" not in job["entrypoint"] or job.get("backoffLimit", 0) < 1:
            yield "a run that is lost once does not go on"
        for group in groups_of(job["rayClusterSpec"]):
            if not inside(group["template"]["spec"]["containers"][0], ("lifecycle", "preStop")):
                yield "a pod goes without a word to the run"
    rules = job.get("deletionStrategy", {}).get("deletionRules", [])
    ended = {(name, value) for rule in rules for name, value in rule["condition"].items() if name != "ttlSeconds"}
    both = {("jobStatus", "SUCCEEDED"), ("jobDeploymentStatus", "Failed")}
    if not job.get("shutdownAfterJobFinishes") and not both <= ended:
        yield "pods that outlive the job"
    if re.search(r"[^\w ./:=-]", job["entrypoint"]):
        yield "a character of the entrypoint that a shell reads"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2])


def bytes_of(quantity: str) -> int:
    match = re.fullmatch(r"(\d+)(\w*)", quantity)
    assert match is not None, quantity
    return int(match[1]) * UNITS[match[2]]
