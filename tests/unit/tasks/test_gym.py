"""Data sets of reasoning-gym: splits, grading, and that a prompt never carries its answer."""

import json
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from itertools import product
from types import ModuleType
from typing import get_args

import pytest

from effrl.tasks import gym
from effrl.tasks.gym import NAMES, GymProblem, problems, score
from effrl.tasks.source import Split, split_of

FAST = tuple(name for name in NAMES if name != "countdown")
"""Countdown takes 30 ms for each draw, and a held-out row ten draws."""

DIGESTS = """
import sys
from effrl.tasks import gym
print("reasoning_gym" in sys.modules)
from tests.unit.tasks.test_gym import digest
print("reasoning_gym" in sys.modules)
for name in gym.NAMES:
    print(digest(name))
print("reasoning_gym" in sys.modules)
"""


def rows(name: str, split: Split = "train", size: int = 4, seed: int = 0) -> list[GymProblem]:
    return list(problems(name, split, size, seed))


def digest(name: str) -> str:
    return blake2b(repr(rows(name)).encode()).hexdigest()


# --- rows


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_reproducible(name: str) -> None:
    first = rows(name)
    assert first == rows(name)
    assert {row.prompt for row in first}.isdisjoint(row.prompt for row in rows(name, seed=1))


def test_every_process_makes_the_same_rows() -> None:
    """The driver, the data actor and the oracle each make their own; strings hash differently in each of them."""
    process = subprocess.run([sys.executable, "-c", DIGESTS], capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    light, still_light, *digests, whole = process.stdout.split()
    assert (light, still_light) == ("False", "False"), "importing the module loads the library"
    assert digests == [digest(name) for name in NAMES]
    assert whole == "False", "a package that has not run its __init__ is left for others to import"


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("size", [1, 40])
def test_as_many_distinct_rows_as_asked_for(name: str, size: int) -> None:
    assert len({row.prompt for row in rows(name, "dev", size)}) == size


@pytest.mark.parametrize("name", FAST)
def test_splits_share_no_problem(name: str) -> None:
    found: dict[str, set[str]] = {split: set() for split in get_args(Split)}
    for split, seed in product(get_args(Split), range(3)):
        drawn = {row.prompt for row in rows(name, split, 10, seed)}
        assert {split_of(prompt) for prompt in drawn} == {split}
        found[split] |= drawn
    assert not found["train"] & found["dev"] and not found["train"] & found["test"] and not found["dev"] & found["test"]


def test_held_out_countdown() -> None:
    assert [split_of(row.prompt) for row in rows("countdown", "dev", 2)] == ["dev"] * 2


@pytest.mark.parametrize("name", NAMES)
def test_a_prompt_does_not_carry_its_answer(name: str) -> None:
    public = {"countdown": {"numbers", "target"}}
    for row in rows(name):
        assert set(row.meta) == public.get(name, set())
        assert row.answer not in json.dumps(dict(row.meta))
        assert all(str(number) in row.prompt for number in [*row.meta.get("numbers", []), row.meta.get("target", "")])


@pytest.mark.parametrize("name", NAMES)
def test_it_says_so_where_problems_run_out(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gym, "_DRAWS_PER_PROBLEM", 0)
    monkeypatch.setattr(gym, "_MORE_DRAWS", 5)
    with pytest.raises(ValueError, match=rf"^tasks:{name} gave only \d distinct train problems in 5 draws, not 6$"):
        rows(name, size=6)


def test_an_unknown_name() -> None:
    with pytest.raises(ValueError, match=r"^tasks:sudoku is none of .*chain_sum, .*countdown$"):
        rows("sudoku")
    with pytest.raises(ValueError, match=r"^tasks:sudoku is none of"):
        gym.load("sudoku")


class Faulty:
    """A library whose every third item divides by zero."""

    def create_dataset(self, name: str, size: int, seed: int) -> "Faulty":
        return self

    def get_score_answer_fn(self, name: str) -> Callable[[str, object], float]:
        return lambda answer, entry: 1.0

    def __getitem__(self, index: int) -> dict[str, object]:
        return {"question": f"Calculate {index} / {index % 3}.", "answer": str(index // (index % 3)), "metadata": {}}


def test_what_the_library_fails_to_generate_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gym, "_factory", lambda name: Faulty())
    monkeypatch.setattr(gym, "_scorer", Faulty().get_score_answer_fn)
    assert {row.prompt[-4:] for row in rows("chain_sum", size=30)} == {"/ 1.", "/ 2."}


def test_no_item_takes_hours() -> None:
    """The library tries every divisor up to the square root; these rows have a dividend of 18 digits among them."""
    assert len(rows("basic_arithmetic", "dev", 60)) == 60


def test_an_installed_library_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = {name: ModuleType(name) for name in ("reasoning_gym", "reasoning_gym.factory")}
    for name, module in theirs.items():
        monkeypatch.setitem(sys.modules, name, module)
    ours = gym._factory.__wrapped__("chain_sum")
    assert ours.__name__ == "reasoning_gym.factory" and ours is not theirs["reasoning_gym.factory"]
    assert {name: module for name, module in sys.modules.items() if name.startswith("reasoning_gym")} == theirs


def test_quotients_are_exact() -> None:
    """The library rounds some down, in one row out of a hundred."""
    divisions = [row for row in rows("basic_arithmetic", size=800) if "/" in row.prompt]
    assert len(divisions) > 100
    expressions = [row.prompt.removeprefix("Calculate ").removesuffix(".") for row in divisions]
    assert [eval(text) for text in expressions] == pytest.approx([int(row.answer) for row in divisions])


# --- grading


@pytest.mark.parametrize("name", NAMES)
def test_the_label_is_right(name: str) -> None:
    for row in rows(name, size=8 if name == "countdown" else 100):
        assert score(name, row.answer, row.answer, row.meta) == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_what_differs_from_the_label_is_wrong(name: str) -> None:
    for row in rows(name):
        for wrong in _mutations(name, row.answer):
            assert score(name, wrong, row.answer, row.meta) == 0.0, (wrong, row)


def _mutations(name: str, answer: str) -> list[str]:
    always = ["", " ", "I do not know", "#"]
    if name == "knights_knaves":
        return [*always, answer.partition(",")[0], f"{answer} {answer.split()[0]} is a fool."]
    if name == "countdown":
        return [*always, f"{answer} + 1", f"{answer} + 0", f"1 + {answer}", f"-({answer})"]
    return [*always, f"{answer}1", str(int(float(answer)) + 1), f"1{answer.removeprefix('-')}"]


def test_part_of_the_answer_is_not_right() -> None:
    """The library gives each of these some credit."""
    assert score("chain_sum", "the sum is 42", "42", {}) == 0.0
    assert score("basic_arithmetic", "42.", "42", {}) == 0.0
    assert score("gsm_symbolic", "41", "42", {}) == 0.0
    assert score("knights_knaves", "Ava is a saint, Mia is a saint", "Ava is a saint, and Mia is a sinner.", {}) == 0.0
    assert score("countdown", "100 + 1", "1 + 2 * 50", {"numbers": [1, 2, 50], "target": 101}) == 0.0


def test_another_way_to_write_it_is_right() -> None:
    assert score("chain_sum", "+1,042.0", "1042", {}) == 1.0
    assert score("gsm_symbolic", "42.0", "42", {}) == 1.0
    assert score("gsm_symbolic", "$42 a day", "42", {}) == 1.0
    assert (
        score("knights_knaves", "mia is a sinner and ava is a saint", "Ava is a saint, and Mia is a sinner.", {}) == 1
    )
    assert score("countdown", "(50*2)+1", "1 + 2 * 50", {"numbers": [1, 2, 50], "target": 101}) == 1.0


@pytest.mark.parametrize(
    "answer",
    [
        "50 + 2 - 1 + 5e1",  # numbers that the library does not see, and so does not count as used
        "50 + 2 - 1 + 0x32",
        "50 + 2 - 1 + 5_0",
        "50 + 2 - 1 + ord('2')",
        "50 + 2 - 1 + len(str(10**49))",
        "50 * 2 + 1**9",
        "50 * 2 + 3 // 2",
        "1 + 2 * 50 = 101",
        "9**9**9**9",
    ],
)
def test_only_the_four_operations_count(answer: str) -> None:
    assert score("countdown", answer, "1 + 2 * 50", {"numbers": [1, 2, 50], "target": 101}) == 0.0


@pytest.mark.parametrize("answer", ["-5", "\u22125", ".5", "5 or 6", "5/7", "5,000", "x - 5", "5e1"])
def test_the_first_digits_are_not_the_answer(answer: str) -> None:
    assert score("gsm_symbolic", answer, "5", {}) == 0.0


def test_an_answer_is_not_run() -> None:
    """Sympy's parser evaluates what it is given, and a policy writes the answers."""
    answer = "__import__('sys').modules.__setitem__('effrl_was_here', 1) or 1 + 2 * 50"
    assert score("countdown", answer, "1 + 2 * 50", {"numbers": [1, 2, 50], "target": 101}) == 0.0
    assert "effrl_was_here" not in sys.modules


def test_countdown_needs_its_numbers() -> None:
    with pytest.raises(KeyError, match="numbers"):
        score("countdown", "1 + 2", "1 + 2", {})
