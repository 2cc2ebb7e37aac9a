"""Rules that a reviewer cannot keep in mind for every line: what may import what, sizes, and what hides errors."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import effrl

ROOT = Path(effrl.__file__).parents[1]
FILES = sorted(file for folder in ("effrl", "actors", "deploy") for file in (ROOT / folder).rglob("*.py"))

NO_LIBRARY = ("effrl.tiny.make", "effrl.__main__")
"""A script that needs torch and transformers by nature, and the command line."""
TENSORS = (
    "effrl.advantage.gae",
    *(f"effrl.loss.{name}" for name in ("cispo", "clipped", "gspo", "head", "importance", "policy", "tokens")),
    *(
        f"effrl.difficulty.{name}"
        for name in ("attention", "network", "offline", "online", "predictor", "saved", "training")
    ),
)
"""The modules of the library where torch is the point."""

IMPORT_LIBRARY = f"""
import importlib, pkgutil, sys
import effrl
names = [module.name for module in pkgutil.walk_packages(effrl.__path__, "effrl.")]
for name in names:
    if name not in {NO_LIBRARY + TENSORS}:
        importlib.import_module(name)
print(len(names), *({{"torch", "ray", "vllm", "deepspeed"}} & sys.modules.keys()))
for name in {TENSORS}:
    importlib.import_module(name)
print(*({{"ray", "vllm", "deepspeed"}} & sys.modules.keys()))
"""
IMPORT_TIME = """
import time
start = time.perf_counter()
import effrl
print(time.perf_counter() - start)
"""


def python(code: str) -> list[str]:
    """The lines that a fresh interpreter prints."""
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def loaded_with(module: str, *names: str) -> list[str]:
    """Which of ``names`` are loaded once ``module`` is imported."""
    [line] = python(f"import sys, {module}; print(*({{*{names}}} & sys.modules.keys()))")
    return line.split()


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def place(file: Path, node: ast.stmt | ast.expr | ast.ExceptHandler) -> str:
    return f"{file.relative_to(ROOT)}:{node.lineno}"


def calls(name: str) -> Iterator[tuple[Path, ast.Call]]:
    """Every call of a function by its dotted name."""
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == name:
                yield file, node


# --- imports


def test_the_library_knows_no_cluster() -> None:
    """Or its tests, its command line and a user's own code would need Ray and two engines, and their seconds."""
    counted, tensors = python(IMPORT_LIBRARY)
    number, *heavy = counted.split()
    assert int(number) > 30, "the modules were found"
    assert heavy == [], "imported by a module that is not about tensors"
    assert tensors == ""


def test_the_library_is_imported_at_once() -> None:
    """Best of three: the machine may be busy."""
    assert min(float(python(IMPORT_TIME)[0]) for _ in range(3)) < 1


def test_the_command_line_answers_at_once() -> None:
    """``effrl --help`` must not load an engine."""
    assert loaded_with("deploy.cli", "torch", "ray", "vllm", "deepspeed", "transformers", "matplotlib") == []


def test_the_driver_loads_no_engine() -> None:
    """vLLM and DeepSpeed read their environment when they are imported, and that is set for their actors alone."""
    assert loaded_with("actors.driver.run", "ray", "vllm", "deepspeed") == ["ray"]


# --- sizes


def test_the_loop_is_read_on_one_screen() -> None:
    assert len(lines(ROOT / "effrl" / "loop.py")) < 120


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
