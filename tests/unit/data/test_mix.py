"""Mixes: rows of several sources under unique ids, in turns by weight."""

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.config import load
from effrl.config.data import JsonlSource, MixPart, MixSource, Source, TaskSource, parse_source, short_form
from effrl.config.template import Form
from effrl.data.mix import interleave
from effrl.data.reader import pools, read, read_pool
from effrl.data.survey import survey
from effrl.errors import UserError


def mix(*parts: tuple[Source, float]) -> MixSource:
    return MixSource(parts=tuple(MixPart(source=source, weight=weight) for source, weight in parts))


def write(folder: Path, name: str, *prompts: str, label: str | None = "1") -> JsonlSource:
    folder.mkdir(exist_ok=True)
    rows = [{"prompt": prompt, **({} if label is None else {"label": label})} for prompt in prompts]
    (folder / name).write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return JsonlSource(path=folder / name)


def test_rows_have_ids_of_their_part_and_take_turns(tmp_path: Path) -> None:
    """The files have one name, and so would their rows."""
    one, two = write(tmp_path / "a", "rows.jsonl", *"abcd"), write(tmp_path / "b", "rows.jsonl", *"xy")
    rows = [row.prompt for row in read(mix((one, 2), (two, 1)))]
    assert [prompt.id for prompt in rows] == [
        "1/rows:1", "1/rows:2", "2/rows:1", "1/rows:3", "1/rows:4", "2/rows:2",
    ]  # fmt: skip
    assert "".join(str(prompt.content) for prompt in rows) == "abxcdy"


def test_pools_have_the_weights_and_the_same_rows(tmp_path: Path) -> None:
    source = mix((write(tmp_path, "a.jsonl", *"abc"), 2), (TaskSource(name="chain", size=4), 0.5))
    assert [pool.weight for pool in pools(source)] == [2, 0.5]
    pooled = [row for pool in pools(source) for row in read_pool(pool, Form("chat"))]
    assert sorted(map(repr, pooled)) == sorted(map(repr, read(source, Form("chat"))))


def test_a_source_alone_keeps_its_ids(tmp_path: Path) -> None:
    (pool,) = pools(write(tmp_path, "a.jsonl", "x"))
    assert [row.prompt.id for row in read_pool(pool)] == ["a:1"]


def test_a_survey_of_all_parts(tmp_path: Path) -> None:
    bare = write(tmp_path, "b.jsonl", "longer", label=None)
    found = survey(mix((write(tmp_path, "a.jsonl", "x", "y"), 1), (bare, 1)))
    assert (found.rows, found.labelled, found.longest_id) == (3, 2, "2/b:1")
    assert found.without_labels == (str(bare.path),)


def test_a_malformed_row_of_a_part(tmp_path: Path) -> None:
    broken = write(tmp_path, "b.jsonl", "x", "")
    with pytest.raises(UserError, match=r'b\.jsonl:2: "prompt" is empty'):
        list(read(mix((write(tmp_path, "a.jsonl", "x"), 1), (broken, 1))))


weights = st.lists(st.floats(0.01, 100), min_size=1, max_size=4)


@given(weights, st.data())
def test_turns_are_proportional_as_long_as_all_have_something_left(shares: list[float], data: st.DataObject) -> None:
    sizes = [data.draw(st.integers(0, 40)) for _ in shares]
    items = list(
        interleave([(share, [part] * size) for part, (share, size) in enumerate(zip(shares, sizes, strict=True))])
    )
    assert Counter(items) == Counter({part: size for part, size in enumerate(sizes) if size})
    until = min((index for index in range(len(items) + 1) if _spent(items[:index], sizes)), default=0)
    for end in range(until):
        for part, share in enumerate(shares):
            due = end * share / sum(shares)
            assert abs(items[:end].count(part) - due) <= len(shares)


def _spent(items: list[int], sizes: list[int]) -> bool:
    return any(items.count(part) == size for part, size in enumerate(sizes))


# --- the short forms


def test_lists_of_sources() -> None:
    text = 'data.train=[{source: "a.jsonl?label=answer", weight: 2}, "tasks:chain?size=8", {kind: jsonl, path: b}]'
    config = load.load("quickstart", [text])
    assert config.data.train == mix(
        (JsonlSource(path=Path("a.jsonl"), label="answer"), 2),
        (TaskSource(name="chain", size=8), 1),
        (JsonlSource(path=Path("b")), 1),
    )
    assert load.validate(json.loads(config.model_dump_json()), "dumped") == config


keys = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@given(
    location=st.sampled_from(["a/b.jsonl", "b.parquet", "folder:x/y", "hf:a/b"]),
    options=st.dictionaries(st.sampled_from(["prompt", "label", "id"]), keys),
)
def test_a_short_form_reads_as_what_it_was_made_of(location: str, options: dict[str, str]) -> None:
    config = load.validate({"data": {"train": {**dict(parse_source(location)), **options}}}, "x")  # type: ignore[call-overload]
    again = load.validate({"data": {"train": short_form(config.data.train)}}, "x")
    assert again == config


def test_options_of_short_forms() -> None:
    for text in ("hf:openai/gsm8k?config=main&split=test&revision=refs/convert/parquet", "tasks:chain?split=dev"):
        assert short_form(load.validate({"data": {"train": text}}, "x").data.train) == text
