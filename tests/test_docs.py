"""What docs/ shows can be typed as it stands: every YAML block and every command. (The README has tests of its own.)"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from typer.main import get_command

from deploy.cli import app
from effrl.config import load
from effrl.config.schema import Config

PAGES = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Snippet(NamedTuple):
    page: str
    text: str


def blocks(language: str) -> Iterator[Snippet]:
    for page in PAGES:
        for found, text in BLOCK.findall(page.read_text()):
            if found == language:
                yield Snippet(page.name, text)


def commands() -> list[Snippet]:
    """Each line of a shell block that begins with ``effrl``, without its comment."""
    lines = [Snippet(block.page, line) for block in blocks("bash") for line in block.text.splitlines()]
    return [line for line in lines if line.text.startswith("effrl ")]


def label(snippet: Snippet) -> str:
    return f"{snippet.page}:{snippet.text.strip().splitlines()[0][:40]}"


@pytest.mark.parametrize("snippet", list(blocks("yaml")), ids=label)
def test_yaml_is_a_config_or_a_part_of_one(snippet: Snippet) -> None:
    given: dict[str, Any] = yaml.load(snippet.text, load._Loader)
    assert isinstance(given, dict) and given.keys() <= set(Config.model_fields), "top-level keys are sections"
    data = {"train": "tasks:chain", **given.get("data", {})}
    recipe = {"rollout": {"max_tokens": 64}, **given, "data": data}
    load.validate(recipe, f"the block in {snippet.page}")


@pytest.mark.parametrize("snippet", commands(), ids=label)
def test_a_command_exists_with_its_options(snippet: Snippet) -> None:
    """And where it names a recipe, its overrides fit."""
    words = shlex.split(snippet.text, comments=True)[1:]
    assert "…" not in words, "a command is shown as it is typed"
    command: Any = get_command(app)
    while hasattr(command, "commands"):
        assert words and words[0] in command.commands, f"there is no command {' '.join(words[:1])}"
        command, words = command.commands[words[0]], words[1:]
    command.make_context("effrl", list(words), resilient_parsing=False)
    recipes = [word for word in words if word in load.recipes()]
    overrides = [word for word in words if re.match(r"[a-z_]+(\.[a-z_]+)+=", word)]
    if recipes:
        load.load(recipes[0], overrides)


def test_there_is_something_to_test() -> None:
    assert len(list(blocks("yaml"))) >= 5 and len(commands()) >= 5


def test_every_metric_of_an_evaluation_has_a_line() -> None:
    [page] = [page for page in PAGES if page.name == "evaluation.md"]
    assert set(re.findall(r"^\| `(eval/\S+)`", page.read_text(), re.MULTILINE)) == {
        "eval/accuracy", "eval/pass@k", "eval/maj@k", "eval/truncated", "eval/tokens",
    }  # fmt: skip


def named_tests() -> list[Snippet]:
    return [
        Snippet(page.name, found) for page in PAGES for found in re.findall(r"`(tests/[\w/.]+::\w+)`", page.read_text())
    ]


@pytest.mark.parametrize("snippet", named_tests(), ids=label)
def test_a_test_that_a_page_names_exists(snippet: Snippet) -> None:
    file, name = snippet.text.split("::")
    source = (Path(__file__).parent.parent / file).read_text()
    assert re.search(rf"^(async )?def {name}\(", source, re.MULTILINE)
