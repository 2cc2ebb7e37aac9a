"""Whether every object that another one names is there."""

from collections.abc import Iterator, Sequence
from typing import Any

from tests.k8s.objects import Object, pods_of

NAMED = {
    "claimName": "PersistentVolumeClaim",
    "serviceAccountName": "ServiceAccount",
    "configMap": "ConfigMap",
    "configMapRef": "ConfigMap",
    "configMapKeyRef": "ConfigMap",
    "secretRef": "Secret",
    "secretKeyRef": "Secret",
}


def dangling(entries: Sequence[Object]) -> list[str]:
    """References to nothing, and objects in a namespace that nobody makes."""
    there = {(entry["kind"], entry["metadata"]["name"]) for entry in entries}
    named = [name for entry in entries for _, pod in pods_of(entry) for name in _named(pod)]
    named += [
        ("PersistentVolume", entry["spec"]["volumeName"]) for entry in entries if "volumeName" in entry.get("spec", {})
    ]
    named += [("Namespace", space) for entry in entries if (space := entry["metadata"].get("namespace"))]
    return sorted({f"{kind} {name}" for kind, name in named if (kind, name) not in there})


def _named(node: Any) -> Iterator[tuple[str, str]]:
    if isinstance(node, list):
        for inner in node:
            yield from _named(inner)
    if isinstance(node, dict):
        for field, inner in node.items():
            if field in NAMED and isinstance(inner, str):
                yield NAMED[field], inner
            elif field in NAMED and not inner.get("optional"):
                yield NAMED[field], inner["name"]
            else:
                yield from _named(inner)
