"""Objects of Kubernetes, and the pods of KubeRay's, against the schemas of Kubernetes: unknown fields are errors."""

import json
from collections.abc import Iterable, Iterator

import kubernetes_validate
from kubernetes_validate import SchemaNotFoundError, ValidationError

from tests.k8s.objects import Object, pods_of
from tests.k8s.schema import PLURALS

VERSION = "1.34"
"""Of Kubernetes: the newest but the last few, whose fields an older cluster would not know."""


def unfit(entries: Iterable[Object]) -> list[str]:
    """What does not fit, each object once; kinds that come with an operator have no schema here."""
    distinct = {json.dumps(entry, sort_keys=True): entry for whole in entries for entry in _own(whole)}
    return [f"{entry['kind']}: {problem}" for entry in distinct.values() for problem in _problems(entry)]


def _own(entry: Object) -> Iterator[Object]:
    if entry["kind"] not in PLURALS:
        yield entry
        return
    for _, spec in pods_of(entry):
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod"}, "spec": spec}


def _problems(entry: Object) -> Iterator[str]:
    try:
        kubernetes_validate.validate(entry, VERSION, strict=True)
    except SchemaNotFoundError:
        return
    except ValidationError as error:
        yield error.message
