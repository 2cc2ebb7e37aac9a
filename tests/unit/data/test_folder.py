"""Data sets in directories: what ``save_to_disk`` writes, and the layouts of hub repositories."""

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from layouts import GSM8K_CARD, GSM8K_FILES

from effrl.config.data import FolderSource
from effrl.data.folder import card_of, choose
from effrl.data.reader import read
from effrl.errors import UserError
from effrl.types import Prompt, Row


def save(directory: Path, *shards: list[dict[str, Any]], split: str | None = None) -> Path:
    """What ``Dataset.save_to_disk`` writes: Arrow streams, and a ``state.json`` that names them in order."""
    directory.mkdir(parents=True)
    names = [f"data-{number:05}-of-{len(shards):05}.arrow" for number in range(len(shards))]
    for name, rows in zip(names, shards, strict=True):
        table = pa.Table.from_pylist(rows)
        with pa.OSFile(str(directory / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as stream:
            stream.write_table(table, max_chunksize=2)
    state = {"_data_files": [{"filename": name} for name in names], "_split": split, "_format_type": None}
    (directory / "state.json").write_text(json.dumps(state))
    (directory / "dataset_info.json").write_text("{}")
    return directory


def rows(*prompts: str) -> list[dict[str, Any]]:
    return [{"prompt": prompt, "label": prompt.upper()} for prompt in prompts]


def prompts(source: FolderSource) -> list[str]:
    return [str(row.prompt.content) for row in read(source)]


def error_of(source: FolderSource) -> str:
    with pytest.raises(UserError) as caught:
        list(read(source))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- save_to_disk


def test_a_saved_data_set(tmp_path: Path) -> None:
    path = save(tmp_path / "sums", rows("a", "b", "c"), rows("d"))
    assert list(read(FolderSource(path=path))) == [
        Row(Prompt(f"sums/train:{number}", prompt, {}), prompt.upper()) for number, prompt in enumerate("abcd", start=1)
    ]


def test_a_saved_dictionary_of_splits(tmp_path: Path) -> None:
    save(tmp_path / "sums" / "train", rows("a"))
    save(tmp_path / "sums" / "dev", rows("b"))
    (tmp_path / "sums" / "dataset_dict.json").write_text('{"splits": ["train", "dev"]}')
    assert prompts(FolderSource(path=tmp_path / "sums")) == ["a"]
    (row,) = read(FolderSource(path=tmp_path / "sums", split="dev"))
    assert row.prompt == Prompt("sums/dev:1", "b", {})
    assert error_of(FolderSource(path=tmp_path / "sums", split="test")).endswith("no split 'test'; it has train, dev")


def test_a_malformed_row_is_named_with_its_file(tmp_path: Path) -> None:
    path = save(tmp_path / "sums", rows("a", "b"), [{"prompt": "c"}, {"prompt": " "}])
    assert f'{path}/data-00001-of-00002.arrow, row 2: "prompt" is empty' in error_of(FolderSource(path=path))


def test_a_damaged_arrow_file(tmp_path: Path) -> None:
    path = save(tmp_path / "sums", rows("a"))
    (path / "data-00000-of-00001.arrow").write_bytes(b"version https://git-lfs")
    assert "no readable Arrow stream" in error_of(FolderSource(path=path))


def test_a_missing_arrow_file_and_a_damaged_state(tmp_path: Path) -> None:
    path = save(tmp_path / "sums", rows("a"))
    (path / "data-00000-of-00001.arrow").unlink()
    assert "no such file" in error_of(FolderSource(path=path))
    (path / "state.json").write_text("{")
    assert "state.json cannot be read" in error_of(FolderSource(path=path))


def test_no_such_directory(tmp_path: Path) -> None:
    assert error_of(FolderSource(path=tmp_path / "sums")).startswith(f"folder:{tmp_path / 'sums'}: no such directory")


# --- a copy of a hub repository


def test_a_clone(tmp_path: Path) -> None:
    """Two shards of one split, read in order and numbered through."""
    (tmp_path / "set" / "data").mkdir(parents=True)
    for shard, names in enumerate(("ab", "c")):
        pq.write_table(pa.Table.from_pylist(rows(*names)), tmp_path / f"set/data/train-0000{shard}-of-00002.parquet")
    (tmp_path / "set" / "data" / "test.jsonl").write_text('{"prompt": "t"}\n')
    (tmp_path / "set" / "README.md").write_text("# no head\n")
    ids = [row.prompt.id for row in read(FolderSource(path=tmp_path / "set"))]
    assert ids == ["set/train:1", "set/train:2", "set/train:3"]
    assert prompts(FolderSource(path=tmp_path / "set", split="test")) == ["t"]


def chosen(names: list[str], config: str | None = None, split: str | None = None, **card: Any) -> list[str]:
    return list(choose(names, card, config, split, "hf:x/y").names)


def refused(names: list[str], config: str | None = None, split: str | None = None, **card: Any) -> str:
    with pytest.raises(UserError, match=r"^hf:x/y") as caught:
        choose(names, card, config, split, "hf:x/y")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_gsm8k_as_published() -> None:
    assert chosen(GSM8K_FILES, "main", **GSM8K_CARD) == ["main/train-00000-of-00001.parquet"]
    assert chosen(GSM8K_FILES, "socratic", "test", **GSM8K_CARD) == ["socratic/test-00000-of-00001.parquet"]
    assert "name a config, such as config=main: main, socratic" in refused(GSM8K_FILES, **GSM8K_CARD)
    assert "no config 'mian'; it has main, socratic" in refused(GSM8K_FILES, "mian", **GSM8K_CARD)
    assert "no split 'dev'; it has train, test" in refused(GSM8K_FILES, "main", "dev", **GSM8K_CARD)


def test_the_hubs_own_parquet_copy() -> None:
    """``revision=refs/convert/parquet`` has no card: configuration and split are directories."""
    names = ["main/train/0000.parquet", "main/train/0001.parquet", "main/test/0000.parquet", "other/train/0000.parquet"]
    assert chosen(names, "main") == names[:2]
    assert chosen(names, "main", "test") == names[2:3]
    assert "several directories (main/train, other/train): name one" in refused(names)
    assert "no config 'mian'; it has main/test, main/train, other/train" in refused(names, "mian")


@pytest.mark.parametrize(
    ("names", "split", "expected"),
    [
        (["train.jsonl", "test.jsonl"], None, ["train.jsonl"]),
        (["data.jsonl"], None, ["data.jsonl"]),
        (["only_test.parquet"], "test", ["only_test.parquet"]),
        (["my_train_file.parquet", "my_test_file.parquet"], None, ["my_train_file.parquet"]),
        (["train/a.parquet", "test/a.parquet"], "test", ["test/a.parquet"]),
        (["train_sft-00000-of-00001.parquet", "train-00000-of-00001.parquet"], None, ["train-00000-of-00001.parquet"]),
        (["constraint.jsonl", "train.jsonl"], None, ["train.jsonl"]),
        (["train.parquet", "train.jsonl"], None, ["train.parquet"]),
        ([".cache/train.jsonl", "b/.x/train.jsonl", "train.jsonl"], None, ["train.jsonl"]),
    ],
)
def test_names_say_the_split(names: list[str], split: str | None, expected: list[str]) -> None:
    assert chosen(names, None, split) == expected


def test_names_that_do_not() -> None:
    assert "no file of split 'train'; it has test.jsonl" in refused(["test.jsonl"])
    assert "no file of split 'dev'; it has train.jsonl" in refused(["train.jsonl"], split="dev")
    assert "has train.csv, x.py: effrl reads Parquet and JSON Lines; of a hub data set, try revision=refs/convert" in (
        refused(["train.csv", "x.py"])
    )
    assert "has no files" in refused([])


@pytest.mark.parametrize(
    ("data_files", "expected"),
    [
        ("*.jsonl", ["a.jsonl", "b/c.jsonl"]),
        (["a.jsonl", "b/*.jsonl"], ["a.jsonl", "b/c.jsonl"]),
        ([{"split": "train", "path": ["./a.jsonl"]}], ["a.jsonl"]),
        ([{"split": "train", "path": "b"}, {"split": "test", "path": "a.jsonl"}], ["b/c.jsonl"]),
        ([{"split": "train", "path": "**/*.jsonl"}], ["a.jsonl", "b/c.jsonl"]),
        ([{"split": "validation", "path": "a.*"}], ["a.jsonl"]),
    ],
)
def test_the_forms_of_a_card(data_files: Any, expected: list[str]) -> None:
    configs = [{"config_name": "default", "data_files": data_files}]
    assert chosen(["a.jsonl", "b/c.jsonl", "README.md"], configs=configs) == expected


def test_the_default_of_a_card() -> None:
    names = ["one/train.jsonl", "two/train.jsonl"]
    configs = [{"config_name": "one", "data_dir": "one"}, {"config_name": "two", "data_dir": "two", "default": True}]
    assert chosen(names, configs=configs) == ["two/train.jsonl"]
    assert chosen(names, "one", configs=configs) == ["one/train.jsonl"]


def test_a_card_of_other_formats() -> None:
    configs = [{"config_name": "default", "data_files": "*.csv"}]
    assert "split train has a.csv: effrl reads Parquet" in refused(["a.csv"], configs=configs)


@pytest.mark.parametrize(
    ("text", "card"),
    [
        ("---\nconfigs:\n- config_name: main\n---\n# Title", {"configs": [{"config_name": "main"}]}),
        ("# Title\n---\na: b\n---\n", {}),
        ("---\na: [\n---\n", {}),
        ("---\njust words\n---\n", {}),
        ("", {}),
    ],
)
def test_the_head_of_a_readme(tmp_path: Path, text: str, card: dict[str, Any]) -> None:
    (tmp_path / "README.md").write_text(text)
    assert card_of(tmp_path) == card
    assert card_of(tmp_path / "elsewhere") == {}


@pytest.mark.parametrize("packed", ["train.jsonl.gz", "data/train-00000-of-00001.jsonl.gz"])
def test_a_packed_file_of_a_split(tmp_path: Path, packed: str) -> None:
    path = tmp_path / "sums" / packed
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.compress(b'{"prompt": "a", "label": "A"}\n'))
    path.with_name(path.name.replace("train", "test")).write_bytes(gzip.compress(b'{"prompt": "b"}\n'))
    assert prompts(FolderSource(path=tmp_path / "sums")) == ["a"]
