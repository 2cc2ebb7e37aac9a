"""A chat template that does not suit the prompts is told in one line before anything starts, by every command."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from chat_models import DEAF, GEMMA, QWEN3, SYNTAX, TURNS, UNDEFINED, with_template

from deploy.commands import train as training
from deploy.commands.evaluate import _config
from effrl.config import load
from effrl.config.resumable import changed_for_good
from effrl.run.directory import RunDirectory
from effrl.run.trained import Trained

CommandLine = Callable[..., tuple[object, str, str]]
USER = [{"role": "user", "content": "1+1="}]
SYSTEM = [{"role": "system", "content": "Be brief."}, *USER]
TWICE = [*USER, *USER]
WITH_SYSTEM = ("data.template=chat", "data.system=Be brief.")


def write(*prompts: Any) -> str:
    """Rows with these prompts, as a source."""
    rows = [{"prompt": prompt, "label": "2"} for prompt in prompts]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "data.train=rows.jsonl"


@pytest.fixture
def commands(command_line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> dict[str, CommandLine]:
    """The four that look at prompts, on a config of one step; none may get as far as starting actors."""

    def started(*_: object) -> None:
        raise AssertionError("the mistake was not found: a run was about to start")

    monkeypatch.setattr(training, "_attempt", started)
    starts = {
        "config check": ("config", "check"),
        "dry run": ("train", "--dry-run"),
        "train": ("train",),
        "data check": ("data", "check"),
    }
    return {
        name: lambda *overrides, start=start: command_line(*start, "quickstart", "data.eval=null", *overrides)
        for name, start in starts.items()
    }


@pytest.mark.parametrize(
    ("template", "prompts", "overrides", "words"),
    [
        (GEMMA, [USER], WITH_SYSTEM, ["refuses a system message (System role not supported)", "leave out data.system"]),
        (GEMMA, [USER, USER, USER, USER, SYSTEM], (), ["prompt rows:5", "refuses a system message", "data.template"]),
        (
            GEMMA,
            [USER, TWICE],
            (),
            ["prompt rows:2", "messages of user, user", "roles must alternate", "another model"],
        ),
        (SYNTAX, [USER], (), ["chat_template.jinja: the chat template has a syntax error on its line 3", "mend it"]),
        (UNDEFINED, [USER], (), ["chat_template.jinja", "uses today_in_words, which nothing defines", "mend"]),
        ({"rag": TURNS, "tools": TURNS}, [USER], (), ["several chat templates (rag, tools)", "/chat_template.jinja"]),
        (None, [USER], (), ["messages, but", "has no chat template", "plain text"]),
    ],
    ids=["system", "system of a row", "alternating", "syntax", "undefined", "several", "none"],
)
def test_a_template_that_does_not_suit_the_prompts(
    commands: Mapping[str, CommandLine],
    random_model: Path,
    tmp_path: Path,
    template: Any,
    prompts: Any,
    overrides: tuple[str, ...],
    words: list[str],
) -> None:
    model = with_template(random_model, tmp_path / "model", template)
    for name, command in commands.items():
        code, out, err = command(f"model.path={model}", write(*prompts), *overrides)
        told = out if name == "data check" and "malformed    none" not in out and out else err
        expected = [word for word in words if not (name == "data check" and word.startswith("prompt "))]
        assert code == 2 and err.count("\n") == 1 and "Traceback" not in err, (name, err)
        assert all(word in told for word in expected), (name, told)


def test_a_template_called_default_is_taken(
    commands: Mapping[str, CommandLine], random_model: Path, tmp_path: Path
) -> None:
    model = with_template(random_model, tmp_path / "model", {"default": TURNS, "rag": SYNTAX})
    assert commands["config check"](f"model.path={model}", write(USER))[0] == 0


def test_the_evaluation_sets_are_rendered_too(command_line: CommandLine, random_model: Path, tmp_path: Path) -> None:
    model = with_template(random_model, tmp_path / "model", GEMMA)
    write(USER, TWICE)
    sets = ("data.train=tasks:chain?size=4", "data.eval={dev: 'tasks:chain?size=4', odd: rows.jsonl}")
    code, _, err = command_line("config", "check", "quickstart", f"model.path={model}", *sets)
    assert code == 2 and "data.eval.odd: prompt rows:2: the chat template refuses" in err and err.count("\n") == 1
    code, _, err = command_line("eval", model, "quickstart", *sets)
    assert code == 2 and "data.eval.odd: prompt rows:2: the chat template refuses" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("tokenizer.json", None, ["has no tokenizer", "copy tokenizer.json"]),
        ("tokenizer.json", "{", ["tokenizer.json cannot be read", "download the model again"]),
        ("tokenizer_config.json", "{", ["tokenizer_config.json cannot be read", "download the model again"]),
        ("tokenizer_config.json", "[]", ["tokenizer_config.json is no JSON object", "download the model again"]),
    ],
)
@pytest.mark.parametrize("template", ["plain", "chat"])
def test_a_tokenizer_that_is_missing_or_damaged(
    commands: Mapping[str, CommandLine],
    random_model: Path,
    tmp_path: Path,
    file: str,
    content: str | None,
    words: list[str],
    template: str,
) -> None:
    model = with_template(random_model, tmp_path / "model", TURNS)
    if content is None:
        (model / file).unlink()
    else:
        (model / file).write_text(content)
    for name, command in commands.items():
        code, _, err = command(f"model.path={model}", write("1+1="), f"data.template={template}")
        assert code == 2 and err.count("\n") == 1 and all(word in err for word in words), (name, err)


# --- arguments of the template


@pytest.fixture
def qwen3(random_model: Path, tmp_path: Path) -> Path:
    return with_template(random_model, tmp_path / "qwen3", QWEN3)


def test_arguments_reach_the_template(command_line: CommandLine, qwen3: Path) -> None:
    shown = ("data", "check", "quickstart", f"model.path={qwen3}", "data.eval=null", write(USER), "--show", 1)
    assert command_line(*shown)[1].endswith("1+1=\n  │ <assistant>\n")
    code, out, err = command_line(*shown, "model.chat_template_kwargs.enable_thinking=false")
    assert (code, err) == (0, "") and out.endswith("1+1=\n  │ <assistant><think></think>\n")


def test_arguments_count_in_the_length_of_a_prompt(command_line: CommandLine, qwen3: Path) -> None:
    """``<user>1+1=<assistant>`` has 21 characters, each of them a token, and ``<think></think>`` has 15."""
    room = ("config", "check", "quickstart", f"model.path={qwen3}", "data.eval=null", write(USER))
    assert command_line(*room, f"rollout.max_tokens={2048 - 21}")[0] == 0
    code, _, err = command_line(
        *room, f"rollout.max_tokens={2048 - 21}", "model.chat_template_kwargs.enable_thinking=false"
    )
    assert code == 2 and "prompt rows:1 has 36 tokens" in err and "leaves 21" in err


def test_what_a_template_adds_may_be_long(command_line: CommandLine, random_model: Path, tmp_path: Path) -> None:
    model = with_template(random_model, tmp_path / "model", "x" * 700 + TURNS)
    code, _, err = command_line(
        *("config", "check", "quickstart", f"model.path={model}", "data.eval=null", write(USER)),
        "rollout.max_tokens=1400",
    )
    assert code == 2 and "prompt rows:1 has 710 tokens" in err


def test_an_argument_that_changes_nothing_is_noted_once(command_line: CommandLine, qwen3: Path) -> None:
    base = (f"model.path={qwen3}", "data.eval=null", write(USER))
    for command in (("config", "check", "quickstart"), ("train", "--dry-run", "quickstart")):
        code, out, _ = command_line(*command, *base, "model.chat_template_kwargs={enable_thinkin: false}")
        note = (
            "note: model.chat_template_kwargs.enable_thinkin changes nothing: the chat template does not read it; did"
        )
        assert code == 0 and out.count("note: ") == 1 and f"{note} you mean enable_thinking?\n" in out
        assert "note: " not in command_line(*command, *base, "model.chat_template_kwargs={enable_thinking: true}")[1]
    code, out, _ = command_line(
        "config", "check", "quickstart", *base, "data.train=tasks:chain?size=4", "model.chat_template_kwargs={a: 1}"
    )
    assert code == 0 and "note: model.chat_template_kwargs is for messages, and every prompt is plain text\n" in out


def test_a_template_that_leaves_out_the_system_prompt_is_noted(
    command_line: CommandLine, random_model: Path, tmp_path: Path
) -> None:
    model = with_template(random_model, tmp_path / "model", DEAF)
    code, out, _ = command_line(
        "config", "check", "quickstart", f"model.path={model}", "data.eval=null", write(USER), *WITH_SYSTEM
    )
    assert code == 0 and "note: the chat template leaves out or rewrites messages of role system" in out


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("false", "write names with a text, a number, true, false or null, such as {enable_thinking: false}"),
        ("{a: [1]}", "write names with a text"),
        ("{tools: null}", "tools is not yours to give"),
        ("{add_generation_prompt: false}", "add_generation_prompt is not yours to give"),
    ],
)
def test_arguments_that_cannot_be_given(command_line: CommandLine, value: str, words: str) -> None:
    code, _, err = command_line("config", "check", "quickstart", f"model.chat_template_kwargs={value}")
    assert code == 2 and words in err and err.count("\n") == 1


def test_a_run_is_evaluated_with_its_own_arguments(tmp_path: Path) -> None:
    """They belong to what it learned, so they hold on another recipe's data too, unless others are given."""
    directory = RunDirectory(tmp_path)
    directory.write_config(load.dump(load.load("quickstart", ["model.chat_template_kwargs.enable_thinking=false"])))
    trained = Trained(directory, directory.checkpoints / "step_1")
    for arguments in ([], ["eval.per_prompt=2"], ["grpo"]):
        assert _config("run", trained, arguments).model.chat_template_kwargs == {"enable_thinking": False}
    others = "model.chat_template_kwargs={}"
    assert _config("run", trained, ["grpo", others]).model.chat_template_kwargs == {}
    assert _config("run", trained, [others]).model.chat_template_kwargs == {}
    assert _config("tiny", None, ["quickstart"]).model.chat_template_kwargs == {}


def test_a_run_goes_on_with_its_arguments_alone() -> None:
    before, after = load.load("quickstart"), load.load("quickstart", ["model.chat_template_kwargs={a: 1}"])
    assert changed_for_good(before, after) == {"model.chat_template_kwargs.a": (None, 1)}


def test_plain_text_needs_no_transformers(
    command_line: CommandLine, random_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its import takes longer than all the rest of ``config check``."""
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert command_line("config", "check", "quickstart", f"model.path={random_model}")[0] == 0


# --- what is shown


def test_prompts_are_shown_as_the_model_gets_them(command_line: CommandLine, random_model: Path) -> None:
    write("1+1= ", [{"role": "user", "content": "a\nb\x1b[31m<eos>"}])
    code, out, _ = command_line("data", "check", "rows.jsonl", "--model", random_model, "--show", 2)
    lines = ["the first 2 of rows.jsonl, as the model gets them", "rows:1  4 tokens · label 2", "  │ 1+1=␣"]
    lines += ["rows:2  7 tokens · label 2", "  │ a", "  │ b\\x1b[31m<eos>"]
    assert code == 0 and out.splitlines()[-6:] == lines
    code, _, err = command_line("data", "check", "rows.jsonl", "--show", 2)
    assert code == 2 and "--show renders prompts as a model gets them: add --model, or check a config" in err


def test_every_source_of_a_config_is_shown(command_line: CommandLine, random_model: Path) -> None:
    write("1+1=")
    sources = ("data.train=['tasks:chain?size=4', rows.jsonl]", "data.eval={a: rows.jsonl}", "data.template=question")
    code, out, err = command_line("data", "check", "quickstart", f"model.path={random_model}", *sources, "--show", 2)
    assert code == 2 and "1 of data.eval.a are trained on" in err, "and the prompts are shown all the same"
    assert "the first 2 of data.train, as" in out and "\n2/rows:1  " in out
    lines = ["the first 1 of data.eval.a, as the model gets them", "rows:1  20 tokens · label 2"]
    assert out.splitlines()[-4:] == [*lines, "  │ Question: 1+1=", "  │ Answer:"]
