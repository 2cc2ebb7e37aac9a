"""Rules that a reviewer cannot keep in mind for every line: names, sizes, waits, and what hides errors."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.sources import FILES, MODULES, PACKAGES, ROOT, lines, place, tree


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """Every call of a function by its dotted name."""
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                yield file, node


# --- names


def test_public_classes_have_names_of_their_own() -> None:
    """Two classes of a name are mixed up by readers, by searches, and by who writes about them."""
    found = defaultdict[str, list[str]](list)
    for file in FILES:
        for node in tree(file).body:
            for name in _classes_and_aliases(node):
                found[name].append(place(file, node))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def _classes_and_aliases(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.ClassDef):
        names = [node.name]
    elif isinstance(node, ast.Assign):
        names = [target.id for target in node.targets if isinstance(target, ast.Name)]
    else:
        names = []
    return [name for name in names if re.match(r"[A-Z]", name) and not name.isupper()]


@pytest.mark.parametrize("package", sorted(MODULES[name] for name in MODULES if MODULES[name].name == "__init__.py"))
def test_every_package_has_a_map(package: Path) -> None:
    """It names the parts, or says what the others are, so that nobody has to open them all."""
    text = ast.get_docstring(tree(package)) or ""
    parts = {path.stem for path in package.parent.glob("*.py")} | {
        path.parent.name for path in package.parent.glob("*/__init__.py")
    }
    unnamed = [part for part in sorted(parts) if not part.startswith("_") and part not in text]
    assert text and (unnamed == [] or re.search("the others|the rest|a file each|one file per", text)), unnamed


@pytest.mark.parametrize("package", PACKAGES)
def test_every_package_is_typed(package: str) -> None:
    """Or a type checker would take all that a plug-in gets from us for ``Any``."""
    assert (ROOT / package / "py.typed").is_file()


# --- sizes


def test_the_loop_is_read_on_one_screen() -> None:
    assert len(lines(ROOT / "effrl" / "loop.py")) <= 80


def test_files_are_short() -> None:
    assert [f"{file.relative_to(ROOT)}: {size}" for file in FILES if (size := len(lines(file))) > 400] == []


def test_functions_are_short() -> None:
    functions = [
        (file, node)
        for file in FILES
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert len(functions) > 200, "they were found"
    assert [f"{place(file, node)} {node.name}" for file, node in functions if _length(node) > 60] == []


def _length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return (node.end_lineno or node.lineno) - first + 1


# --- waiting


@pytest.mark.parametrize("name", ["ray.get", "ray.wait"])
def test_only_one_module_waits_for_actors(name: str) -> None:
    """A ``ray.get`` has no deadline and does not say whom it waits for."""
    assert [place(file, node) for file, node in calls(name) if file != ROOT / "actors" / "wait.py"] == []


def test_nobody_imports_a_wait_by_name() -> None:
    """``from ray import get`` would pass the test above."""
    imports = [(file, node) for file in FILES for node in ast.walk(tree(file)) if isinstance(node, ast.ImportFrom)]
    waits = [
        place(file, node)
        for file, node in imports
        if node.module == "ray" and {alias.name for alias in node.names} & {"get", "wait"}
    ]
    assert waits == []


# --- what hides errors


def handlers() -> Iterator[tuple[Path, ast.ExceptHandler]]:
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.ExceptHandler):
                yield file, node


def test_no_bare_except() -> None:
    assert [place(file, node) for file, node in handlers() if node.type is None] == []


def test_whoever_catches_everything_says_why() -> None:
    """A bug that is swallowed is found much later, elsewhere. The reason stands beside the except, or right below."""
    silent = [
        place(file, node)
        for file, node in handlers()
        if _catches_everything(node.type) and not _raises(node) and not _explained(file, node)
    ]
    assert silent == []


def _catches_everything(caught: ast.expr | None) -> bool:
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught] if caught else []
    return any(ast.unparse(name) in ("Exception", "BaseException") for name in names)


def _raises(node: ast.ExceptHandler) -> bool:
    """Whether its last word is to raise."""
    return isinstance(node.body[-1], ast.Raise)


def _explained(file: Path, node: ast.ExceptHandler) -> bool:
    if node.body[0].lineno == node.lineno:
        return "#" in lines(file)[node.lineno - 1]
    return any("#" in line for line in lines(file)[node.lineno - 1 : node.body[0].lineno - 1])


def test_nothing_suppresses_everything() -> None:
    suppressors = [*calls("suppress"), *calls("contextlib.suppress")]
    assert [place(file, node) for file, node in suppressors if any(map(_catches_everything, node.args))] == []


def test_no_attribute_has_a_default() -> None:
    """``getattr(x, "name", None)`` turns a misspelt or renamed attribute into a silent None."""
    assert [place(file, node) for file, node in calls("getattr") if len(node.args) > 2] == []


def test_nothing_is_left_for_later() -> None:
    """What is missing is said in an issue, where somebody looks."""
    later = re.compile(r"\b(TODO|FIXME|XXX)\b")
    found = [
        f"{file.relative_to(ROOT)}:{token.start[0]}"
        for file in FILES
        for token in tokenize.generate_tokens(io.StringIO(file.read_text()).readline)
        if token.type in (tokenize.COMMENT, tokenize.STRING) and later.search(token.string)
    ]
    assert found == []


def test_test_files_have_names_of_their_own() -> None:
    """pytest imports them by their base name: a second one of a name stops the whole suite at collection."""
    names = [file.name for file in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
