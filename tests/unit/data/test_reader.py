"""The reader: rows as they should be, and one helpful line for each way in which they are not."""

import gzip
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from effrl.config.data import JsonlSource, TaskSource
from effrl.data.reader import placed, read
from effrl.data.survey import Survey, survey
from effrl.errors import UserError
from effrl.tasks.source import problems
from effrl.types import Message, Prompt, Row

GOOD = b'{"prompt": "1+1=", "label": "2"}'


def write(folder: Path, *lines: bytes | dict[str, Any], name: str = "rows.jsonl", **keys: str) -> JsonlSource:
    path = folder / name
    path.write_bytes(b"\n".join(line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines))
    return JsonlSource(path=path, **keys)


def error_of(source: JsonlSource | TaskSource) -> str:
    with pytest.raises(UserError) as caught:
        list(read(source))
    message = str(caught.value)
    assert "\n" not in message, "errors are one line"
    return message


def test_rows_as_documented(tmp_path: Path) -> None:
    messages = [{"role": "system", "content": "Add."}, {"role": "user", "content": "2+2?"}]
    source = write(
        tmp_path,
        {"prompt": "1+1=", "label": "2", "id": "sums/1", "level": 3, "tags": ["easy"]},
        b"",
        {"prompt": messages, "label": None},
        b"   \t ",
        {"prompt": "Zahl: ä", "id": 17},
    )
    assert list(read(source)) == [
        Row(Prompt("sums/1", "1+1=", {"level": 3, "tags": ["easy"]}), "2"),
        Row(Prompt("rows:3", tuple(messages), {}), None),  # type: ignore[arg-type]
        Row(Prompt("17", "Zahl: ä", {}), None),
    ]


def test_rows_with_their_places(tmp_path: Path) -> None:
    source = write(tmp_path, GOOD, b"", GOOD)
    assert [(place, row.prompt.id) for place, row in placed(source)] == [
        (f"{source.path}:1", "rows:1"),
        (f"{source.path}:3", "rows:3"),
    ]
    assert [place for place, _ in placed(TaskSource(name="chain", size=2))][1].endswith(", row 2")


def test_other_keys(tmp_path: Path) -> None:
    line = {"question": "1+1=", "answer": "2", "uid": "x", "label": "meta", "prompt": "meta", "id": 3}
    (row,) = read(write(tmp_path, line, prompt="question", label="answer", id="uid"))
    assert row == Row(Prompt("x", "1+1=", {"label": "meta", "prompt": "meta", "id": 3}), "2")


@pytest.mark.parametrize(
    ("label", "text"),
    [("46", "46"), (46, "46"), (-3, "-3"), (2.5, "2.5"), (1e-05, "0.00001"), (10**30, "1" + "0" * 30)],
)
def test_numbers_become_text(tmp_path: Path, label: object, text: str) -> None:
    (row,) = read(write(tmp_path, {"prompt": "x", "label": label}))
    assert row.label == text


def test_windows_line_ends_and_a_byte_order_mark(tmp_path: Path) -> None:
    rows = list(read(write(tmp_path, b"\xef\xbb\xbf" + GOOD + b"\r\n\r\n" + GOOD + b"\r")))
    assert [row.prompt.id for row in rows] == ["rows:1", "rows:3"]


def test_line_separators_inside_of_text_do_not_end_a_line(tmp_path: Path) -> None:
    (row,) = read(write(tmp_path, '{"prompt": "a\u2028b\x85c"}'.encode()))
    assert row.prompt.content == "a\u2028b\x85c"


MALFORMED: dict[str, tuple[bytes, str]] = {
    "not json": (b"prompt: 1+1", "not JSON (Expecting value at column 1): write one JSON object per line"),
    "cut short": (b'{"prompt": "1+1', "not JSON (Unterminated string"),
    "two objects": (b'{"prompt": "1"} {"prompt": "2"}', "not JSON (Extra data"),
    "nan": (b'{"prompt": "1", "label": NaN}', "NaN is not JSON"),
    "too deep": (b'{"prompt": ' + b"[" * 100_000, "nested too deeply"),
    "too many digits": (b'{"prompt": "1", "label": ' + b"9" * 5000 + b"}", "write such values as strings"),
    "a list": (b'["1+1"]', "not an object but a list"),
    "a string": (b'"1+1"', "not an object but a string"),
    "a number": (b"3", "not an object but a number"),
    "null": (b"null", "not an object but null"),
    "empty object": (b"{}", 'no "prompt", the row is an empty object'),
    "not utf-8": (b'{"prompt": "\xff"}', "not UTF-8 (byte 13 of the line): convert the file to UTF-8"),
    "missing prompt": (b'{"question": "1", "label": "2"}', 'no key "prompt", the row has "question", "label"'),
    "prompt null": (b'{"prompt": null}', '"prompt" is null: write a string, or a list of messages'),
    "prompt number": (b'{"prompt": 3}', '"prompt" is a number'),
    "prompt object": (b'{"prompt": {"role": "user"}}', '"prompt" is an object'),
    "prompt empty": (b'{"prompt": ""}', '"prompt" is empty: write some text'),
    "prompt blank": (b'{"prompt": " \\n"}', '"prompt" is empty: write some text'),
    "prompt empty list": (b'{"prompt": []}', '"prompt" is an empty list'),
    "prompt surrogate": (b'{"prompt": "\\ud800"}', '"prompt" holds half of a surrogate pair'),
    "message string": (b'{"prompt": ["hi"]}', 'message 1 of "prompt" is a string'),
    "message role": (b'{"prompt": [{"content": "x"}]}', 'message 1 of "prompt" has no role'),
    "message content": (b'{"prompt": [{"role": "user"}]}', 'message 1 of "prompt" has no content'),
    "message content type": (
        b'{"prompt": [{"role": "user", "content": "x"}, {"role": "user", "content": [1]}]}',
        'part 1 of message 2 of "prompt" is no text: write {"type": "text"',
    ),
    "message content empty": (
        b'{"prompt": [{"role": "user", "content": ""}]}',
        'content of message 1 of "prompt" is empty',
    ),
    "message extra": (
        b'{"prompt": [{"role": "user", "content": "x", "name": "Ann"}]}',
        'message 1 of "prompt" has the key "name", which nothing reads',
    ),
    "label empty": (b'{"prompt": "1", "label": ""}', '"label" is empty: leave it out or write null'),
    "label true": (b'{"prompt": "1", "label": true}', '"label" is true or false: write a string or a number'),
    "label object": (
        b'{"prompt": "1", "label": {"a": 2}}',
        '"label" is an object: name the key in it, like label=label.a',
    ),
    "label empty object": (b'{"prompt": "1", "label": {}}', '"label" is an object: write a string or a number'),
    "python": (b"{'prompt': '1'}", "this is Python's way to write a dict; write it with json.dumps"),
    "messages as text": (
        b"""{"prompt": "[{'role': 'user', 'content': 'x'}]"}""",
        '"prompt" is a text that holds messages',
    ),
    "label empty list": (b'{"prompt": "1", "label": []}', '"label" is an empty list: write the acceptable answers'),
    "label null in a list": (b'{"prompt": "1", "label": ["2", null]}', 'answer 2 of "label" is null'),
    "label list in a list": (b'{"prompt": "1", "label": [["2"]]}', 'answer 1 of "label" is a list'),
    "label separator": (b'{"prompt": "1", "label": "2\\u001e3"}', '"label" holds the control character U+001E'),
    "label too large": (b'{"prompt": "1", "label": 1e999}', '"label" is too large a number: write it as a string'),
    "id empty": (b'{"prompt": "1", "id": ""}', '"id" is empty: leave it out to number rows by line'),
    "id float": (b'{"prompt": "1", "id": 1.5}', '"id" is a number: write a string or a whole number'),
    "id false": (b'{"prompt": "1", "id": false}', '"id" is true or false'),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_row_is_named_with_its_line(tmp_path: Path, name: str) -> None:
    line, expected = MALFORMED[name]
    source = write(tmp_path, GOOD, b"", GOOD, line, GOOD)
    message = error_of(source)
    assert message.startswith(f"{source.path}:4: ")
    assert expected in message
    assert len(message) < 400 + len(str(source.path)) * 2


def test_rows_before_a_malformed_one_are_read(tmp_path: Path) -> None:
    rows = read(write(tmp_path, GOOD, b"broken"))
    assert next(rows).label == "2"
    with pytest.raises(UserError, match=":2: "):
        next(rows)


def test_a_shared_id_names_both_lines(tmp_path: Path) -> None:
    source = write(tmp_path, {"prompt": "1", "id": "a"}, GOOD, b"", {"prompt": "2", "id": "a"})
    assert error_of(source) == f'{source.path}:4: id "a" was used on line 1 already: make ids unique'


def test_an_id_like_a_numbered_row_is_shared_too(tmp_path: Path) -> None:
    source = write(tmp_path, GOOD, {"prompt": "2", "id": "rows:1"})
    assert ':2: id "rows:1" was used on line 1 already' in error_of(source)


@pytest.mark.parametrize(
    ("row", "options", "query"),
    [
        ({"question": "1", "answer": "2"}, {"label": "answer"}, "prompt=question&label=answer"),
        ({"id": "7", "promt": "1", "question": "2"}, {}, "prompt=promt"),
        ({"id": "7", "label": "2", "stem": "1"}, {}, "prompt=stem"),
        ({"label": "2"}, {}, "prompt=label"),
        ({"my question & more": "1"}, {"id": "uid"}, "prompt=my+question+%26+more&id=uid"),
        ({"question": "1", "answer": "2"}, {}, "prompt=question&label=answer"),
        ({"question": "1", "answer": "2", "label": "3"}, {}, "prompt=question"),
        ({"question": "1", "answer": "2"}, {"label": "gold.answer"}, "prompt=question&label=gold.answer"),
    ],
)
def test_a_missing_prompt_key_comes_with_the_source_that_would_work(
    tmp_path: Path, row: dict[str, str], options: dict[str, str], query: str
) -> None:
    source = write(tmp_path, row, **options)
    assert f'data.train="{source.path}?{query}"' in error_of(source)


def test_keys_of_a_strange_row_stay_on_one_short_line(tmp_path: Path) -> None:
    keys = {f"key\n{number}" + "x" * 500: 1 for number in range(100)}
    assert len(error_of(write(tmp_path, keys))) < 2000


def test_a_label_must_not_double_as_prompt_or_id(tmp_path: Path) -> None:
    source = write(tmp_path, GOOD, prompt="answer", label="answer")
    assert "three different keys" in error_of(source)


@pytest.mark.parametrize("content", [b"", b"\n\n  \n", b"\xef\xbb\xbf"])
def test_an_empty_file(tmp_path: Path, content: bytes) -> None:
    source = write(tmp_path, content)
    assert error_of(source) == f"{source.path}: the file is empty; write one JSON object per line"
    with pytest.raises(UserError, match="empty"):
        survey(source)


def test_a_missing_file_and_a_directory(tmp_path: Path) -> None:
    assert "no such file" in error_of(JsonlSource(path=tmp_path / "nowhere.jsonl"))
    assert "this is a directory" in error_of(JsonlSource(path=tmp_path))
    file = write(tmp_path, GOOD)
    assert "cannot be read (Not a directory)" in error_of(JsonlSource(path=file.path / "below"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("*.jsonl", "patterns are not read: name the files in a list, or their directory, folder:"),
        ("a.jsonl,b.jsonl", "several files are a list: ['a.jsonl', 'b.jsonl']"),
        ("a.jsonl&label=x", "options follow a question mark: rows.jsonl?prompt=question&label=answer"),
    ],
)
def test_a_file_that_cannot_be_one_comes_with_what_was_meant(tmp_path: Path, name: str, hint: str) -> None:
    assert f"{name}: no such file; {hint}" in error_of(JsonlSource(path=tmp_path / name))


def test_a_byte_order_mark_of_each_file_that_was_put_into_one(tmp_path: Path) -> None:
    assert len(list(read(write(tmp_path, GOOD, b"\xef\xbb\xbf" + GOOD)))) == 2


def test_tasks() -> None:
    source = TaskSource(name="chain", split="dev", size=64, seed=3)
    rows = list(read(source))
    expected = list(problems("chain", "dev", 64, 3, range(5), "abcdefgh"))
    assert [row.prompt.content for row in rows] == [problem.prompt for problem in expected]
    assert [row.label for row in rows] == [problem.answer for problem in expected]
    assert [row.prompt.meta for row in rows] == [
        {"family": "chain", "level": problem.level, "kind": problem.kind} for problem in expected
    ]
    assert all(re.fullmatch(r"chain/[0-9a-f]{12}", row.prompt.id) for row in rows)
    assert len({row.prompt.id for row in rows}) == 64


def test_levels_and_kinds_of_tasks() -> None:
    rows = list(read(TaskSource(name="strings", size=60, levels="1-2", kinds="QR")))
    assert {(row.prompt.meta["level"], row.prompt.meta["kind"]) for row in rows} == {
        (level, kind) for level in (1, 2) for kind in "QR"
    }


def test_data_sets_of_reasoning_gym() -> None:
    rows = list(read(TaskSource(name="chain_sum", size=20)))
    assert len({row.prompt.id for row in rows}) == 20 and rows[0].prompt.meta == {"family": "chain_sum"}


def test_tasks_that_run_out() -> None:
    with pytest.raises(UserError, match="not 5000; lower size"):
        list(read(TaskSource(name="knights", split="dev", size=5000, levels="0", kinds="I")))


def test_ids_of_tasks_depend_on_the_prompt_alone() -> None:
    def of(seed: int) -> dict[object, str]:
        return {row.prompt.content: row.prompt.id for row in read(TaskSource(name="chain", size=256, seed=seed))}

    one, two = of(1), of(2)
    shared = one.keys() & two.keys()
    assert shared, "small levels have few problems"
    assert all(one[prompt] == two[prompt] for prompt in shared)


def test_keys_inside_of_objects(tmp_path: Path) -> None:
    """As many published data sets have them: the label below ``reward_model``, and it must not stay there."""
    line = {"prompt": "1+1=", "reward_model": {"ground_truth": "2", "style": "rule"}, "extra": {"index": 7}}
    (row,) = read(write(tmp_path, line, label="reward_model.ground_truth", id="extra.index"))
    assert row == Row(Prompt("7", "1+1=", {"reward_model": {"style": "rule"}, "extra": {}}), "2")


def test_a_key_with_a_dot_comes_before_a_path(tmp_path: Path) -> None:
    (row,) = read(write(tmp_path, {"prompt": "1", "a.b": "2", "a": {"b": "3"}}, label="a.b"))
    assert row == Row(Prompt("rows:1", "1", {"a": {"b": "3"}}), "2")


def test_a_path_that_leads_nowhere_is_no_label(tmp_path: Path) -> None:
    rows = read(write(tmp_path, {"prompt": "1", "a": "text"}, {"prompt": "2", "a": {}}, label="a.b"))
    assert [row.label for row in rows] == [None, None]


def test_a_key_of_a_message_that_is_null_is_none(tmp_path: Path) -> None:
    (row,) = read(write(tmp_path, {"prompt": [{"role": "user", "content": "x", "name": None}]}))
    assert row.prompt.content == ({"role": "user", "content": "x"},)


def test_survey(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "ääää"}, {"role": "assistant", "content": "b"}]
    source = write(tmp_path, GOOD, {"prompt": messages, "id": "long"}, {"prompt": "ääää"})
    sample = Prompt("long", (Message(role="user", content="ääää"), Message(role="assistant", content="b")))
    assert survey(source) == Survey(3, 1, 9, "long", conversations=1, samples=(sample,), prefilled=1)


def test_packed_files_have_the_ids_of_what_is_in_them(tmp_path: Path) -> None:
    plain = list(read(write(tmp_path, GOOD, GOOD)))
    lines = GOOD + b"\n" + GOOD
    halves = gzip.compress(lines[:20]) + gzip.compress(lines[20:])  # two members, as appending makes them
    for name, packed in {"gz": halves, "zst": pa.compress(lines, "zstd", asbytes=True)}.items():
        (tmp_path / f"rows.jsonl.{name}").write_bytes(packed)
        assert list(read(JsonlSource(path=tmp_path / f"rows.jsonl.{name}"))) == plain


def test_a_survey_notes_what_is_probably_not_meant(tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}]
    rows = [{"prompt": turns}, {"prompt": turns[:1], "label": "None"}, {"prompt": "1", "label": ["nan", "null "]}]
    source = write(tmp_path, *rows, {"prompt": "1", "label": ["none", "0"]})
    prefilled, doubtful = survey(source).notes("data.train")
    assert prefilled.startswith("data.train: 1 of 4 prompts end with the assistant's turn")
    assert doubtful.startswith("data.train: 2 of 3 labels say nothing (nan, None, null)")
    assert survey(write(tmp_path, GOOD)).notes("data.train") == []


def test_survey_of_tasks() -> None:
    found = survey(TaskSource(name="chain", size=32))
    assert (found.rows, found.labelled, found.without_labels) == (32, 32, ())


def test_survey_says_where_there_are_no_labels(tmp_path: Path) -> None:
    source = write(tmp_path, {"prompt": "1"})
    assert survey(source).without_labels == (str(source.path),)


@pytest.mark.parametrize(
    ("row", "query"),
    [
        ({"answer": "2"}, "label=answer"),
        ({"reward_model": {"style": "rule", "ground_truth": "2"}}, "label=reward_model.ground_truth"),
        ({"Label": 2}, "label=Label"),
    ],
)
def test_a_survey_finds_where_labels_may_be(tmp_path: Path, row: dict[str, Any], query: str) -> None:
    source = write(tmp_path, {"prompt": "1+1", **row})
    assert survey(source).label_hint == f"{source.path}?{query}"
    assert (
        survey(write(tmp_path, {"prompt": "1+1", "level": 3, "answer": None})).label_hint == "file.jsonl?label=answer"
    )


def test_survey_reads_to_the_end(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=":21: not JSON"):
        survey(write(tmp_path, *[GOOD] * 20, b"broken"))


def test_a_large_file_is_streamed(tmp_path: Path) -> None:
    rows, size = 2000, 10_000
    source = write(tmp_path, *[json.dumps({"prompt": "x" * size}).encode()] * rows)
    tracemalloc.start()
    try:
        assert survey(source).rows == rows
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < rows * size / 20
