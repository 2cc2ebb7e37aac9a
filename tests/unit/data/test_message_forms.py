"""Prompts as data sets have them: messages of several dialects, parts of text, and what is no text."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from effrl.config.data import JsonlSource, ParquetSource
from effrl.data.reader import read
from effrl.errors import UserError
from effrl.types import Row


def rows(folder: Path, *values: dict[str, Any]) -> list[Row]:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, values)))
    return list(read(JsonlSource(path=folder / "rows.jsonl")))


def refused(folder: Path, value: dict[str, Any]) -> str:
    with pytest.raises(UserError) as caught:
        rows(folder, value)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{folder}/rows.jsonl:1: ")


def test_messages_of_sharegpt(tmp_path: Path) -> None:
    turns = [("system", "Add."), ("human", "1+1?"), ("gpt", "2"), ("user", "2+2?"), ("assistant", "4")]
    [row] = rows(tmp_path, {"prompt": [{"from": who, "value": what, "weight": None} for who, what in turns]})
    assert row.prompt.content == tuple(
        {"role": role, "content": what}
        for role, (_, what) in zip(("system", "user", "assistant", "user", "assistant"), turns, strict=True)
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"from": "human"}, 'message 1 of "prompt" has no value: a message has from and value'),
        ({"from": "observation", "value": "x"}, 'from of message 1 of "prompt" is "observation": write human, gpt'),
        ({"from": "human", "value": 3}, 'value of message 1 of "prompt" is a number: write a string'),
        (
            {"from": "human", "value": "x", "weight": 1},
            'has the key "weight", which nothing reads: keep from and value',
        ),
    ],
)
def test_messages_of_sharegpt_that_cannot_be_read(tmp_path: Path, message: dict[str, Any], expected: str) -> None:
    assert expected in refused(tmp_path, {"prompt": [message]})


def test_names_of_roles_that_no_template_has(tmp_path: Path) -> None:
    turns = [("human", "user"), ("User", "user"), ("GPT", "assistant"), ("tool", "tool")]
    [row] = rows(tmp_path, {"prompt": [{"role": given, "content": "x"} for given, _ in turns]})
    assert row.prompt.content == tuple({"role": role, "content": "x"} for _, role in turns)


def test_parts_of_text_are_joined(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Solve: "}, {"type": "text", "text": "1+1", "image_url": None}]
    [row] = rows(tmp_path, {"prompt": [{"role": "user", "content": parts}]})
    assert row.prompt.content == ({"role": "user", "content": "Solve: 1+1"},)


@pytest.mark.parametrize(
    ("part", "what"),
    [
        ({"type": "image"}, "an image"),
        ({"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}, "an image"),
        ({"type": "input_image", "image_url": "a.png"}, "an image"),
        ({"type": "video", "video": "a.mp4"}, "a video"),
        ({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}, "a sound"),
        ({"image": "a.png"}, "an image"),
    ],
)
def test_parts_that_are_no_text(tmp_path: Path, part: dict[str, Any], what: str) -> None:
    line = refused(tmp_path, {"prompt": [{"role": "user", "content": [part, {"type": "text", "text": "x"}]}]})
    assert line.startswith(f'part 1 of message 1 of "prompt" holds {what}: effrl trains on text only; leave such rows')


@pytest.mark.parametrize("key", ["image", "images", "image_1", "decoded_image", "image_path", "video", "audios"])
def test_a_row_with_an_image_is_refused(tmp_path: Path, key: str) -> None:
    assert f'(key "{key}"): effrl trains on text only' in refused(tmp_path, {"prompt": "x", key: ["a.png"]})


@pytest.mark.parametrize("value", [None, [], "", {"bytes": None, "path": None}, [None]])
def test_a_row_without_one_is_read(tmp_path: Path, value: Any) -> None:
    assert len(rows(tmp_path, {"prompt": "x", "image": value, "image_count": 0, "images_of": "sets"})) == 1


@pytest.mark.parametrize(
    "cells",
    [
        {"images": [{"bytes": b"\x89PNG\r\n", "path": None}]},
        {"image": b"\x89PNG\r\n"},
        {"jpg": b"\xff\xd8\xff\xe0"},
    ],
)
def test_bytes_of_an_image_in_a_table_are_refused(tmp_path: Path, cells: dict[str, Any]) -> None:
    pq.write_table(pa.Table.from_pylist([{"prompt": "x", **cells}]), tmp_path / "rows.parquet")
    with pytest.raises(UserError, match=r"row 1: a row with .*: effrl trains on text only"):
        list(read(ParquetSource(path=tmp_path / "rows.parquet")))


# --- LaTeX that JSON has eaten


@pytest.mark.parametrize(
    ("command", "escape"),
    [
        ("\\frac{1}{2}", "\f"),
        ("\\forall x", "\f"),
        ("\\boxed{3}", "\b"),
        ("\\begin{array}", "\b"),
        ("\\beta", "\b"),
        ("\\text{cm}", "\t"),
        ("3\\times 4", "\t"),
        ("\\theta", "\t"),
        ("\\tfrac12", "\t"),
        ("\\right)", "\r"),
        ("\\nabla f", "\n"),
    ],
)
def test_latex_with_one_backslash_too_few(tmp_path: Path, command: str, escape: str) -> None:
    name = command[command.index("\\") :].split("{")[0].split()[0].rstrip("12)")
    eaten = command.replace(f"\\{name[1]}", escape)
    for value in ({"label": eaten}, {"prompt": f"Write {eaten}."}):
        line = refused(tmp_path, {"prompt": "x", **value})
        assert f"where {name} was meant, which JSON reads so: write \\{name}" in line


@pytest.mark.parametrize(
    "text",
    [
        "\\frac{1}{2}",
        "a\tb\ttext\textra\tan\tto",
        "Name\text. 42",
        "page 1\f\nChapter 2",
        "the end\fof a page\fbox 3",
        "one\r\nright\r\nrm -r x",
        "Is\nnot\nit\nnu\nabla\u00e9",
        "old\rmac\rfloor",
    ],
)
def test_texts_that_were_meant_so(tmp_path: Path, text: str) -> None:
    [row] = rows(tmp_path, {"prompt": text, "label": text})
    assert (row.prompt.content, row.label) == (text, text)
