"""``effrl data check`` and ``effrl data make``, as a user types them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

Command = Callable[..., tuple[object, str, str]]


def write(name: str, *rows: Any) -> None:
    Path(name).write_text("".join(f"{row if isinstance(row, str) else json.dumps(row)}\n" for row in rows))


def test_sources_without_errors(command_line: Command) -> None:
    write("rows.jsonl", {"q": "1+1=", "label": "2"}, {"q": "2+2="})
    code, out, err = command_line("data", "check", "rows.jsonl?prompt=q", "tasks:chain?size=8")
    assert (code, err) == (0, "")
    assert out.splitlines()[:5] == [
        "rows.jsonl?prompt=q",
        "  rows         2, 1 with a label (50%)",
        "  malformed    none",
        "  repeated     none",
        "  conflicting  none",
    ]
    assert "  rows         8, 8 with a label (100%)" in out


def test_sources_with_errors(command_line: Command) -> None:
    write(
        "rows.jsonl",
        "[1",
        {"prompt": "1"},
        {"prompt": "1"},
        "]",
        {"prompt": "2", "label": "3"},
        {"prompt": "2", "label": "4"},
    )
    code, out, err = command_line("data", "check", "rows.jsonl", "--limit", 1)
    assert code == 2
    assert "  malformed    2\n      rows.jsonl:1: not JSON" in out
    assert "      … and 1 more (--limit)\n  repeated     2\n      rows.jsonl:3 repeats rows.jsonl:2\n" in out
    assert '  conflicting  1\n      rows.jsonl:6 is answered "4", rows.jsonl:5 "3"\n' in out
    assert err == "effrl: errors in the data: 2 malformed in rows.jsonl, 1 conflicting in rows.jsonl\n"


def test_repeated_prompts_alone_are_no_error(command_line: Command) -> None:
    write("rows.jsonl", {"prompt": "1"}, {"prompt": "1"})
    assert command_line("data", "check", "rows.jsonl")[0] == 0


def test_lengths_of_sources(command_line: Command, random_model: Path) -> None:
    write("rows.jsonl", {"prompt": "1" * 9}, {"prompt": "1" * 20})
    code, out, err = command_line("data", "check", "rows.jsonl", "--model", random_model, "--max-tokens", 2038)
    assert code == 2 and "1 too long in rows.jsonl" in err
    assert "  tokens       least 9 · median 9 · 90 % 20 · 99 % 20 · most 20\n" in out
    assert "  over 10      1\n      rows.jsonl:2 has 20 tokens\n" in out


@pytest.fixture
def config(command_line: Command, random_model: Path) -> str:
    write("train.jsonl", {"prompt": "1+1=", "label": "2"}, {"prompt": "2+2=", "label": "4"})
    write("eval.jsonl", {"prompt": "3+3=", "label": "6"})
    sections = {
        "model": {"path": str(random_model)},
        "data": {"train": "train.jsonl", "eval": "eval.jsonl"},
        "rollout": {"max_tokens": 2048 - 18},
    }
    Path("my.yaml").write_text(yaml.safe_dump(sections))
    return "my.yaml"


def test_a_config(command_line: Command, config: str) -> None:
    code, out, err = command_line("data", "check", config)
    assert (code, err) == (0, "")
    assert out.count("  over 18      none\n") == 2
    assert out.endswith("data.train and data.eval\n  in both      none\n")


def test_a_config_with_overrides_measures_what_is_sent(command_line: Command, config: str) -> None:
    code, out, err = command_line("data", "check", config, "data.template=question", "data.eval=null")
    assert code == 2 and "2 too long in data.train" in err
    assert "data.eval" not in out


def test_a_config_that_is_tested_on_what_it_is_trained_on(command_line: Command, config: str) -> None:
    write("eval.jsonl", {"prompt": "1+1= ", "label": "2"}, {"prompt": "5+5="})
    code, out, err = command_line("data", "check", config)
    assert code == 2
    assert "  in both      1\n      eval.jsonl:1 is train.jsonl:1\n" in out
    assert err == ("effrl: errors in the data: 1 of data.eval without a label, 1 of data.eval are trained on\n")


def test_a_model_without_a_chat_template(
    command_line: Command, config: str, random_model: Path, tmp_path: Path
) -> None:
    for file in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / "bare").mkdir(exist_ok=True)
        (tmp_path / "bare" / file).write_bytes((random_model / file).read_bytes())
    code, _, err = command_line("data", "check", config, "model.path=bare", "data.template=boxed")
    assert code == 2 and "prompts are messages, but" in err and "no chat template" in err


def test_what_is_asked_wrongly(command_line: Command, config: str) -> None:
    for arguments, words in (
        (["rows.jsonl"], "rows.jsonl: no such file"),
        (["tasks:chian"], "tasks:chian: data.train.name: input should be 'chain'"),
        (["train.jsonl?promt=q"], "unknown key 'data.train.promt'; did you mean 'data.train.prompt'?"),
        ([config, "learn.lrr=1"], "did you mean 'learn.lr'?"),
        ([config, "--model", "tiny"], "--model and --max-tokens are for sources: write model.path=… after my.yaml"),
        (["nowhere.yaml"], "nowhere.yaml is neither a file nor a recipe"),
        (["train.jsonl", "--model", "./nowhere"], "model.path=./nowhere is no model directory"),
    ):
        code, _, err = command_line("data", "check", *arguments)
        assert code == 2 and words in err and err.count("\n") == 1, err


def test_make(command_line: Command) -> None:
    assert command_line("data", "make", "tasks:chain?size=8", "out.jsonl") == (
        0,
        "out.jsonl  8 rows, 8 with a label\n",
        "",
    )
    assert command_line("data", "check", "out.jsonl")[0] == 0
    code, out, err = command_line("data", "make", "tasks:chain?size=8", "out.jsonl")
    assert (code, out, err) == (2, "", "effrl: out.jsonl exists: choose another name, or delete it\n")
    code, _, err = command_line("data", "make", "tasks:chain?szie=8", "other.jsonl")
    assert code == 2 and "did you mean 'data.train.size'?" in err


def test_what_may_be_a_mistake_is_told_and_is_no_error(command_line: Command) -> None:
    turns = [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]
    write("rows.jsonl", {"prompt": turns, "label": "nan"}, {"prompt": "3", "label": "4"})
    code, out, _ = command_line("data", "check", "rows.jsonl")
    assert code == 0
    assert "  prefilled    1 prompts end with the assistant's turn\n      rows.jsonl:1\n" in out
    assert '  doubtful     1 labels say nothing (nan, None, null)\n      rows.jsonl:1 is labelled "nan"' in out
