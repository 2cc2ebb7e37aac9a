"""Labels as data sets have them: bare, in a list, inside of objects, as a message, as a short float."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from effrl.acceptable import alternatives
from effrl.config.data import JsonlSource, ParquetSource
from effrl.data.reader import read
from effrl.types import Row


def row(folder: Path, value: dict[str, Any], **keys: str) -> Row:
    (folder / "rows.jsonl").write_text(json.dumps({"prompt": "x", **value}))
    [found] = read(JsonlSource(path=folder / "rows.jsonl", **keys))
    return found


def answers(found: Row) -> tuple[str, ...]:
    assert found.label is not None
    return alternatives(found.label)


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        (["1/2", "0.5"], ("1/2", "0.5")),
        ([3, 3.5, "3,5"], ("3", "3.5", "3,5")),
        (["18"], ("18",)),
        (["18", "18"], ("18",)),
        ({"target": "18"}, ("18",)),
        ({"target": [18, "eighteen"]}, ("18", "eighteen")),
        ({"ground_truth": {"target": 24}}, ("24",)),
        ({"role": "assistant", "content": "#### 18"}, ("#### 18",)),
        ([{"role": "assistant", "content": [{"type": "text", "text": "18"}]}], ("18",)),
    ],
)
def test_forms_of_labels(tmp_path: Path, label: Any, expected: tuple[str, ...]) -> None:
    found = row(tmp_path, {"label": label})
    assert answers(found) == expected
    assert found.prompt.meta == {}


def test_what_else_an_object_holds_stays_in_the_row(tmp_path: Path) -> None:
    """As verl writes a countdown: the numbers are part of the question."""
    value = {"reward_model": {"style": "rule", "ground_truth": {"target": 24, "numbers": [1, 2, 12]}}}
    for key in ("reward_model", "reward_model.ground_truth", "reward_model.ground_truth.target"):
        found = row(tmp_path, value, label=key)
        assert answers(found) == ("24",)
        assert found.prompt.meta == {"reward_model": {"style": "rule", "ground_truth": {"numbers": [1, 2, 12]}}}


def test_the_last_message_may_be_the_label(tmp_path: Path) -> None:
    turns = [{"from": "human", "value": "6+8?"}, {"from": "gpt", "value": "14"}]
    found = row(tmp_path, {"conversations": turns}, prompt="conversations", label="conversations.-1")
    assert (found.prompt.content, found.label) == (({"role": "user", "content": "6+8?"},), "14")


def test_a_place_that_a_list_does_not_have_is_no_label(tmp_path: Path) -> None:
    assert row(tmp_path, {"answers": ["1"]}, label="answers.1").label is None
    assert row(tmp_path, {"answers": ["1", "2"]}, label="answers.1").label == "2"


@pytest.mark.parametrize("kind", [pa.float32(), pa.float16(), pa.float64()])
def test_floats_have_the_digits_that_they_were_written_with(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table(
        {
            "prompt": ["x"],
            "label": pa.array([[1.2, 0.1]], pa.list_(kind)),
            "score": pa.array([{"value": 0.3}], pa.struct([("value", kind)])),
            "parts": pa.array([[("a", 0.7)]], pa.map_(pa.string(), kind)),
        }
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    [found] = read(ParquetSource(path=tmp_path / "rows.parquet"))
    assert answers(found) == ("1.2", "0.1")
    assert found.prompt.meta == {"score": {"value": 0.3}, "parts": [["a", 0.7]]}


def test_decimals_are_written_out(tmp_path: Path) -> None:
    table = pa.table({"prompt": ["x"], "label": pa.array([120], pa.decimal128(9, 2))})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert [found.label for found in read(ParquetSource(path=tmp_path / "rows.parquet"))] == ["120.00"]
