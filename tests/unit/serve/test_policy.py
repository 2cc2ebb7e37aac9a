"""The policy's routes: who gets in, what is refused and how, and that no answer is of two versions."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient
from policy_server import NEW, OLD, TOKEN, EchoEngine

from deploy.serve.policy.access import MOST_BYTES, the_token
from deploy.serve.policy.app import Limits, Policy, ServedPolicy, policy_app
from deploy.serve.policy.door import Door
from deploy.serve.policy.source import ServedVersion
from deploy.serve.policy.swap import Follower
from effrl.errors import DeadlineError, UserError

CHAT = {"messages": [{"role": "user", "content": "12+34="}]}
PROMPT = {"prompt": "12+34=", "max_tokens": 2}


def app_of(engine: EchoEngine, policy: Policy, limits: Limits | None = None) -> Any:
    async def start() -> ServedPolicy:
        return engine

    return policy_app(policy, start, None, limits or Limits(requests=policy.door.places, tokens=8), TOKEN)


@pytest.fixture
def engine() -> EchoEngine:
    return EchoEngine()


@pytest.fixture
def client(engine: EchoEngine) -> Iterator[TestClient]:
    app = app_of(engine, Policy(Door(4), OLD))
    with TestClient(app, raise_server_exceptions=False, headers={"Authorization": f"Bearer {TOKEN}"}) as made:
        yield made


# --- who gets in, and what is refused


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer other"}, {"Authorization": f"Basic {TOKEN}"}])
@pytest.mark.parametrize(("method", "path"), [("GET", "models"), ("POST", "completions"), ("POST", "chat/completions")])
def test_without_the_token_nobody_gets_in(
    client: TestClient, engine: EchoEngine, header: dict[str, str], method: str, path: str
) -> None:
    del client.headers["Authorization"]
    refused = client.request(method, f"/v1/{path}", headers=header, json=PROMPT if method == "POST" else None)
    assert refused.status_code == 401 and refused.headers["www-authenticate"] == "Bearer"
    assert refused.json()["error"]["type"] == "authentication_error" and not engine.seen


def test_health_needs_no_token(client: TestClient, engine: EchoEngine) -> None:
    del client.headers["Authorization"]
    assert client.get("/healthz").json() == {"status": "ok", "model": "demo@step-1", "answering": 0}
    engine.alive = False
    assert client.get("/healthz").status_code == 503


@pytest.mark.parametrize(
    ("path", "body", "status", "said"),
    [
        ("completions", {**PROMPT, "best_of": 3}, 422, "best_of: Extra inputs are not permitted"),
        ("completions", {"prompt": ["a"] * 9, "n": 2}, 422, "18 completions"),
        ("completions", {"prompt": "a", "max_tokens": 9}, 400, "ask for 8"),
        ("completions", {"prompt": "a", "temperature": 0, "n": 2}, 422, "all n completions are alike"),
        ("completions", {"prompt": "a", "stream_options": {"include_usage": True}}, 422, "stream: true"),
        ("completions", {"prompt": "a", "temperature": "hot"}, 422, "temperature"),
        ("completions", {}, 422, "prompt: Field required"),
        ("chat/completions", {**CHAT, "tools": []}, 422, "tools: Extra inputs"),
        ("chat/completions", {"messages": []}, 422, "messages"),
        ("chat/completions", {"messages": [{"role": "tool", "content": "a"}]}, 422, "messages.0.role"),
        ("chat/completions", {**CHAT, "max_tokens": 2, "max_completion_tokens": 2}, 422, "give one"),
        ("chat/completions", {**CHAT, "max_completion_tokens": 99}, 400, "ask for 8"),
        ("chat/completions", {**CHAT, "top_logprobs": 2}, 422, "logprobs: true"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(
    client: TestClient, engine: EchoEngine, path: str, body: dict[str, Any], status: int, said: str
) -> None:
    refused = client.post(f"/v1/{path}", json=body)
    assert refused.status_code == status
    assert said in refused.json()["error"]["message"] and not engine.seen


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"prompt": NaN}', b'{"\\ud800": 1}', b'{"prompt": "\\ud800"}', b"\xff"]
)
def test_what_is_no_json_or_no_text_is_refused(client: TestClient, content: bytes) -> None:
    refused = client.post("/v1/completions", content=content, headers={"content-type": "application/json"})
    assert refused.status_code in (400, 422) and refused.json()["error"]["message"]


def test_long_bodies_are_refused_unread(client: TestClient) -> None:
    assert client.post("/v1/completions", content=b" " * (MOST_BYTES + 1)).status_code == 413
    assert client.post("/v1/completions", content=iter([b"{}"])).status_code == 411


def test_other_paths_and_methods(client: TestClient) -> None:
    assert client.get("/v1/embeddings").json()["error"]["type"] == "not_found_error"
    assert client.get("/v1/completions").status_code == 405


def test_both_names_of_the_length_count(client: TestClient, engine: EchoEngine) -> None:
    for asked in ({}, {"max_tokens": 8}, {"max_completion_tokens": 3}):
        assert client.post("/v1/chat/completions", json={**CHAT, **asked}).status_code == 200
    assert [body.longest for body in engine.seen] == [None, 8, 3]


def test_a_token_is_needed_where_others_reach_and_must_be_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EFFRL_SERVE_TOKEN", raising=False)
    assert the_token(needed=False) is None
    with pytest.raises(UserError, match="set EFFRL_SERVE_TOKEN"):
        the_token(needed=True)
    monkeypatch.setenv("EFFRL_SERVE_TOKEN", "short")
    with pytest.raises(UserError, match="could be guessed"):
        the_token(needed=False)
    monkeypatch.setenv("EFFRL_SERVE_TOKEN", TOKEN)
    assert the_token(needed=True) == TOKEN


# --- many at a time, and a change of weights


@asynccontextmanager
async def site(engine: EchoEngine, policy: Policy) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app in this event loop."""
    app = app_of(engine, policy)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://app", headers={"Authorization": f"Bearer {TOKEN}"}
        ) as client,
    ):
        yield client


class Wanting:
    """A source that wants whatever it is told."""

    def __init__(self, version: ServedVersion) -> None:
        self.version = version

    def wanted(self) -> ServedVersion:
        return self.version

    def prove(self, version: ServedVersion) -> str:
        return f"digest of {version.name}"


def follower(version: ServedVersion, drain_s: float = 5.0) -> Follower:
    source: Any = Wanting(version)
    return Follower(source, look_s=0.01, drain_s=drain_s)


async def answered(client: httpx.AsyncClient, stream: bool) -> set[str]:
    """The versions that an answer is of."""
    reply = await client.post("/v1/completions", json={"prompt": "a", "max_tokens": 8, "stream": stream})
    assert reply.status_code == 200
    return {*reply.text.split()} if stream else {token.strip() for token in reply.json()["tokens"]}


def test_no_answer_is_of_two_versions_and_none_is_dropped() -> None:
    """Requests come all the time, while the weights are changed back and forth."""

    async def play() -> list[set[str]]:
        engine, policy = EchoEngine(token_s=0.001), Policy(Door(32), OLD)
        async with site(engine, policy) as client:

            async def caller(number: int) -> list[set[str]]:
                return [await answered(client, bool((number + turn) % 2)) for turn in range(12)]

            callers = asyncio.gather(*map(caller, range(8)))
            for version in (NEW, OLD, NEW):
                await asyncio.sleep(0.02)
                assert await follower(version).look(policy)
            assert [loaded for loaded, _ in engine.loads] == [NEW, OLD, NEW]
            return [versions for found in await callers for versions in found]

    found = asyncio.run(play())
    assert len(found) == 96
    assert {frozenset(versions) for versions in found} == {frozenset({OLD.name}), frozenset({NEW.name})}


def test_a_full_house_says_when_to_come_again() -> None:
    async def play() -> list[httpx.Response]:
        async with site(EchoEngine(token_s=0.02), Policy(Door(2), OLD)) as client:
            return await asyncio.gather(*(client.post("/v1/completions", json=PROMPT) for _ in range(5)))

    replies = asyncio.run(play())
    refused = [reply for reply in replies if reply.status_code == 429]
    assert len(refused) == 3 and sum(reply.status_code == 200 for reply in replies) == 2
    assert all(reply.headers["retry-after"] == "1" and reply.json()["error"]["message"] for reply in refused)


def test_places_are_free_again_after_answers_refusals_and_errors(client: TestClient) -> None:
    for _ in range(5):
        assert client.post("/v1/completions", json={"prompt": "a", "max_tokens": 9}).status_code == 400
        assert client.post("/v1/completions", json={}).status_code == 422
        assert client.post("/v1/completions", json={**PROMPT, "stream": True}).status_code == 200
    assert client.get("/healthz").json()["answering"] == 0


def test_a_change_that_waits_too_long_is_put_off_and_newcomers_are_let_in() -> None:
    async def play() -> None:
        engine, policy = EchoEngine(token_s=0.05), Policy(Door(4), OLD)
        async with site(engine, policy) as client:
            slow = asyncio.ensure_future(answered(client, stream=True))
            await asyncio.sleep(0.1)
            late = asyncio.ensure_future(answered(client, stream=False))
            with pytest.raises(DeadlineError, match=r"still under way after 0\.1 s"):
                await follower(NEW, drain_s=0.1).look(policy)
            assert await slow == await late == {OLD.name} and not engine.loads
            assert await follower(NEW).look(policy) and not await follower(NEW).look(policy)
            assert policy.served == NEW and engine.loads == [(NEW, f"digest of {NEW.name}")]

    asyncio.run(play())


def test_a_model_that_took_half_of_its_weights_never_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda _, number: killed.append(number))

    async def play() -> None:
        engine, policy = EchoEngine(), Policy(Door(4), OLD)
        engine.fails = RuntimeError("out of memory")
        async with site(engine, policy) as client:
            with pytest.raises(RuntimeError, match="out of memory"):
                await follower(NEW).look(policy)
            reply = await client.post("/v1/completions", json=PROMPT)
            assert reply.status_code == 503 and (await client.get("/healthz")).status_code == 503

    asyncio.run(play())
    assert len(killed) == 1


def test_a_damaged_checkpoint_is_looked_at_again(caplog: pytest.LogCaptureFixture) -> None:
    """A run deletes checkpoints while somebody looks at them."""

    class Flaky(Wanting):
        looks = 0

        def wanted(self) -> ServedVersion:
            self.looks += 1
            if self.looks == 1:
                raise UserError("step_2/hf/model.safetensors is missing")
            return super().wanted()

    async def play() -> None:
        engine, policy = EchoEngine(), Policy(Door(4), OLD)
        source: Any = Flaky(NEW)
        policy.engine = engine
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(Follower(source, look_s=0.001)(policy), 1)
        assert policy.served == NEW and len(engine.loads) == 1

    asyncio.run(play())
    assert "demo@step-1 stays: UserError: step_2/hf/model.safetensors is missing" in caplog.text
