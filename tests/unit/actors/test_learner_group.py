"""What is called on the ranks by name exists there: no type checker looks into a string."""

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

import actors
from actors.learner.actor import LearnerRank
from actors.prm.actor import PrmRank

CALLS = {"all", "first", "scatter", "each", "rows"}


def asked_for(folders: Iterable[str]) -> set[str]:
    """Literal names of methods in ``group.first("name", …)`` and the like, in these folders of :mod:`actors`."""
    found = set()
    for file in (file for folder in folders for file in (Path(actors.__file__).parent / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
                found |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found


@pytest.mark.parametrize(
    ("role", "folders", "some"),
    [
        (LearnerRank, ("learner", "driver", "cluster.py"), {"logprobs", "perturb", "undo_perturb", "step", "view"}),
        (PrmRank, ("prm",), {"step", "score", "pieces", "sleep", "wake"}),
    ],
)
def test_the_ranks_have_every_method_that_they_are_asked_for(
    role: type, folders: tuple[str, ...], some: set[str]
) -> None:
    names = asked_for(folders)
    assert some <= names, "they were found"
    assert [name for name in sorted(names) if not callable(vars(role).get(name))] == []
