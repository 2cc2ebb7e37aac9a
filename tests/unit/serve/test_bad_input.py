"""What nobody should send: the inbox says so, and never stumbles."""

import json

import pytest
from conftest import Site

HALF = "\\ud800"
ASK = {
    "step": {"number": 1, "stage": "t", "place": 1, "of": 1},
    "questions": [{"prompt": {"id": "z", "content": "\ud800"}}],
}
SENT = [
    ("annotator", "PUT", "/api/answers/{lease}", f'{{"uuid": "u{HALF}", "choice": 0}}'),
    ("annotator", "PUT", "/api/answers/{lease}", f'{{"uuid": "u", "typed": "x{HALF}"}}'),
    ("annotator", "PUT", "/api/answers/{lease}", f'{{"uuid": "u", "choice": 0, "{HALF}": 0}}'),
    ("annotator", "PUT", "/api/answers/{lease}", '{"uuid": "u", "choice": 0, "think_ms": NaN}'),
    ("annotator", "PUT", "/api/answers/{lease}", '{"uuid": "u", "choice": 1e999}'),
    ("annotator", "PUT", "/api/answers/{lease}", '{"uuid": "u", "choice": 0, "think_ms": ' + "9" * 5000 + "}"),
    ("annotator", "PUT", "/api/answers/{lease}", "[" * 100_000),
    ("annotator", "POST", "/api/understand", f'{{"lease": "{{lease}}", "typed": "{HALF}"}}'),
    ("run", "POST", "/api/run/waiting", '{"until": NaN}'),
    ("run", "POST", "/api/run/register", f'{{"settings": {{"run": "{HALF}"}}}}'),
    ("run", "POST", "/api/run/register", '{"settings": {"run": "r", "opinions": 1' + "0" * 30 + "}}"),
    ("run", "POST", "/api/run/register", '{"settings": {"run": "r", "price": NaN}}'),
    ("run", "POST", "/api/run/register", '{"settings": {"run": "r", "reading": {"kind": "guess"}}}'),
    ("run", "POST", "/api/run/questions", json.dumps(ASK)),
]


@pytest.mark.parametrize("role, method, path, body", SENT)
def test_what_is_no_json_or_fits_no_column_is_the_callers_mistake(
    site: Site, role: str, method: str, path: str, body: str
) -> None:
    [item] = site.take()
    path, body = (text.replace("{lease}", item["lease"]) for text in (path, body))
    headers = {**site.headers(role), "content-type": "application/json"}
    reply = site.client.request(method, path, headers=headers, content=body.encode())
    assert reply.status_code in (400, 422) and reply.json()["detail"], reply.text
    assert site.call("owner", "GET", "/api/overview")["states"] == {"open": 3}, "nothing of it was kept"


def test_a_length_that_is_no_number_of_bytes_is_refused(site: Site) -> None:
    for length in ("9" * 5000, "-1", "many"):
        reply = site.client.get("/healthz", headers={"content-length": length})
        assert reply.status_code == 413, length


def test_a_mistake_is_named_by_its_place(site: Site) -> None:
    reply = site.put("0a", uuid="u", choice=-1)
    assert reply.json()["detail"][0]["loc"] == ["body", "choice"] and "-1" not in json.dumps(reply.json()["detail"])
