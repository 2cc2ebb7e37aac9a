"""What is called on the ranks by name exists there: no type checker looks into a string."""

import ast
from pathlib import Path

import actors
from actors.learner.actor import LearnerRank

CALLS = {"all", "first", "scatter", "each"}


def asked_for() -> set[str]:
    """Literal names of methods in ``group.first("name", …)`` and the like, in all of :mod:`actors`."""
    found = set()
    for file in Path(actors.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
                found |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found


def test_the_ranks_have_every_method_that_they_are_asked_for() -> None:
    names = asked_for()
    assert {"logprobs", "perturb", "undo_perturb", "step"} <= names, "they were found"
    assert [name for name in sorted(names) if not callable(vars(LearnerRank).get(name))] == []
