"""GSM8K as published: worked solutions, the ways to write their answers, and other answers in their place."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "shared" / "data" / "gsm8k"
ROWS = 8_792


@dataclass(frozen=True, slots=True)
class Solution:
    """A worked solution and its final answer, cut apart without the code under test."""

    work: str
    final: str

    @property
    def value(self) -> Decimal:
        return Decimal(self.final.replace(",", ""))

    def ending(self, final: str) -> str:
        return f"{self.work}\n#### {final}"


class NotThere(Exception):
    """The files are not on this machine."""


def published() -> list[Solution]:
    """All worked solutions, of both splits.

    Raises:
        NotThere: they are not beside the checkout.
    """
    files = [FOLDER / "train.jsonl", FOLDER / "test.jsonl"]
    if missing := [str(file) for file in files if not file.exists()]:
        raise NotThere(f"GSM8K IS NOT THERE: the verifier goes unchecked on real data; looked for {', '.join(missing)}")
    answers = [json.loads(line)["answer"] for file in files for line in file.read_text().splitlines()]
    return [Solution(*answer.split("\n#### ")) for answer in answers]


FORMS: dict[str, Callable[[Solution], str]] = {
    "as published": lambda s: s.ending(s.final),
    "boxed": lambda s: f"{s.work}\nSo the answer is \\boxed{{{s.final}}}.",
    "one hash": lambda s: f"{s.work}\n#{s.final}",
    "no thousands separators": lambda s: s.ending(s.final.replace(",", "")),
    "thousands separators": lambda s: s.ending(f"{s.value:,}"),
    "dollars": lambda s: s.ending(f"${s.final}"),
    "sentence": lambda s: s.ending(f"{s.final}."),
}


def _intermediates(solution: Solution) -> Iterator[str]:
    """Results of calculations on the way that differ from the final answer in value."""
    for number in re.findall(r"=(-?[\d,]*\.?\d+)>>", solution.work):
        if Decimal(number.replace(",", "")) != solution.value:
            yield number


MUTATIONS: dict[str, Callable[[Solution], list[str]]] = {
    "plus one": lambda s: [str(s.value + 1)],
    "minus one": lambda s: [str(s.value - 1)],
    "times ten": lambda s: [str(s.value * 10)] if s.value else [],
    "sign flipped": lambda s: [str(-s.value)] if s.value else [],
    "an intermediate number": lambda s: list(_intermediates(s)),
}
