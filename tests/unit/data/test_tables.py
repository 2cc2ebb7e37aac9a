"""Parquet: the same rows as from JSON Lines, one batch at a time, and one line for each way to be wrong."""

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effrl.config.data import JsonlSource, ParquetSource
from effrl.data.reader import read
from effrl.data.survey import survey
from effrl.errors import UserError
from effrl.types import Prompt, Row


def write(folder: Path, *rows: dict[str, Any], name: str = "rows.parquet", **keys: str) -> ParquetSource:
    path = folder / name
    pq.write_table(pa.Table.from_pylist(list(rows)), path)
    return ParquetSource(path=path, **keys)


def error_of(source: ParquetSource) -> str:
    with pytest.raises(UserError) as caught:
        list(read(source))
    message = str(caught.value)
    assert "\n" not in message, "errors are one line"
    return message


def test_rows_as_documented(tmp_path: Path) -> None:
    source = write(
        tmp_path,
        {"question": "1+1=", "answer": 2, "level": 3, "tags": ["easy"]},
        {"question": "Zahl: ä", "answer": None, "level": None, "tags": None},
        prompt="question",
        label="answer",
    )
    assert list(read(source)) == [
        Row(Prompt("rows:1", "1+1=", {"level": 3, "tags": ["easy"]}), "2"),
        Row(Prompt("rows:2", "Zahl: ä", {"level": None, "tags": None}), None),
    ]
    assert survey(source).rows == 2


def test_messages_and_labels_inside_of_structs(tmp_path: Path) -> None:
    """The layout that verl writes, with messages whose other keys are null."""
    source = write(
        tmp_path,
        {
            "prompt": [{"role": "system", "content": "Add.", "name": None}, {"role": "user", "content": "2+2?"}],
            "reward_model": {"ground_truth": "4", "style": "rule"},
        },
        label="reward_model.ground_truth",
    )
    messages = ({"role": "system", "content": "Add."}, {"role": "user", "content": "2+2?"})
    assert list(read(source)) == [Row(Prompt("rows:1", messages, {"reward_model": {"style": "rule"}}), "4")]


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e"), min_size=1).filter(
    lambda value: bool(value.strip())
)
message = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": text})


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    prompts=st.lists(text, min_size=1, max_size=8) | st.lists(st.lists(message, min_size=1), min_size=1, max_size=8),
    labels=st.lists(st.none() | text, min_size=8, max_size=8),
    numbers=st.lists(st.none() | st.floats(allow_nan=False, allow_infinity=False), min_size=8, max_size=8),
    tags=st.lists(st.none() | st.lists(text), min_size=8, max_size=8),
)
def test_parquet_and_json_lines_of_the_same_rows_read_the_same(
    tmp_path: Path, prompts: list[Any], labels: list[Any], numbers: list[Any], tags: list[Any]
) -> None:
    columns = zip(prompts, labels, numbers, tags, strict=False)
    rows = [dict(zip(("prompt", "label", "difficulty", "tags"), cells, strict=True)) for cells in columns]
    table = write(tmp_path, *rows)
    lines = tmp_path / "rows.jsonl"
    lines.write_bytes(b"\n".join(json.dumps(row).encode() for row in rows))
    assert list(read(table)) == list(read(JsonlSource(path=lines)))


def test_what_json_does_not_have(tmp_path: Path) -> None:
    when = datetime(2026, 1, 31, tzinfo=UTC)
    row = {
        "prompt": "1",
        "digest": b"123",
        "when": when,
        "cost": Decimal("1.50"),
        "score": float("nan"),
        "m": {"b": b""},
    }
    (read_row,) = read(write(tmp_path, row))
    assert read_row.prompt.meta == {"when": "2026-01-31T00:00:00+00:00", "cost": "1.50", "score": None, "m": {}}
    json.dumps(read_row.prompt.meta)


def test_a_label_that_is_missing_in_a_column_of_numbers(tmp_path: Path) -> None:
    """As pandas writes it."""
    rows = read(write(tmp_path, {"prompt": "1", "label": float("nan")}, {"prompt": "2", "label": 0.5}))
    assert [row.label for row in rows] == [None, "0.5"]


@pytest.mark.parametrize(
    ("cells", "problem"),
    [
        ({"prompt": None}, '"prompt" is null: write a string'),
        ({"prompt": " "}, '"prompt" is empty: write some text'),
        ({"label": ""}, '"label" is empty: leave it out or write null'),
        ({"id": "row 1"}, 'id "row 1" was used in row 2 already: make ids unique'),
    ],
)
def test_a_malformed_row_is_named_with_its_number(tmp_path: Path, cells: dict[str, Any], problem: str) -> None:
    rows = [{"prompt": "1+1=", "label": "2", "id": f"row {number}"} for number in range(600)]
    source = write(tmp_path, *rows, {**rows[0], "id": "last", **cells})
    assert error_of(source).startswith(f"{source.path}, row 601: {problem}")


def test_a_missing_prompt_comes_with_the_source_that_would_work(tmp_path: Path) -> None:
    source = write(tmp_path, {"question": "1", "answer": "2"})
    assert f'data.train="{source.path}?prompt=question&label=answer"' in error_of(source)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    good, bad = pa.array([b"good"], pa.binary()), pa.array([b"\xff"], pa.binary())
    column = pa.chunked_array([good.view(pa.string()), bad.view(pa.string())])
    pq.write_table(pa.table({"prompt": column}), tmp_path / "rows.parquet")
    assert ", row 2: a text is not UTF-8" in error_of(ParquetSource(path=tmp_path / "rows.parquet"))


def test_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"prompt": pa.array([], pa.string())}), path)
    assert error_of(ParquetSource(path=path)) == f"{path}: no rows"


def test_no_file(tmp_path: Path) -> None:
    assert "no such file" in error_of(ParquetSource(path=tmp_path / "rows.parquet"))
    assert f"write folder:{tmp_path}" in error_of(ParquetSource(path=tmp_path))


def test_no_parquet_file(tmp_path: Path) -> None:
    """A clone without its large files, for one."""
    path = tmp_path / "rows.parquet"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert error_of(ParquetSource(path=path)).startswith(f"{path}: no readable Parquet file (Parquet magic bytes not")


def test_a_file_that_is_damaged_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    rows = [{"prompt": f"{number}+1="} for number in range(20_000)]
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=5000, compression="gzip", use_dictionary=False)
    content = bytearray(path.read_bytes())
    middle = len(content) * 3 // 5
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)
    message = error_of(ParquetSource(path=path))
    assert "no readable Parquet file after row " in message and "download it again" in message


@pytest.mark.parametrize("group", [100, 4000])
def test_a_large_file_is_streamed(tmp_path: Path, group: int) -> None:
    """One row group or many: only a part of it is ever in memory."""
    rows, size = 4000, 5000
    path = tmp_path / "rows.parquet"
    column = pa.array([f"{number:06}" * (size // 6) for number in range(rows)])
    pq.write_table(pa.table({"prompt": column}), path, row_group_size=group, compression="none", use_dictionary=False)
    del column
    before, peak = pa.total_allocated_bytes(), 0
    for row in read(ParquetSource(path=path)):
        assert row.label is None
        peak = max(peak, pa.total_allocated_bytes() - before)
    assert path.stat().st_size > rows * size * 0.9
    assert 0 < peak < rows * size / 3
