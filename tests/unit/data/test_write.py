"""Writing a source: what is read back is what was read."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effrl.config.data import JsonlSource, TaskSource
from effrl.data.reader import read
from effrl.data.write import write
from effrl.errors import UserError


def source(folder: Path, *rows: Any, **keys: str) -> JsonlSource:
    path = folder / "in.jsonl"
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return JsonlSource(path=path, **keys)


def test_tasks(tmp_path: Path) -> None:
    tasks = TaskSource(name="chain", size=64)
    assert write(tasks, tmp_path / "out.jsonl") == (64, 64)
    assert list(read(JsonlSource(path=tmp_path / "out.jsonl"))) == list(read(tasks))
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]


def test_other_keys_get_their_usual_names(tmp_path: Path) -> None:
    rows = source(tmp_path, {"question": "1+1=", "a": {"b": "2"}, "level": 1}, prompt="question", label="a.b")
    write(rows, tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {
        "id": "in:1", "prompt": "1+1=", "label": "2", "a": {}, "level": 1,
    }  # fmt: skip


def test_several_acceptable_answers_stay_a_list(tmp_path: Path) -> None:
    write(source(tmp_path, {"prompt": "x", "label": ["1/2", 0.5]}), tmp_path / "out.jsonl")
    assert json.loads((tmp_path / "out.jsonl").read_text())["label"] == ["1/2", "0.5"]
    (row,) = read(JsonlSource(path=tmp_path / "out.jsonl"))
    assert row.label == "1/2\x1e0.5"


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e"), min_size=1).filter(
    lambda value: bool(value.strip())
)
message = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": text})
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
row = st.fixed_dictionaries(
    {"prompt": text | st.lists(message, min_size=1, max_size=3)},
    optional={
        "label": st.none() | text | st.integers() | st.lists(text | st.integers(), min_size=1, max_size=3),
        "level": values,
        "tags": values,
    },
)


@settings(deadline=None)  # each example writes a file
@given(st.lists(row, min_size=1, max_size=6))
def test_what_is_written_reads_as_the_same_rows(tmp_path_factory: pytest.TempPathFactory, rows: list[Any]) -> None:
    """Halves of surrogate pairs in other keys too: JSON can spell them."""
    folder = tmp_path_factory.mktemp("write")
    given = source(folder, *rows)
    count = write(given, folder / "out.jsonl")
    assert count == (len(rows), sum(row.get("label") is not None for row in rows))
    assert list(read(JsonlSource(path=folder / "out.jsonl"))) == list(read(given))


def refused(rows: JsonlSource, path: Path) -> str:
    with pytest.raises(UserError) as caught:
        write(rows, path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").write_text("mine")
    assert "out.jsonl exists: choose another name" in refused(source(tmp_path, {"prompt": "1"}), tmp_path / "out.jsonl")
    assert (tmp_path / "out.jsonl").read_text() == "mine"


def test_a_source_that_is_malformed_leaves_nothing(tmp_path: Path) -> None:
    assert "in.jsonl:2: not JSON" in refused(source(tmp_path, {"prompt": "1"}, "x"), tmp_path / "out.jsonl")
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_what_cannot_be_written(tmp_path: Path) -> None:
    rows = source(tmp_path, {"prompt": "1"})
    assert "ends in .jsonl" in refused(rows, tmp_path / "out.parquet")
    assert "cannot be written (No such file or directory)" in refused(rows, tmp_path / "nowhere" / "out.jsonl")


def test_a_key_that_would_read_as_something_else(tmp_path: Path) -> None:
    rows = source(tmp_path, {"prompt": "1", "answer": "2", "label": "easy"}, label="answer")
    assert "row in:1 has a key 'label' that is not its label" in refused(rows, tmp_path / "out.jsonl")


def test_a_value_that_json_does_not_have(tmp_path: Path) -> None:
    rows = source(tmp_path, '{"prompt": "1", "cost": 1e999}')
    assert "row in:1 holds a value that JSON does not have" in refused(rows, tmp_path / "out.jsonl")
