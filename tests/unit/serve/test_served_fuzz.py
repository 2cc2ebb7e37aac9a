"""A short look for requests that policy and rewards stumble over: whatever is sent, it is no 5xx."""

from collections import Counter
from typing import Any

import hypothesis
import pytest
import schemathesis
from fastapi import FastAPI
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given
from policy_server import OLD, TOKEN, EchoEngine
from schemathesis.generation import GenerationMode
from test_policy import app_of
from test_rewards_served import ByLength, Lengths

from deploy.serve.policy.app import Policy
from deploy.serve.policy.door import Door
from deploy.serve.rewards.app import Scorers, rewards_app

APPS = {
    "policy": lambda: app_of(EchoEngine(), Policy(Door(4), OLD)),
    "rewards": lambda: rewards_app(lambda: Scorers("a", ByLength(), "b", Lengths()), 4, TOKEN),
}


def replies_of(app: FastAPI, examples: int) -> Counter[int]:
    """How often each status is given to requests that fit the schema, and to those that do not."""
    found: Counter[int] = Counter()

    def attempts(cases: Any) -> None:
        @hypothesis.seed(1)
        @hypothesis.settings(
            max_examples=examples,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=cases)
        def attempt(case: Any) -> None:
            case.headers = {"Authorization": f"Bearer {TOKEN}"}
            status = case.call().status_code
            assert status < 500, f"{status}: {case.as_curl_command()}"
            found[status] += 1

        attempt()

    for entry in schemathesis.openapi.from_asgi("/openapi.json", app).get_all_operations():
        operation = entry.ok()
        attempts(operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
        if operation.body:
            attempts(operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    return found


@pytest.mark.parametrize("name", APPS)
def test_no_request_of_the_schema_or_beside_it_is_a_5xx(name: str) -> None:
    app = APPS[name]()
    with TestClient(app):
        found = replies_of(app, examples=15)
    assert found.total() >= 30 and {200, 422} <= found.keys(), "it gets in, and it sends nonsense"
