"""What the pages show can be typed as it stands, and what they name exists.

Every Markdown page of the root and of docs/ is read. tests/test_guide.py runs the snippets of the guide, and
tests/test_measured.py compares accuracies with the cells.
"""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_args

import pytest
import yaml
from typer.main import get_command

from deploy.cli import app
from effrl.config import load
from effrl.config.notation import Loader
from effrl.config.schema import Config
from tests.unit.test_house_imports import FLOORS

ROOT = Path(__file__).parent.parent
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)


class Snippet(NamedTuple):
    page: str
    text: str


def label(snippet: Snippet) -> str:
    return f"{snippet.page}:{snippet.text.strip().splitlines()[0][:40]}"


def page_of(name: str) -> str:
    [page] = [page for page in PAGES if page.name == name]
    return page.read_text()


def blocks(language: str) -> Iterator[Snippet]:
    for page in PAGES:
        for found, text in BLOCK.findall(page.read_text()):
            if found == language:
                yield Snippet(page.name, text)


def commands(program: str) -> list[Snippet]:
    """Each line of a shell block that begins with the program, without its comment."""
    lines = [Snippet(block.page, line) for block in blocks("bash") for line in block.text.splitlines()]
    return [line for line in lines if line.text.startswith(f"{program} ")]


def matches(pattern: str) -> list[Snippet]:
    """What a pattern finds on every page but the changelog, whose old entries may name what is gone."""
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]
    return [Snippet(page.name, found) for page in pages for found in re.findall(pattern, page.read_text())]


# --- snippets


@pytest.mark.parametrize("snippet", list(blocks("yaml")), ids=label)
def test_yaml_is_a_config_or_a_part_of_one(snippet: Snippet) -> None:
    given: dict[str, Any] = yaml.load(snippet.text, Loader)
    assert isinstance(given, dict) and given.keys() <= set(Config.model_fields), "top-level keys are sections"
    data = {"train": "tasks:chain", **given.get("data", {})}
    recipe = {"rollout": {"max_tokens": 64}, **given, "data": data}
    load.validate(recipe, f"the block in {snippet.page}")


@pytest.mark.parametrize("snippet", commands("effrl"), ids=label)
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


@pytest.mark.parametrize("snippet", commands("make"), ids=label)
def test_a_target_exists(snippet: Snippet) -> None:
    assert re.search(rf"^{snippet.text.split()[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_there_is_something_to_test() -> None:
    assert len(list(blocks("yaml"))) >= 5 and len(commands("effrl")) >= 5 and len(commands("make")) >= 3


# --- names


@pytest.mark.parametrize("snippet", matches(r"`(tests/[\w/.]+::\w+)`"), ids=label)
def test_a_test_that_a_page_names_exists(snippet: Snippet) -> None:
    file, name = snippet.text.split("::")
    assert re.search(rf"^ *(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("snippet", matches(r"`((?:effrl|actors|deploy|tests|docs)/[\w/.-]*)`"), ids=label)
def test_a_path_that_a_page_names_exists(snippet: Snippet) -> None:
    """A capital in it stands for a name of the reader's choice."""
    assert re.search("[A-Z]", snippet.text) or (ROOT / snippet.text).exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        file, _, anchor = target.partition("#")
        linked = page.parent / file if file else page
        assert linked.exists(), target
        headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE) if anchor else []
        assert not anchor or anchor in map(anchor_of, headings), target


def anchor_of(heading: str) -> str:
    """As GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


TABLES = {
    "select": ("guide.md", "selection.md"),
    "label": ("guide.md",),
    "reward": ("guide.md", "rewards.md"),
    "advantage": ("algorithms.md",),
    "loss": ("algorithms.md",),
}


@pytest.mark.parametrize(("section", "page"), [(section, page) for section in TABLES for page in TABLES[section]])
def test_every_kind_has_a_line(section: str, page: str) -> None:
    members = get_args(Config.model_fields[section].annotation)
    kinds = {get_args(member)[1].tag for member in members} - {"plugin"}
    [table] = re.findall(rf"^\| `{section}\.kind` \|.*?\n\n", page_of(page), re.DOTALL | re.MULTILINE)
    assert kinds <= {*re.findall(r"^\| `(\w+)`", table, re.MULTILINE)}


def test_every_metric_of_an_evaluation_has_a_line() -> None:
    assert set(re.findall(r"^\| `(eval/\S+)`", page_of("evaluation.md"), re.MULTILINE)) == {
        "eval/accuracy", "eval/pass@k", "eval/maj@k", "eval/truncated", "eval/tokens",
    }  # fmt: skip


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_ends_on_the_line_on_which_it_begins(page: Path) -> None:
    """A span that is wrapped may begin its second line with a dash, which then is a list."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    assert [line for line in prose.splitlines() if line.count("`") % 2] == []


# --- lengths and invariants


def test_the_first_pages_are_short() -> None:
    assert len(page_of("README.md").splitlines()) <= 130
    assert len(page_of("AGENTS.md").splitlines()) <= 40


def test_each_way_to_add_something_is_short() -> None:
    ways = re.split(r"^### ", page_of("CONTRIBUTING.md"), flags=re.MULTILINE)[1:]
    assert len(ways) == 6
    assert [way.splitlines()[0] for way in ways if len(way.partition("\n## ")[0].strip().splitlines()) > 15] == []


def test_every_invariant_names_a_test() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| (.+) \|$", page_of("design.md").partition("## Invariants")[2], re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, len(rows) + 1)) and len(rows) >= 8
    assert all("::" in tests for _, tests in rows)


def test_code_refers_to_invariants_that_exist() -> None:
    known = set(re.findall(r"^\| (\d+) \|", page_of("design.md").partition("## Invariants")[2], re.MULTILINE))
    files = [file for folder in ("effrl", "actors", "deploy", "tests") for file in (ROOT / folder).rglob("*.py")]
    named = {number for file in files for number in re.findall(r"design\.md, invariants? (\d+)", file.read_text())}
    assert named and named <= known


def test_the_floors_are_those_that_imports_are_tested_against() -> None:
    table = page_of("design.md").partition("<!-- floors -->")[2].partition("<!-- end -->")[0]
    rows = re.findall(r"^\| \d+ \| (.+) \|$", table, re.MULTILINE)
    assert [tuple(re.findall(r"`([\w.]+)`", row)) for row in reversed(rows)] == list(FLOORS)
