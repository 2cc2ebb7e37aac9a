"""Mistakes planted into a manifest that is right: each is caught, by the check that is meant to."""

from collections.abc import Callable
from copy import deepcopy
from functools import cache
from typing import Any

import pytest

from deploy.render.objects import KINDS, Rendering
from deploy.render.options import options_of
from effrl.config import load
from tests.k8s.entrypoints import wrong_commands
from tests.k8s.objects import K8S, Object, written
from tests.k8s.references import dangling
from tests.k8s.rules import broken
from tests.k8s.schema import problems
from tests.k8s.security import violations

IMAGE = f"image=registry.example.com/effrl@sha256:{'0' * 64}"
Mistake = Callable[[Object], Any]


@cache
def _rendered(recipe: str, kind: str) -> tuple[Object, ...]:
    made = Rendering(load.load(recipe), load.text(recipe), options_of([IMAGE], recipe))
    return (*KINDS[kind](made), *written(K8S / "base"))


def rendered(kind: str = "job") -> list[Object]:
    """A run's objects, with those of the base; for a test to spoil."""
    return deepcopy(list(_rendered("care_human", kind)))


def main(entries: list[Object]) -> Object:
    [found] = [entry for entry in entries if entry["apiVersion"].startswith("ray.io")]
    return found


def cluster(job: Object) -> Object:
    found: Object = job["spec"]["rayClusterSpec"]
    return found


def head(job: Object) -> Object:
    found: Object = cluster(job)["headGroupSpec"]["template"]["spec"]
    return found


def worker(job: Object) -> Object:
    found: Object = cluster(job)["workerGroupSpecs"][0]["template"]["spec"]
    return found


def submitter(job: Object) -> Object:
    found: Object = job["spec"]["submitterPodTemplate"]["spec"]
    return found


def first(pod: Object) -> Object:
    found: Object = pod["containers"][0]
    return found


def shm(pod: Object) -> Object:
    volumes: dict[str, Object] = {volume["name"]: volume for volume in pod["volumes"]}
    found: Object = volumes["shm"]["emptyDir"]
    return found


RULES: dict[str, tuple[Mistake, str]] = {
    "a name that is too long": (lambda job: job["metadata"].update(name="a" * 48), "at most 47"),
    "a name with a capital": (lambda job: job["metadata"].update(name="Run"), "no DNS label"),
    "rules and a shutdown": (lambda job: job["spec"].update(shutdownAfterJobFinishes=True), "deletionRules exclude"),
    "a TTL without a shutdown": (lambda job: job["spec"].update(ttlSecondsAfterFinished=60), "a TTL needs"),
    "suspended without a shutdown": (lambda job: job["spec"].update(suspend=True), "suspend needs"),
    "another cluster and retries": (lambda job: job["spec"].update(clusterSelector={"a": "b"}), "clusterSelector"),
    "a sidecar with a submitter": (lambda job: job["spec"].update(submissionMode="SidecarMode"), "SidecarMode"),
    "the head goes before the workers": (
        lambda job: job["spec"]["deletionStrategy"]["deletionRules"][0]["condition"].update(ttlSeconds=9999),
        "out of order",
    ),
    "nothing ends a failed job": (
        lambda job: job["spec"]["deletionStrategy"].update(
            deletionRules=job["spec"]["deletionStrategy"]["deletionRules"][:2]
        ),
        "outlive the job",
    ),
    "authentication that is none": (lambda job: cluster(job).update(authOptions={}), "turns nothing on"),
    "tokens of an old Ray": (
        lambda job: cluster(job).update(authOptions={"mode": "token"}, rayVersion="2.51.0"),
        "2.52.0",
    ),
    "a network policy behind a gate": (lambda job: cluster(job).update(networkPolicy={}), "gates that are off"),
    "the autoscaler's first version": (lambda job: cluster(job).update(enableInTreeAutoscaling=True), "not version v2"),
    "resources in two places": (
        lambda job: cluster(job)["headGroupSpec"].update(resources={"CPU": "1"}),
        "both typed and in rayStartParams",
    ),
    "a number for ray start": (
        lambda job: cluster(job)["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        "are texts",
    ),
    "work for the head": (
        lambda job: cluster(job)["headGroupSpec"]["rayStartParams"].pop("num-cpus"),
        "beside the driver",
    ),
    "more replicas than the most": (
        lambda job: cluster(job)["workerGroupSpecs"][0].update(replicas=2),
        "not between minReplicas",
    ),
    "a pod that restarts in place": (lambda job: worker(job).update(restartPolicy="Always"), "restartPolicy"),
    "an image by tag": (lambda job: first(worker(job)).update(image="effrl:latest"), "by digest"),
    "memory that is promised to nobody": (
        lambda job: first(worker(job))["resources"]["requests"].update(memory="1Gi"),
        "requests are not limits",
    ),
    "a token by value": (
        lambda job: first(head(job))["env"].append({"name": "HF_TOKEN", "value": "hf_x"}),
        "a secret by value",
    ),
    "a path of the node": (
        lambda job: worker(job)["volumes"].append({"name": "d", "hostPath": {"path": "/d"}}),
        "a path of the node",
    ),
    "/dev/shm on a disk": (lambda job: shm(worker(job)).pop("medium"), "64 MiB"),
    "/dev/shm smaller than the store": (lambda job: shm(worker(job)).update(sizeLimit="1Gi"), "does not fit"),
    "/dev/shm as large as the pod": (lambda job: shm(worker(job)).update(sizeLimit="900Gi"), "counts against"),
    "no time to save": (lambda job: head(job).update(terminationGracePeriodSeconds=30), "than it has"),
    "a stop that kills at once": (lambda job: first(head(job)).update(env=[]), "no time for a checkpoint"),
    "a pod that goes without a word": (lambda job: first(worker(job)).pop("lifecycle"), "without a word"),
    "an attempt that begins anew": (
        lambda job: job["spec"].update(entrypoint=job["spec"]["entrypoint"].replace(" --or-resume", "")),
        "does not go on",
    ),
    "no second attempt": (lambda job: job["spec"].update(backoffLimit=0), "does not go on"),
    "a job without an end": (lambda job: job["spec"].pop("activeDeadlineSeconds"), "without deadlines"),
    "a sign that a shell reads": (
        lambda job: job["spec"].update(entrypoint=job["spec"]["entrypoint"] + " data.train=tasks:chain?size=8"),
        "a shell reads",
    ),
    "a volume that is not there": (
        lambda job: first(worker(job))["volumeMounts"].append({"name": "models", "mountPath": "/models"}),
        "no volume",
    ),
}

SECURITY: dict[str, tuple[Mistake, str]] = {
    "root": (lambda job: worker(job)["securityContext"].update(runAsNonRoot=False), "may be root"),
    "privileges": (lambda job: first(head(job))["securityContext"].update(privileged=True), "is privileged"),
    "more privileges": (lambda job: first(head(job))["securityContext"].pop("allowPrivilegeEscalation"), "may gain"),
    "capabilities": (lambda job: first(worker(job))["securityContext"].pop("capabilities"), "keeps capabilities"),
    "no seccomp": (lambda job: submitter(job)["securityContext"].pop("seccompProfile"), "no seccomp"),
    "the node's network": (lambda job: head(job).update(hostNetwork=True), "shares a namespace"),
    "a root file system to write": (
        lambda job: first(submitter(job))["securityContext"].pop("readOnlyRootFilesystem"),
        "writes into its image",
    ),
    "a port of the node": (lambda job: first(head(job))["ports"][0].update(hostPort=6379), "a port of its node"),
}

SCHEMA: dict[str, tuple[Mistake, str]] = {
    "a misspelt field": (lambda job: job["spec"].update(backofLimit=3), "backofLimit"),
    "a misspelt field of a pod": (lambda job: worker(job).update(restartpolicy="Never"), "restartpolicy"),
    "a word for a number": (lambda job: job["spec"].update(backoffLimit="three"), "three"),
    "a policy that is none": (
        lambda job: job["spec"]["deletionStrategy"]["deletionRules"][0].update(policy="DeletePods"),
        "DeletePods",
    ),
    "a group without a name": (lambda job: cluster(job)["workerGroupSpecs"][0].pop("groupName"), "groupName"),
    "two conditions at once (CEL)": (
        lambda job: job["spec"]["deletionStrategy"]["deletionRules"][0]["condition"].update(
            jobDeploymentStatus="Failed"
        ),
        "cannot be used together",
    ),
    "no condition (CEL)": (
        lambda job: job["spec"]["deletionStrategy"]["deletionRules"][0]["condition"].pop("jobStatus"),
        "requires either",
    ),
    "a volume that is there twice": (lambda job: worker(job)["volumes"].append(worker(job)["volumes"][0]), "twice"),
}


def test_what_is_spoilt_was_right() -> None:
    entries = rendered()
    assert broken(main(entries)) == violations(main(entries)) == dangling(entries) == []
    assert wrong_commands(main(entries), load.text("care_human")) == []


def test_what_is_spoilt_fitted_the_schema() -> None:
    assert problems(main(rendered())) == []


def test_there_are_many() -> None:
    assert len(RULES) + len(SECURITY) + len(SCHEMA) >= 25


@pytest.mark.parametrize("mistake", RULES)
def test_a_rule_is_broken(mistake: str) -> None:
    plant, words = RULES[mistake]
    job = main(rendered())
    plant(job)
    assert any(words in text for text in broken(job)), broken(job)


@pytest.mark.parametrize("mistake", SECURITY)
def test_a_restricted_namespace_would_refuse_it(mistake: str) -> None:
    plant, words = SECURITY[mistake]
    job = main(rendered())
    plant(job)
    assert any(words in text for text in violations(job)), violations(job)


@pytest.mark.parametrize("mistake", SCHEMA)
def test_the_schema_refuses_it(mistake: str) -> None:
    plant, words = SCHEMA[mistake]
    job = main(rendered())
    plant(job)
    assert any(words in text for text in problems(job)), problems(job)


@pytest.mark.parametrize("kind", ["ConfigMap", "PersistentVolumeClaim", "ServiceAccount", "Namespace"])
def test_an_object_that_is_missing_is_named(kind: str) -> None:
    entries = [entry for entry in rendered() if entry["kind"] != kind]
    assert any(text.startswith(kind) for text in dangling(entries))


def test_a_secret_that_a_run_cannot_do_without_must_be_there() -> None:
    entries = rendered()
    first(head(main(entries)))["envFrom"][0]["secretRef"].pop("optional")
    assert dangling(entries) == ["Secret effrl-secrets"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("effrl trian /etc/effrl/config.yaml", "trian"),
        ("effrl train /etc/effrl/config.yaml --resume", "--resume"),
        ("effrl train /etc/effrl/config.yaml run.directory=/data/runs/a", "directory"),
        ("python -m train", "python"),
    ],
)
def test_a_command_that_effrl_does_not_know(line: str, words: str) -> None:
    job = main(rendered())
    job["spec"]["entrypoint"] = line
    [found] = wrong_commands(job, load.text("care_human"))
    assert words in found


def test_an_app_that_does_not_exist() -> None:
    service = main(rendered("inbox"))
    assert wrong_commands(service, None) == []
    service["spec"]["serveConfigV2"] = service["spec"]["serveConfigV2"].replace(":inbox", ":inboxes")
    assert wrong_commands(service, None) == ["deploy.serve.inbox.serving:inboxes does not exist"]


def test_an_upgrade_that_makes_a_second_owner_of_the_ledger() -> None:
    service = main(rendered("inbox"))
    assert broken(service) == []
    del service["spec"]["upgradeStrategy"]
    assert broken(service) == ["an upgrade would make a second owner of the ledger"]
