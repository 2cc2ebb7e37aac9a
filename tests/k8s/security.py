"""The "restricted" pod security standard of Kubernetes, written down by hand."""

from collections.abc import Iterator

from tests.k8s.objects import Object, pods_of

VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


def violations(entry: Object) -> list[str]:
    """Why a restricted namespace would refuse the pods of an object."""
    return [f"{where}: {text}" for where, pod in pods_of(entry) for text in _of_pod(pod)]


def _of_pod(pod: Object) -> Iterator[str]:
    context = pod.get("securityContext", {})
    if any(pod.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "shares a namespace of its node"
    for volume in pod.get("volumes", []):
        if not volume.keys() - {"name"} <= VOLUMES:
            yield f"a volume of another kind: {volume}"
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        own = container.get("securityContext", {})
        both = {**context, **own}
        if both.get("runAsNonRoot") is not True or both.get("runAsUser") == 0:
            yield "may be root"
        if both.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield "no seccomp profile"
        if own.get("allowPrivilegeEscalation") is not False:
            yield "may gain privileges"
        if own.get("privileged"):
            yield "is privileged"
        capabilities = own.get("capabilities", {})
        if capabilities.get("drop") != ["ALL"] or not {*capabilities.get("add", [])} <= {"NET_BIND_SERVICE"}:
            yield "keeps capabilities"
        if any("hostPort" in port for port in container.get("ports", [])):
            yield "takes a port of its node"
        if own.get("readOnlyRootFilesystem") is not True:  # more than the standard asks
            yield "writes into its image"
