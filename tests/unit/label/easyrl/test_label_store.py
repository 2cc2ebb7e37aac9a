"""The file of a round's pseudo-labels."""

import json
from pathlib import Path

import pytest

from effrl.errors import UserError
from effrl.label.easyrl.items import LabelledPool, Precision, PseudoLabel
from effrl.label.easyrl.store import read_labelled, write_labelled
from effrl.run.files import damaged

LABELLED = LabelledPool(
    "self/1",
    "v1",
    {
        "a": PseudoLabel("46", "consistent", 1.0, None, "so\u2028\r46"),
        "ü": PseudoLabel("½", "reflected", 0.25, 0.1 + 0.2),
    },
    {"c": "its answer is too uncertain"},
    Precision(60, 64),
    {"prepare/selected": 2, "prepare/threshold": 1 / 3},
)


@pytest.mark.parametrize("labelled", [LABELLED, LabelledPool("self/2", "v1", {}, {})])
def test_what_is_read_is_what_was_written(labelled: LabelledPool, tmp_path: Path) -> None:
    write_labelled(tmp_path / "new" / "labels.jsonl", labelled)
    assert read_labelled(tmp_path / "new" / "labels.jsonl") == labelled


def test_every_line_says_where_it_is_from(tmp_path: Path) -> None:
    write_labelled(tmp_path / "labels.jsonl", LABELLED)
    _, *rows = [json.loads(line) for line in (tmp_path / "labels.jsonl").read_bytes().splitlines()]
    assert [(row["id"], row["tier"]) for row in rows] == [("a", "consistent"), ("ü", "reflected"), ("c", "deferred")]
    assert all((row["stage"], row["policy"]) == ("self/1", "v1") for row in rows)


def test_its_digest_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    saved = write_labelled(path, LABELLED)
    assert damaged(tmp_path, {path.name: saved}) == []
    assert write_labelled(tmp_path / "again.jsonl", LABELLED).digest == saved.digest
    path.write_bytes(path.read_bytes().replace(b"46", b"47"))
    assert damaged(tmp_path, {path.name: saved}) == [path.name]


def test_it_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "labels.jsonl"
    write_labelled(path, LABELLED)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as broken:
        broken.setattr("effrl.run.files.sync", crash)
        with pytest.raises(KeyboardInterrupt):
            write_labelled(path, LabelledPool("self/2", "v2", {}, {}))
    assert read_labelled(path) == LABELLED
    write_labelled(path, LabelledPool("self/2", "v2", {}, {}))
    assert [file.name for file in tmp_path.iterdir()] == ["labels.jsonl"]


@pytest.mark.parametrize("content", [None, b"", b"{}\n", b"nonsense\n", "cut"])
def test_a_missing_or_damaged_file_is_one_line(content: bytes | str | None, tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    if content == "cut":
        write_labelled(path, LABELLED)
        content = b"".join(path.read_bytes().splitlines(keepends=True)[:-1])
    if isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"labels.jsonl is missing or damaged: resume"):
        read_labelled(path)
