"""As much of a Kubernetes API server as ``kubectl apply`` talks to: it keeps what it is sent, and runs nothing."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.k8s.objects import Object

GROUPS = {
    "v1": {"Namespace": False, "ConfigMap": True, "ServiceAccount": True, "PersistentVolumeClaim": True},
    "policy/v1": {"PodDisruptionBudget": True},
    "ray.io/v1": {"RayJob": True, "RayCluster": True, "RayService": True, "RayCronJob": True},
}
"""Kinds that it knows, and whether they lie in a namespace."""


class FakeApi:
    """Objects by their path, in the order in which they came."""

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.address = ""

    def answer(self, method: str, path: str, body: Object | None) -> tuple[int, Object]:
        if (found := _discovered(path)) is not None:
            return 200, found
        if method == "POST" and body is not None:
            path = f"{path}/{body['metadata']['name']}"
            self.objects[path] = body
            return 201, body
        if path in self.objects:
            return 200, self.objects[path]
        return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}


@contextmanager
def fake_api() -> Iterator[FakeApi]:
    """A server on a free port of the loopback interface."""
    api = FakeApi()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            code, answer = api.answer(self.command, self.path.partition("?")[0].rstrip("/"), body)
            content = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = _serve

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    api.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def _discovered(path: str) -> Object | None:
    """What kubectl asks first: which groups, versions and resources there are."""
    if path == "/api":
        return {"kind": "APIVersions", "versions": ["v1"]}
    if path == "/apis":
        names = [group for group in GROUPS if "/" in group]
        versions = {name: {"groupVersion": name, "version": name.partition("/")[2]} for name in names}
        groups = [
            {"name": name.partition("/")[0], "versions": [version], "preferredVersion": version}
            for name, version in versions.items()
        ]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
    for group, kinds in GROUPS.items():
        if path == f"/{'apis' if '/' in group else 'api'}/{group}":
            verbs = ["create", "get", "list", "patch"]
            listed = [
                {"name": f"{kind.lower()}s", "singularName": "", "kind": kind, "namespaced": inside, "verbs": verbs}
                for kind, inside in kinds.items()
            ]
            return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group, "resources": listed}
    return None
