"""The audit: everything that is wrong with a source, counted in full and told up to a limit."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effrl.config.data import JsonlSource, MixPart, MixSource, TaskSource
from effrl.config.template import Form
from effrl.data.audit import Findings, Ruler, audit, shared
from effrl.errors import UserError


def write(folder: Path, *rows: Any, name: str = "rows.jsonl") -> JsonlSource:
    path = folder / name
    path.write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))
    return JsonlSource(path=path)


def lines(found: Findings, folder: Path) -> list[str]:
    assert found.count == len(found.lines)
    return [line.replace(f"{folder}/", "") for line in found.lines]


def test_a_clean_source() -> None:
    found = audit(TaskSource(name="chain", size=64))
    assert (found.rows, found.labelled, len(found.places), len(found.lengths)) == (64, 64, 64, 0)
    assert not any(kind.count for kind in (found.malformed, found.repeated, found.conflicts, found.too_long))


def test_all_malformed_rows_are_told(tmp_path: Path) -> None:
    found = audit(write(tmp_path, "[1", {"prompt": "1", "label": "2"}, {"prompt": ""}, {"promt": "1"}, {"prompt": "3"}))
    assert (found.rows, found.labelled) == (2, 1)
    assert [line.split(": ")[0] for line in lines(found.malformed, tmp_path)] == [
        "rows.jsonl:1", "rows.jsonl:3", "rows.jsonl:4",
    ]  # fmt: skip


def test_shared_ids_are_malformed_too(tmp_path: Path) -> None:
    found = audit(write(tmp_path, *({"prompt": str(number), "id": "a"} for number in range(3))))
    assert [line.split(": ")[0] for line in lines(found.malformed, tmp_path)] == ["rows.jsonl:2", "rows.jsonl:3"]


def test_all_are_counted_and_the_first_are_told(tmp_path: Path) -> None:
    found = audit(write(tmp_path, *["broken"] * 25), limit=3)
    assert (found.malformed.count, len(found.malformed.lines)) == (25, 3)


def test_repeated_prompts_spaces_aside(tmp_path: Path) -> None:
    found = audit(write(tmp_path, {"prompt": "1 + 1"}, {"prompt": "1+1"}, {"prompt": " 1 +\n1 "}, {"prompt": "1 + 1"}))
    assert lines(found.repeated, tmp_path) == [
        "rows.jsonl:3 repeats " + str(tmp_path / "rows.jsonl:1").replace(f"{tmp_path}/", ""),
        "rows.jsonl:4 repeats rows.jsonl:1",
    ]
    assert found.conflicts.count == 0


def test_messages_are_compared_turn_by_turn(tmp_path: Path) -> None:
    def row(*turns: tuple[str, str]) -> dict[str, Any]:
        return {"prompt": [{"role": role, "content": content} for role, content in turns]}

    found = audit(write(tmp_path, row(("user", "x")), row(("system", "x")), row(("user", "x")), {"prompt": "x"}))
    assert lines(found.repeated, tmp_path) == ["rows.jsonl:3 repeats rows.jsonl:1"]


def test_one_prompt_with_different_answers(tmp_path: Path) -> None:
    rows = [("x", None), ("x", "46"), ("x", " 46 "), ("x", "work\n#### 46"), ("x", "\\boxed{47}"), ("y", "1")]
    found = audit(write(tmp_path, *({"prompt": prompt, "label": label} for prompt, label in rows)))
    assert lines(found.conflicts, tmp_path) == ['rows.jsonl:5 is answered "47", rows.jsonl:2 "46"']
    assert found.repeated.count == 4


def test_several_acceptable_answers_conflict_where_none_is_shared(tmp_path: Path) -> None:
    rows = [("x", ["1/2", "0.5"]), ("x", "0.5"), ("x", [0.5, "50 %"]), ("x", ["2", "3"])]
    found = audit(write(tmp_path, *({"prompt": prompt, "label": label} for prompt, label in rows)))
    expected = 'rows.jsonl:4 is answered "2" | "3", rows.jsonl:1 "1/2" | "0.5"'
    assert lines(found.conflicts, tmp_path) == [expected]


def test_lengths(tmp_path: Path) -> None:
    source = write(tmp_path, *({"prompt": "1" * length} for length in range(1, 101)))
    found = audit(source, Form("<{prompt}>"), Ruler(lambda prompt: len(str(prompt.content)), room=100), limit=1)
    assert found.quantiles() == {"least": 3, "median": 52, "90 %": 92, "99 %": 101, "most": 102}
    assert (found.too_long.count, found.too_long.lines) == (2, [f"{source.path}:99 has 101 tokens"])


def test_the_parts_of_a_mix_are_compared_with_each_other(tmp_path: Path) -> None:
    one, two = (write(tmp_path, {"prompt": "x", "label": name}, name=f"{name}.jsonl") for name in "ab")
    found = audit(MixSource(parts=(MixPart(source=one), MixPart(source=two))))
    assert lines(found.conflicts, tmp_path) == ['b.jsonl:1 is answered "b", a.jsonl:1 "a"']


def test_held_out_prompts_that_are_trained_on(tmp_path: Path) -> None:
    train = audit(write(tmp_path, {"prompt": "x"}, {"prompt": "y"}, name="train.jsonl"))
    held_out = audit(write(tmp_path, {"prompt": "z"}, {"prompt": " y"}, name="eval.jsonl"))
    assert lines(shared(train, held_out), tmp_path) == ["eval.jsonl:2 is train.jsonl:2"]


def test_tasks_do_not_share_problems_over_splits() -> None:
    train, held_out = (audit(TaskSource(name="chain", split=split, size=64)) for split in ("train", "dev"))
    assert shared(train, held_out).count == 0


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        audit(JsonlSource(path=tmp_path / "nowhere.jsonl"))
    with pytest.raises(UserError, match="the file is empty"):
        audit(write(tmp_path))


rows = st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.sampled_from("123")), min_size=1, max_size=12)


@settings(deadline=None)  # each example writes a file
@given(rows)
def test_counts_add_up(tmp_path_factory: pytest.TempPathFactory, cells: list[tuple[str, str | None]]) -> None:
    folder = tmp_path_factory.mktemp("audit")
    found = audit(write(folder, *({"prompt": prompt, "label": label} for prompt, label in cells)))
    assert found.rows == len(cells) == found.repeated.count + len(found.places)
    assert found.labelled == sum(label is not None for _, label in cells)
    first: dict[str, str] = {}
    differing = [label for prompt, label in cells if label is not None and first.setdefault(prompt, label) != label]
    assert found.conflicts.count == len(differing)
