"""Overrides as people type them: text as it stands, numbers as they are written, paths as a shell knows them."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from effrl.config import load
from effrl.config.data import JsonlSource, ParquetSource
from effrl.config.notation import Loader
from effrl.config.schema import Config
from effrl.errors import UserError


def loaded(*overrides: str) -> Config:
    return load.load("quickstart", overrides)


def refused(*overrides: str) -> str:
    with pytest.raises(UserError) as caught:
        loaded(*overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- text


@pytest.mark.parametrize(
    "text",
    [
        "Solve it, then give the answer after #### on its own line.",
        "You are a tutor: be brief.",
        "{prompt} is not special here",
        "[INST] be brief [/INST]",
        "Say 'yes' or \"no\"",
        '"yes" or "no"?',
        "- one\n- two",
        "# only a heading",
        "42",
        "010",
        "yes",
        "2026-01-31",
        "*important*",
        "&c",
        "!now",
        "100 %",
        "%d",
        "@home",
        "`code`",
        "a = b",
        " two spaces  ",
        "~",
        "x: {y}",
        "don't",
        "| pipe",
        "> quote",
        "null and void",
    ],
)
def test_text_comes_as_it_was_typed(text: str) -> None:
    assert loaded(f"data.system={text}", "data.template=chat").data.system == text


@pytest.mark.parametrize(
    ("typed", "system"),
    [
        ('"Be brief."', "Be brief."),
        ("'Be: brief'", "Be: brief"),
        ('"one\\ntwo"', "one\ntwo"),
        ("null", None),
        ("", None),
    ],
)
def test_quotes_around_all_of_it_and_null_are_yaml_s(typed: str, system: str | None) -> None:
    assert loaded(f"data.system={typed}").data.system == system


@pytest.mark.parametrize(
    "template",
    [
        "{prompt} Answer:",
        "{prompt}",
        "Question: {prompt}",
        "[Question] {prompt}",
        "# {prompt}",
        "Q: {prompt} #1",
        "chat",
    ],
)
def test_a_template_comes_as_it_was_typed(template: str) -> None:
    assert loaded(f"data.template={template}").data.template == template


def test_a_template_may_be_messages() -> None:
    template = loaded('data.template=[{role: user, content: "Solve: {prompt}"}]').data.template
    assert template == ({"role": "user", "content": "Solve: {prompt}"},)


def test_messages_that_are_no_yaml_are_not_taken_for_text() -> None:
    line = refused('data.template=[{role: user, content: "Solve: {prompt}}]')
    assert 'is not YAML: quote what is inside, like [{role: user, content: "{prompt}"}]' in line


@pytest.mark.parametrize(
    ("override", "field", "expected"),
    [
        ("run.dir=2026", ("run", "dir"), Path("2026")),
        ("run.dir=010", ("run", "dir"), Path("010")),
        ("run.dir=runs/a #1", ("run", "dir"), Path("runs/a #1")),
        ("model.path=org/name: v2", ("model", "path"), "org/name: v2"),
        ("rollout.stop=#", ("rollout", "stop"), ("#",)),
        ("rollout.stop=Answer: 5", ("rollout", "stop"), ("Answer: 5",)),
        ('rollout.stop=["</answer>", 2]', ("rollout", "stop"), ("</answer>", 2)),
        ("rollout.stop=2", ("rollout", "stop"), (2,)),
        ("data.train=my rows #1.jsonl", ("data", "train"), JsonlSource(path=Path("my rows #1.jsonl"))),
        ("data.train=2026", ("data", "train"), JsonlSource(path=Path("2026"))),
        ("data.eval=null", ("data", "eval"), None),
        ("data.eval={dev: a.jsonl}", ("data", "eval"), {"dev": JsonlSource(path=Path("a.jsonl"))}),
        ("data.eval.dev=a #1.jsonl", ("data", "eval"), {"dev": JsonlSource(path=Path("a #1.jsonl"))}),
        ("model.context=null", ("model", "context"), None),
        ("model.context=~", ("model", "context"), None),
    ],
)
def test_other_fields(override: str, field: tuple[str, str], expected: Any) -> None:
    held_out = "data.eval={}" if "data.eval.dev" in override else "data.eval=null"
    section, name = field
    assert dict(dict(loaded(held_out, override))[section])[name] == expected


def test_a_pattern_is_typed_as_it_is() -> None:
    reward = loaded("reward.kind=regex", "reward.pattern=Answer: [(]?([A-D])[)]? #").reward
    assert dict(reward)["pattern"] == "Answer: [(]?([A-D])[)]? #"


# --- numbers


@pytest.mark.parametrize(
    ("typed", "steps"),
    [("1000", 1000), ("1_000", 1000), ("1e3", 1000), ("010", 10), ("+7", 7), ("12.0", 12), ("0x10", 16), ("1.5e1", 15)],
)
def test_whole_numbers(typed: str, steps: int) -> None:
    assert loaded(f"run.steps={typed}").run.steps == steps


@pytest.mark.parametrize(("typed", "rate"), [("1e-4", 1e-4), ("1.E-4", 1e-4), (".0001", 1e-4), ("1_0e-5", 1e-4)])
def test_other_numbers(typed: str, rate: float) -> None:
    assert loaded(f"learn.lr={typed}").learn.lr == rate


@pytest.mark.parametrize("typed", ["5M", "1,000", "1:30", "1.5", "ten", "1 000", "0o17"])
def test_what_is_no_whole_number_is_one_line(typed: str) -> None:
    line = refused(f"run.steps={typed}")
    assert line.startswith("quickstart: run.steps: write a whole number, such as 1000, 1_000 or 1e3 (got ")
    assert typed in line


def test_what_is_no_number_is_one_line() -> None:
    assert refused("learn.lr=1,5") == "quickstart: learn.lr: write a number, such as 0.001 or 1e-3 (got '1,5')"


@pytest.mark.parametrize(
    ("text", "value"), [("010", 10), ("1e3", 1000.0), ("1:30", "1:30"), ("2026-01-31", "2026-01-31")]
)
def test_a_file_has_the_same_numbers(text: str, value: Any) -> None:
    assert yaml.load(text, Loader) == value


# --- paths


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("DATA", str(tmp_path / "data"))
    monkeypatch.setenv("ROWS", str(tmp_path / "rows.parquet"))
    monkeypatch.delenv("NOWHERE", raising=False)
    return tmp_path


def test_home_and_variables_in_paths(home: Path) -> None:
    config = loaded(
        "run.dir=~/runs/a",
        "model.path=$DATA/model",
        "data.train=~/rows.jsonl?label=answer",
        "data.eval={dev: 'folder:~/set?split=dev', test: '${DATA}/t.parquet'}",
        "label.ledger=~/ledger.sqlite",
    )
    assert (config.run.dir, config.model.path) == (home / "runs/a", f"{home}/data/model")
    assert config.data.train == JsonlSource(path=home / "rows.jsonl", label="answer")
    assert {name: source.model_dump()["path"] for name, source in config.data.held_out.items()} == {
        "dev": home / "set",
        "test": home / "data" / "t.parquet",
    }
    assert config.label.ledger == f"{home}/ledger.sqlite"


def test_a_variable_may_stand_for_the_whole_file(home: Path) -> None:
    assert load.source("$ROWS?prompt=q") == ParquetSource(path=home / "rows.parquet", prompt="q")


def test_a_file_has_the_same_paths(home: Path) -> None:
    (home / "a.yaml").write_text(
        "data: {train: [{source: '~/a.jsonl', weight: 2}, $DATA/b.jsonl]}\nrun: {dir: $DATA/run}"
    )
    config = load.load(str(home / "a.yaml"))
    assert [part["source"]["path"] for part in config.data.train.model_dump()["parts"]] == [
        home / "a.jsonl",
        home / "data" / "b.jsonl",
    ]
    (home / "b.yaml").write_text(load.dump(config))
    assert load.load(str(home / "b.yaml")) == config


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("run.dir=$NOWHERE/a", "run.dir: the variable $NOWHERE is not set: export it, or write the path out"),
        ("data.train=${NOWHERE}/a.jsonl", "the variable ${NOWHERE} is not set: export it"),
        ("model.path=~nobody_of_this_name/a", "there is no user ~nobody_of_this_name: write the path out"),
    ],
)
def test_a_path_that_means_nothing_is_one_line(home: Path, override: str, line: str) -> None:
    assert line in refused(override)


def test_a_number_for_a_path_in_a_file_says_to_quote(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data: {train: 'tasks:chain'}\nrun: {dir: 2026}")
    with pytest.raises(UserError, match=r"run.dir: a path is text: put it into quotes, such as '2026' \(got 2026\)"):
        load.load(str(tmp_path / "a.yaml"))
