"""What is called on the ranks by name exists there: no type checker looks into a string."""

import ast
from collections.abc import Iterable
from pathlib import Path

import pytest

import actors
from actors.learner.actor import LearnerRank
from actors.prm.actor import PrmRank
from actors.prm.judge import PrmJudge

CALLS = {"all", "first", "scatter", "each", "rows"}
JUDGING = Path(actors.__file__).parent / "driver" / "judging.py"
"""What the driver asks of a judge, and not of the learner."""


def asked_for(patterns: Iterable[str]) -> set[str]:
    """Literal names of methods in ``group.first("name", …)`` and the like, in these files of :mod:`actors`."""
    files = [file for pattern in patterns for file in Path(actors.__file__).parent.glob(pattern)]
    return {name for file in files if file != JUDGING for name in asked_in(file)}


def asked_in(file: Path) -> set[str]:
    """The same of one file."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CALLS:
            found |= {a.value for a in node.args[:1] if isinstance(a, ast.Constant) and isinstance(a.value, str)}
    return found


@pytest.mark.parametrize(
    ("role", "files", "some"),
    [
        (LearnerRank, ("learner/*.py", "driver/*.py", "*.py"), {"logprobs", "perturb", "undo_perturb", "step", "view"}),
        (PrmRank, ("prm/*.py",), {"step", "score", "pieces", "sleep", "wake"}),
    ],
)
def test_the_ranks_have_every_method_that_they_are_asked_for(
    role: type, files: tuple[str, ...], some: set[str]
) -> None:
    names = asked_for(files)
    assert some <= names, "they were found"
    assert [name for name in sorted(names) if not callable(vars(role).get(name))] == []


def test_a_judge_has_every_method_that_it_is_asked_for() -> None:
    names = asked_in(JUDGING)
    assert names == {"score"} and all(callable(vars(PrmJudge).get(name)) for name in names)
