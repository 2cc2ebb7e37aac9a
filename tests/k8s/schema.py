"""Objects of KubeRay against its CRDs, more strictly than an API server that prunes: an unknown field is an error.

The schemas are not part of the project; where they are not beside the checkout, tests that need them skip.
"""

import gzip
import json
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.k8s.objects import Object
from tests.unit.sources import ROOT

FOLDER = ROOT.parent / "shared" / "crds"
PLURALS = {"RayJob": "rayjobs", "RayCluster": "rayclusters", "RayService": "rayservices", "RayCronJob": "raycronjobs"}

RULES: dict[str, Callable[[Any], bool]] = {
    "!((has(self.onSuccess) || has(self.onFailure)) && has(self.deletionRules))": lambda it: (
        not (("onSuccess" in it or "onFailure" in it) and "deletionRules" in it)
    ),
    "((has(self.onSuccess) && has(self.onFailure)) || has(self.deletionRules))": lambda it: (
        ("onSuccess" in it and "onFailure" in it) or "deletionRules" in it
    ),
    "!(has(self.jobStatus) && has(self.jobDeploymentStatus))": lambda it: (
        not ("jobStatus" in it and "jobDeploymentStatus" in it)
    ),
    "has(self.jobStatus) || has(self.jobDeploymentStatus)": lambda it: "jobStatus" in it or "jobDeploymentStatus" in it,
    "self == oldSelf": lambda it: True,  # about changes; a new object has no old self
    "self in ['ray.io/kuberay-operator', 'kueue.x-k8s.io/multikueue']": lambda it: (
        it in ("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue")
    ),
}
"""The CEL rules of the CRDs by hand, since no CEL library is at hand; a rule that is new is an error."""


@cache
def schema_of(kind: str) -> Object:
    file = FOLDER / f"ray.io_{PLURALS[kind]}.v1.json.gz"
    if not file.exists():
        pytest.skip(f"{file} is not there: nothing was compared with KubeRay's CRDs")
    definition = json.loads(gzip.decompress(file.read_bytes()))
    [version] = [entry for entry in definition["spec"]["versions"] if entry["name"] == "v1"]
    found: Object = version["schema"]["openAPIV3Schema"]
    return found


def problems(entry: Object) -> list[str]:
    """What the API server, or one that refuses unknown fields, has against an object of KubeRay's."""
    schema = schema_of(entry["kind"])
    whole = filled(entry, schema)
    metadata = {**whole, "metadata": {}}  # whose fields a CRD does not say
    errors = Draft202012Validator(_closed(schema)).iter_errors(metadata)
    found = [f"{'.'.join(map(str, error.absolute_path))}: {error.message}" for error in errors]
    return [*found, *_broken_rules(whole, schema), *_twice(whole, schema)]


def filled(value: Any, schema: Object) -> Any:
    """With defaults, as the API server does it before it looks."""
    if isinstance(value, dict) and "properties" in schema:
        parts = schema["properties"]
        given = {name: part["default"] for name, part in parts.items() if "default" in part and name not in value}
        return {name: filled(inner, parts.get(name, {})) for name, inner in {**value, **given}.items()}
    if isinstance(value, list):
        return [filled(inner, schema.get("items", {})) for inner in value]
    return value


def _closed(schema: Any) -> Any:
    """The schema as plain JSON Schema, in which objects have no more fields than it says."""
    if isinstance(schema, list):
        return [_closed(entry) for entry in schema]
    if not isinstance(schema, dict):
        return schema
    result = {name: _closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and "type" in schema:
        result.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        result["anyOf"] = [{"type": "integer"}, {"type": "string", "pattern": result.pop("pattern", "")}]
    return result


def _walk(value: Any, schema: Object, path: str = "") -> Iterator[tuple[str, Any, Object]]:
    yield path, value, schema
    if isinstance(value, dict):
        for name, inner in value.items():
            part = schema.get("properties", {}).get(name) or schema.get("additionalProperties")
            if isinstance(part, dict):
                yield from _walk(inner, part, f"{path}.{name}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for index, inner in enumerate(value):
            yield from _walk(inner, schema["items"], f"{path}[{index}]")


def _broken_rules(entry: Object, schema: Object) -> list[str]:
    return [
        f"{path}: {rule.get('message', rule['rule'])}"
        for path, value, part in _walk(entry, schema)
        for rule in part.get("x-kubernetes-validations", [])
        if not RULES[rule["rule"]](value)
    ]


def _twice(entry: Object, schema: Object) -> list[str]:
    """Entries of a list that is a map by some of its keys, and has one twice."""
    found = []
    for path, value, part in _walk(entry, schema):
        if keys := part.get("x-kubernetes-list-map-keys"):
            names = [tuple(inner.get(key) for key in keys) for inner in value]
            found += [f"{path}: {name} is there twice" for name in {*names} if names.count(name) > 1]
    return found
