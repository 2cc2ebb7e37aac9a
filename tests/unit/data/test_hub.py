"""Data sets of the hub, from a hub on this machine that speaks as much of its language as the library asks for.

The library itself is the real one. No real hub was asked: this machine has no way to it.
"""

import json
import threading
from collections.abc import Iterator
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from layouts import GSM8K_CARD

from effrl.config.data import HubSource
from effrl.data import hub
from effrl.data.reader import read
from effrl.errors import UserError
from effrl.types import Prompt, Row

COMMIT = "e53f048856ff4f594e959d75785d2c2d37b678ee"
NAME = "openai/gsm8k"
TRAIN = HubSource(name=NAME, config="main", prompt="question", label="answer")


class FakeHub:
    """Serves the files of one data set, and remembers what was asked of it."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[str] = []
        self.downloaded: list[str] = []

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(path)
        api, resolve = f"/api/datasets/{NAME}", f"/datasets/{NAME}/resolve/{COMMIT}/"
        if path == f"{api}/revision/main":
            siblings = [{"rfilename": name} for name in self.files]
            return 200, {}, json.dumps({"id": NAME, "sha": COMMIT, "siblings": siblings}).encode()
        if path.startswith(f"{api}/tree/{COMMIT}"):
            return 200, {}, json.dumps([self._file(name) for name in self.files]).encode()
        if path.startswith(resolve) and (name := path.removeprefix(resolve)) in self.files:
            self.downloaded.append(name)
            etag = sha1(self.files[name]).hexdigest()
            return 200, {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT}, self.files[name]
        return 404, {"X-Error-Code": "RepoNotFound", "X-Error-Message": "Repository not found"}, b""

    def _file(self, name: str) -> dict[str, object]:
        return {"type": "file", "path": name, "size": len(self.files[name]), "oid": sha1(self.files[name]).hexdigest()}


def parquet(*questions: str) -> bytes:
    sink = pa.BufferOutputStream()
    rows = [{"question": question, "answer": f"Count.\n#### {len(question)}"} for question in questions]
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return bytes(sink.getvalue())


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeHub]:
    from huggingface_hub import constants

    served = FakeHub(
        {
            "README.md": f"---\n{yaml.safe_dump(GSM8K_CARD)}---\n# GSM8K\n".encode(),
            "main/train-00000-of-00001.parquet": parquet("ab", "abc"),
            "main/test-00000-of-00001.parquet": parquet("abcd"),
            "socratic/train-00000-of-00001.parquet": parquet("x"),
            "socratic/test-00000-of-00001.parquet": parquet("y"),
        }
    )

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = served.answer(unquote(self.path).partition("?")[0])
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", endpoint + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    hub._fetch.cache_clear()
    yield served
    hub._fetch.cache_clear()
    server.shutdown()
    server.server_close()


def test_gsm8k_as_published(fake: FakeHub) -> None:
    assert list(read(TRAIN)) == [
        Row(Prompt("gsm8k/train:1", "ab", {}), "Count.\n#### 2"),
        Row(Prompt("gsm8k/train:2", "abc", {}), "Count.\n#### 3"),
    ]
    (row,) = read(TRAIN.model_copy(update={"split": "test"}))
    assert row.prompt.id == "gsm8k/test:1"


def test_only_what_is_read_is_downloaded_and_only_once(fake: FakeHub) -> None:
    list(read(TRAIN))
    assert set(fake.downloaded) == {"README.md", "main/train-00000-of-00001.parquet"}
    asked = len(fake.asked)
    list(read(TRAIN))
    assert len(fake.asked) == asked, "one process reads one commit"


def test_without_a_network_an_earlier_download_is_read(fake: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the actors do, whose driver has downloaded everything."""
    from huggingface_hub import constants

    rows = list(read(TRAIN))
    hub._fetch.cache_clear()
    asked = len(fake.asked)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert list(read(TRAIN)) == rows
    assert len(fake.asked) == asked
    with pytest.raises(UserError, match=r"hf:openai/gsm8k\?config=main&split=test cannot be had from the hub: "):
        list(read(TRAIN.model_copy(update={"split": "test"})))


def test_a_snapshot_that_nobody_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache that was filled by an older library, or by hand."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub._fetch.cache_clear()
    repository = tmp_path / "datasets--openai--gsm8k"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots" / COMMIT / "main").mkdir(parents=True)
    (repository / "snapshots" / COMMIT / "main" / "train.parquet").write_bytes(parquet("ab"))
    assert [row.prompt.content for row in read(TRAIN)] == ["ab"]
    hub._fetch.cache_clear()


def test_a_data_set_that_is_not_there(fake: FakeHub) -> None:
    with pytest.raises(UserError, match="hf:openai/gsm9k cannot be had from the hub: ") as caught:
        list(read(HubSource(name="openai/gsm9k")))
    assert "\n" not in str(caught.value) and "check its name and the network" in str(caught.value)


@pytest.mark.parametrize("name", ["", "a/b/c", "x y", "../etc"])
def test_a_name_that_cannot_be(fake: FakeHub, name: str) -> None:
    with pytest.raises(UserError, match="cannot be had from the hub"):
        list(read(HubSource(name=name)))


def test_a_split_that_is_not_there(fake: FakeHub) -> None:
    with pytest.raises(
        UserError, match=r"^hf:openai/gsm8k\?config=main&split=dev: no split 'dev'; it has train, test$"
    ):
        list(read(TRAIN.model_copy(update={"split": "dev"})))
