"""The product's own source files, parsed once."""

import ast
from functools import cache
from pathlib import Path

import effrl

ROOT = Path(effrl.__file__).parents[1]
PACKAGES = ("effrl", "actors", "deploy")
FILES = sorted(file for folder in PACKAGES for file in (ROOT / folder).rglob("*.py"))
MODULES = {".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): file for file in FILES}
"""Files by the name that they are imported by."""


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines()


def place(file: Path, node: ast.stmt | ast.expr | ast.ExceptHandler) -> str:
    return f"{file.relative_to(ROOT)}:{node.lineno}"
