"""Send the inbox whatever its schema allows, and what it does not: does it ever stumble?

    python -m tests.bench.inbox.fuzz --minutes 30

The requests are schemathesis's, from ``/openapi.json``, with the token of the role that may. Half of those that name a
lease or an answer name a real one, since a made-up one gets no further than "there is none". A reply of 500 and above
is a finding.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import hypothesis
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from schemathesis.generation import GenerationMode

from deploy.serve.inbox.tokens import InboxTokens
from tests.bench.inbox.office import ledger_with, serving


@dataclass
class Fuzz:
    """Calls every route of a schema; ``client`` calls the same app."""

    schema: Any
    client: httpx.Client
    tokens: InboxTokens
    replies: Counter[str] = field(default_factory=Counter)
    """By status and route."""
    findings: list[str] = field(default_factory=list)

    def round(self, seed: int, examples: int) -> None:
        """Try every route with so many requests that fit the schema, and as many that do not."""
        for found in self.schema.get_all_operations():
            operation = found.ok()
            for mode in GenerationMode.POSITIVE, GenerationMode.NEGATIVE:
                cases = operation.as_strategy(generation_mode=mode)
                try:
                    self._try(cases, operation.definition.raw["tags"][0], seed, examples)
                except hypothesis.errors.Unsatisfiable:
                    assert mode is GenerationMode.NEGATIVE, "only a call without parameters cannot be made wrongly"

    def _try(self, cases: st.SearchStrategy[Any], role: Any, seed: int, examples: int) -> None:
        @hypothesis.seed(seed)
        @hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases, is_real=st.booleans())
        def attempt(case: Any, is_real: bool) -> None:
            if is_real:
                self._name_a_real_one(case)
            case.headers = self._headers(role)
            status = case.call(timeout=60).status_code
            self.replies[f"{status} {case.operation.label}"] += 1
            if status >= 500:
                self.findings.append(f"{status}: {case.as_curl_command()}")

        attempt()

    def _headers(self, role: Any) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens.by_role.get(role, '')}", "X-Annotator": "fuzz"}

    def _name_a_real_one(self, case: Any) -> None:
        """Put a lease that this person holds, or an answer that they gave, where the case names one."""
        if "uuid" in case.path_parameters:
            case.path_parameters["uuid"] = self._answer(self._lease())
        elif "lease" in case.path_parameters:
            case.path_parameters["lease"] = self._lease()
        elif isinstance(case.body, dict) and "lease" in case.body:
            case.body["lease"] = self._lease()

    def _lease(self) -> str:
        headers = self._headers("annotator")
        items = self.client.post("/api/leases", headers=headers, json={}).raise_for_status().json()["items"]
        return str(items[0]["lease"]) if items else "0a"

    def _answer(self, lease: str) -> str:
        uuid = str(uuid4())
        body = {"uuid": uuid, "choice": 0}
        self.client.put(f"/api/answers/{lease}", headers=self._headers("annotator"), json=body)
        return uuid


def run(folder: Path, minutes: float, examples: int) -> dict[str, Any]:
    """Rounds against a server of its own, each with a seed of its own, until the time is over."""
    path, until = folder / "ledger.sqlite", time.monotonic() + 60 * minutes
    tokens = ledger_with(path, questions=10_000)
    with serving(path) as server:
        base = f"http://127.0.0.1:{server.port}"
        with httpx.Client(base_url=base, timeout=60) as client:
            fuzz = Fuzz(schemathesis.openapi.from_url(f"{base}/openapi.json"), client, tokens)
            for seed in count(1):
                fuzz.round(seed, examples)
                if time.monotonic() >= until:
                    break
    statuses: Counter[str] = Counter()
    for name, times in fuzz.replies.items():
        statuses[name.split()[0]] += times
    found = {"rounds": seed, "requests": fuzz.replies.total(), "statuses": dict(sorted(statuses.items()))}
    return {"minutes": minutes, **found, "findings": fuzz.findings}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--examples", type=int, default=30, help="requests of one kind to one route in a round")
    parser.add_argument("--out", type=Path)
    wish = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = run(Path(folder), wish.minutes, wish.examples)
    print(json.dumps(found, indent=1))
    if wish.out is not None:
        wish.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
