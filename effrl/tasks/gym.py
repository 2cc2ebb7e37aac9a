"""Data sets of reasoning-gym as a source: ``tasks:countdown?split=dev&size=200``, rows made when they are read.

The library is imported by the functions, never with this module. Of its packages only what the data sets of
:data:`NAMES` need is loaded: importing it as a whole needs ten more libraries, one of them a C extension without a
wheel.
"""

import importlib
import math
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import util
from types import ModuleType
from typing import Any

from effrl.tasks.source import Split, split_of

_MODULES: Mapping[str, str] = {
    "chain_sum": "reasoning_gym.arithmetic.chain_sum",
    "basic_arithmetic": "reasoning_gym.arithmetic.basic_arithmetic",
    "gsm_symbolic": "reasoning_gym.arithmetic.gsm_symbolic.gsm_symbolic",
    "knights_knaves": "reasoning_gym.logic.knights_knaves",
    "countdown": "reasoning_gym.games.countdown",
}
NAMES: tuple[str, ...] = tuple(_MODULES)
"""The data sets, as reasoning-gym calls them."""

# Their __init__ would import every data set. Parents before children.
_SHELLS = ("reasoning_gym", "reasoning_gym.arithmetic", "reasoning_gym.games", "reasoning_gym.logic")

# What of its metadata a prompt may carry. A white list: there are solutions among the rest.
_PUBLIC: Mapping[str, tuple[str, ...]] = {"countdown": ("numbers", "target")}

# A draw is of the dev or the test split in one case out of ten.
_DRAWS_PER_PROBLEM = 40
_MORE_DRAWS = 1000

_LARGEST_DIVIDEND = 10**10

# What is graded at all. Countdown: sympy's parser runs what it parses as Python, names and calls included, and only
# plain whole numbers count as used (1e2 would be a hundred for free), so the game's four operations are all that
# reaches it. gsm_symbolic: the first digits count, whatever surrounds them: -5, 5/7 and "5 or 6" would all be 5.
_GRADED: Mapping[str, re.Pattern[str]] = {
    "countdown": re.compile(r"(?!.*(?:\*\*|//))[0-9 +*/()-]+"),
    "gsm_symbolic": re.compile(r"[^0-9.\-\u2212]*[0-9]+(?:\.[0-9]+)?[^0-9]*"),
}

Item = Mapping[str, Any]
"""What the library generates: ``question``, ``answer`` and ``metadata``."""


@dataclass(frozen=True, slots=True)
class GymProblem:
    """One row: ``GymProblem("Calculate 154 using all of …", "92 - 29 + 96 - 5", {"numbers": […], "target": 154})``."""

    prompt: str
    """The question, word for word."""
    answer: str
    """The label; for countdown, one of many solutions."""
    meta: Mapping[str, Any]
    """What :func:`score` needs beside the label; nothing that the question does not say."""


def problems(name: str, split: Split, size: int, seed: int) -> Iterator[GymProblem]:
    """``size`` distinct problems of ``split`` from the data set ``name``, reproducible from ``seed``.

    Raises (while iterating):
        ValueError: there is no such data set, or problems run out before ``size`` of them are found.
    """
    draws = _DRAWS_PER_PROBLEM * size + _MORE_DRAWS
    seen: set[str] = set()
    for item in _items(name, f"{name}/{split}/{seed}", draws):
        prompt = item["question"]
        if prompt not in seen and split_of(prompt) == split and _sound(name, item):
            seen.add(prompt)
            yield GymProblem(prompt, item["answer"], _public(name, item["metadata"]))
            if len(seen) == size:
                return
    raise ValueError(f"tasks:{name} gave only {len(seen)} distinct {split} problems in {draws} draws, not {size}")


def load(name: str) -> None:
    """Import what :func:`score` needs for ``name``, in a process that has a deadline for each answer.

    Raises:
        ValueError: there is no such data set.
    """
    _scorer(name)


def score(name: str, answer: str, label: str, meta: Mapping[str, Any]) -> float:
    """1.0 where the data set's own ``score_answer`` calls ``answer`` fully right, else 0.0.

    ``answer`` is a final answer, taken out of its completion already; ``label`` and ``meta`` are a
    :class:`GymProblem`'s.

    Raises:
        ValueError: there is no such data set.
        KeyError: ``meta`` lacks what the data set needs.
    """
    if name in _GRADED and not _GRADED[name].fullmatch(answer):
        return 0.0
    entry = {"answer": label, "metadata": _public(name, meta)}
    # The library pays for wrong answers too: 0.01 for any number, 0.05 for any expression, 0.65 for half of the
    # knights. An outcome says whether an answer is correct; credit for trying belongs into nobody's accuracy.
    return float(_scorer(name)(answer, entry) == 1.0)


def _items(name: str, stream: str, draws: int) -> Iterator[Item]:
    """The first ``draws`` items of the stream but those that the library fails to generate."""
    # An item is seeded with the sum of seed and index: plain seeds 0 and 1 would share all items but one.
    seed = int.from_bytes(blake2b(stream.encode(), digest_size=6).digest())
    dataset = _factory(name).create_dataset(name, size=draws, seed=seed)
    for index in range(draws):
        try:
            item = dataset[index]
        except (ArithmeticError, ValueError):
            continue  # a division by zero or by too large a number, or no target in range in a hundred attempts
        yield item


def _public(name: str, metadata: Mapping[str, Any]) -> dict[str, Any]:
    return {key: metadata[key] for key in _PUBLIC.get(name, ())}


def _sound(name: str, item: Item) -> bool:
    """Whether the label can be trusted.

    gsm_symbolic cannot grade negative labels (an age of -2), and basic_arithmetic rounds quotients down without saying
    so: it answers ``Calculate ( -6 + 3 ) / -( 8 - -9 + 18 ).`` with 0.
    """
    if name == "basic_arithmetic" and "/" in (expression := item["metadata"]["expression"]):
        from sympy.parsing.sympy_parser import parse_expr

        return bool(parse_expr(expression) == int(item["answer"]))
    return score(name, item["answer"], item["answer"], item["metadata"]) == 1.0


@cache
def _scorer(name: str) -> Callable[[str, Item], float]:
    scorer: Callable[[str, Item], float] = _factory(name).get_score_answer_fn(name)
    return scorer


@cache
def _factory(name: str) -> Any:
    """The library's ``factory`` module, with the data set ``name`` registered."""
    if name not in _MODULES:
        raise ValueError(f"tasks:{name} is none of reasoning-gym's data sets {', '.join(NAMES)}")
    with _private():
        importlib.import_module("reasoning_gym.coaching")  # before the factory: each imports the other
        module = importlib.import_module(_MODULES[name])
        if name in _REPAIRS:
            _REPAIRS[name](module)
        return importlib.import_module("reasoning_gym.factory")


def _load_all(module: Any) -> None:
    """Have ``gsm_symbolic`` import its generators now: at their first use, our copy of the library cannot be found."""
    data_set = module.GSMSymbolicDataset
    data_set.generators = data_set._load_generators(None)


def _bound(module: Any) -> None:
    """Have ``basic_arithmetic`` fail where it would search for hours: it tries all divisors up to the square root.

    One draw in 10,000 divides a number of 15 digits or more, up to 20. What it does generate is unchanged.
    """
    divisors: Callable[[int, int], list[int]] = module.find_common_divisors

    def bounded(a: int, b: int) -> list[int]:
        if math.gcd(a, b) > _LARGEST_DIVIDEND:
            raise OverflowError(f"{math.gcd(a, b)} has too many divisors to try")
        return divisors(a, b)

    module.find_common_divisors = bounded


_REPAIRS: Mapping[str, Callable[[Any], None]] = {"gsm_symbolic": _load_all, "basic_arithmetic": _bound}


@contextmanager
def _private() -> Iterator[None]:
    """Meanwhile, imports from reasoning-gym make a copy of our own, whose packages in _SHELLS run no ``__init__``.

    Afterwards ``sys.modules`` is as before: who has installed the library as a whole can import it as it is.
    """
    before = {module: sys.modules.pop(module) for module in _loaded()}
    try:
        for package in _SHELLS:
            sys.modules[package] = _shell(package)
        yield
    finally:
        for module in _loaded():
            del sys.modules[module]
        sys.modules.update(before)


def _loaded() -> list[str]:
    return [module for module in sys.modules if module.partition(".")[0] == "reasoning_gym"]


def _shell(package: str) -> ModuleType:
    """The package without its content: it only tells where its modules lie."""
    spec = util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return util.module_from_spec(spec)
