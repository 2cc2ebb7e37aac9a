"""The inbox's routes: who gets in, what is durable, and what nobody can break."""

import io
import json
import stat
import threading
import time

import pyarrow.parquet as pq
import pytest
from conftest import Site

from deploy.serve.inbox.guard import POLICY

OPEN_TO_ALL = {"/healthz"}


def routes(site: Site) -> list[tuple[str, str, str]]:
    """Method, path and role of every route that the schema has."""
    schema = site.client.get("/openapi.json").json()
    return [
        (method.upper(), path.replace("{lease}", "0a").replace("{uuid}", "u"), operation["tags"][0])
        for path, operations in schema["paths"].items()
        if path not in OPEN_TO_ALL
        for method, operation in operations.items()
    ]


def test_nobody_gets_in_without_a_token_or_with_one_of_another_role(site: Site) -> None:
    found = routes(site)
    assert len(found) > 15
    for method, path, role in found:
        assert site.client.request(method, path, json={}).status_code == 401, path
        wrong = {"Authorization": "Bearer guessed", "X-Annotator": "ann"}
        assert site.client.request(method, path, json={}, headers=wrong).status_code == 401, path
        others = {"annotator", "owner", "run"} - {role}
        if path in ("/api/whoami", "/api/stats"):
            others = {"run"} if path == "/api/stats" else set()
        for other in others:
            reply = site.client.request(method, path, json={}, headers=site.headers(other))
            assert reply.status_code == 403, (path, other)


def test_annotators_say_who_they_are(site: Site) -> None:
    for name in ("", "x" * 41, "a/b"):
        reply = site.client.get("/api/stats", headers=site.headers("annotator", name))
        assert reply.status_code == 400 and "X-Annotator" in reply.json()["detail"]
    assert site.call("annotator", "GET", "/api/whoami")["annotator"] == "ann"


def test_tokens_are_one_file_that_only_its_owner_reads(site: Site) -> None:
    path = site.path.with_name("inbox-tokens.json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(json.loads(path.read_text()).values())) == 3


def test_every_reply_forbids_what_a_page_should_not_do(site: Site) -> None:
    for path in ("/", "/owner", "/static/inbox.js", "/api/stats", "/nowhere", "/openapi.json"):
        headers = site.client.get(path).headers
        assert headers["content-security-policy"] == POLICY and headers["x-content-type-options"] == "nosniff", path


def test_an_answer_is_taken_once(site: Site) -> None:
    [item] = site.take()
    body = {"uuid": "u1", "choice": 0, "think_ms": 10}
    first, again = site.put(item["lease"], **body), site.put(item["lease"], **body)
    assert first.status_code == again.status_code == 200 and first.json()["stats"]["mine"] == 1
    assert site.put(item["lease"], **{**body, "uuid": "u2"}).status_code == 409
    assert site.put("0a", **body).status_code == 409, "the uuid is that of another answer"
    assert site.put("0a", **{**body, "uuid": "u3"}).status_code == 404
    assert site.put(item["lease"], name="bob", **{**body, "uuid": "u4"}).status_code == 404
    assert len(site.call("run", "GET", "/api/answers")["answers"]) == 1


@pytest.mark.parametrize("said", [{}, {"choice": 0, "skip": "ambiguous"}, {"typed": "  "}, {"skip": "tired"}])
def test_an_answer_says_exactly_one_thing(site: Site, said: dict[str, object]) -> None:
    [item] = site.take()
    assert site.put(item["lease"], uuid="u", **said).status_code in (400, 422)
    assert site.call("owner", "GET", "/api/overview")["states"] == {"open": 3}


def test_what_a_model_wrote_comes_as_it_is(site: Site) -> None:
    site.ask(4, "<script>alert({})</script>")
    taken = [*site.take(count=3), *site.take("bob", count=3)]
    assert "<script>alert(3)</script>" in {item["prompt"] for item in taken}
    reply = site.client.post("/api/leases", headers=site.headers("annotator", "bob"), json={"count": 1})
    assert reply.headers["content-type"] == "application/json"


def test_a_typed_answer_is_shown_as_it_is_understood(tmp_path: object) -> None:
    site = Site(tmp_path, reading={"kind": "math", "timeout_s": 60})  # type: ignore[arg-type]
    site.ask(1)
    [item] = site.take()
    told = [
        site.call("annotator", "POST", "/api/understand", json={"lease": item["lease"], "typed": typed})
        for typed in (" 46 ", "\\frac{92}{2}", "17", "")
    ]
    assert [entry["same_as"] for entry in told] == [0, 0, None, None]
    assert [entry["answer"] for entry in told] == ["46", "46", "17", None]


def test_an_undo_gives_the_question_back_with_what_was_said(site: Site) -> None:
    [item] = site.take()
    site.put(item["lease"], uuid="u1", typed="7")
    again = site.call("annotator", "POST", "/api/answers/u1/undo")["item"]
    assert (again["item"], again["before"], again["amends"]) == (
        item["item"],
        {"choice": None, "typed": "7"},
        False,
    )
    assert site.call("annotator", "POST", "/api/answers/u1/undo")["item"] == again, "the reply may have been lost"
    site.put(again["lease"], uuid="u2", choice=0)
    assert site.client.post("/api/answers/u1/undo", headers=site.headers("annotator")).status_code == 409


def test_leases_are_kept_given_back_and_lost(site: Site) -> None:
    first, second = site.take(count=2)
    beat = site.call(
        "annotator", "POST", "/api/leases/heartbeat", json={"leases": [first["lease"], second["lease"], "0a"]}
    )
    assert set(beat["expires_at"]) == {first["lease"], second["lease"]} and beat["lost"] == ["0a"]
    site.call("annotator", "DELETE", f"/api/leases/{first['lease']}")
    assert site.take("bob")[0]["item"] == first["item"]


def test_a_run_waits_for_answers_and_people_see_it(site: Site) -> None:
    [item] = site.take()
    threading.Timer(0.4, lambda: site.put(item["lease"], uuid="u1", choice=1)).start()
    until = time.time() + 60
    site.call("run", "POST", "/api/run/waiting", json={"until": until})
    assert site.call("annotator", "GET", "/api/stats")["waiting"] is True
    began = time.monotonic()
    told = site.call("run", "GET", "/api/answers?after=0&wait_s=20")
    assert [answer["answer"] for answer in told["answers"]] == ["45"] and time.monotonic() - began < 10
    assert site.call("run", "GET", f"/api/answers?after={told['cursor']}")["answers"] == []


def test_exports_have_a_row_for_each_opinion(site: Site) -> None:
    for place, item in enumerate(site.take(count=3)):
        site.put(item["lease"], uuid=f"u{place}", choice=0, note="sure")
    lines = site.client.get("/api/export.jsonl", headers=site.headers("owner")).text.splitlines()
    table = pq.read_table(io.BytesIO(site.client.get("/api/export.parquet", headers=site.headers("owner")).content))
    assert len(lines) == table.num_rows == 3
    row = json.loads(lines[0])
    assert row == table.to_pylist()[0] | {"agrees": None}
    assert (row["run"], row["annotator"], row["answer"], row["candidates"]) == ("demo", "ann", "46", ["46", "45"])


def test_the_owner_pages_through_the_questions(site: Site) -> None:
    site.ask(25)
    after, seen = 0, []
    while after is not None:
        page = site.call("owner", "GET", f"/api/items?after={after}&limit=10&state=open")
        seen += [entry["prompt_id"] for entry in page["items"]]
        after = page["next"]
    assert sorted(seen) == sorted(f"p{n}" for n in range(25))


def test_bodies_that_are_too_long_or_of_unknown_length_are_refused(site: Site) -> None:
    headers = site.headers("annotator")
    assert site.client.post("/api/leases", headers={**headers, "content-length": str(10**9)}).status_code == 413
    assert site.client.post("/api/leases", headers=headers, content=iter([b"{}"])).status_code == 411
