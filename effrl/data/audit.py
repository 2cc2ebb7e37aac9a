"""A whole look at a data source: everything that is wrong with it, not only the first thing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np

from effrl.acceptable import alternatives
from effrl.config.data import Source
from effrl.config.template import PLAIN, Form
from effrl.data import doubts
from effrl.data.reader import pools, scan
from effrl.data.text import short
from effrl.errors import Malformed
from effrl.reward.extract import final_answer
from effrl.types import Int32, Prompt, Row

QUANTILES = {"least": 0.0, "median": 0.5, "90 %": 0.9, "99 %": 0.99, "most": 1.0}


@dataclass(slots=True)
class Findings:
    """Problems of one kind: all are counted, the first are told."""

    limit: int
    count: int = 0
    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        self.count += 1
        if len(self.lines) < self.limit:
            self.lines.append(line)


@dataclass(frozen=True, slots=True)
class Ruler:
    """How prompts are measured: by their tokens, and by what a model has room for."""

    tokens: Callable[[Prompt], int]
    """Raises :class:`~effrl.errors.Malformed` for one that the model cannot read."""
    room: int
    """Longest prompt that fits, in tokens."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What one pass over a source found."""

    rows: int
    """Without those that cannot be read as rows."""
    labelled: int
    malformed: Findings
    repeated: Findings
    """Rows whose prompt came before; spaces aside."""
    conflicts: Findings
    """Rows whose prompt came before with another final answer; of several acceptable ones, with none of them."""
    too_long: Findings
    prefilled: Findings
    """Rows whose prompt ends with the assistant's turn, which the policy goes on with."""
    doubtful: Findings
    """Rows whose label is a word for no label."""
    lengths: Int32
    """Tokens of every prompt; empty where nothing measured them."""
    places: Mapping[bytes, str]
    """Where every prompt is first, by its digest."""

    def quantiles(self) -> dict[str, int]:
        """Lengths at :data:`QUANTILES`, in tokens; there must be some."""
        values = np.quantile(self.lengths, list(QUANTILES.values()), method="inverted_cdf")
        return {name: int(value) for name, value in zip(QUANTILES, values, strict=True)}


def audit(source: Source, form: Form = PLAIN, ruler: Ruler | None = None, limit: int = 10) -> Audit:
    """Read a source to its end, over malformed rows.

    Args:
        limit: problems of each kind to tell; all are counted.

    Raises:
        UserError: a file cannot be read or is empty.
    """
    auditor = _Auditor(ruler, limit)
    for pool in pools(source):
        for entry in scan(pool, form):
            auditor.add(entry.place, entry.row)
    return auditor.result()


def shared(train: Audit, held_out: Audit, limit: int = 10) -> Findings:
    """Held-out prompts that are trained on: what they measure is memory."""
    found = Findings(limit)
    for digest, place in held_out.places.items():
        if digest in train.places:
            found.add(f"{place} is {train.places[digest]}")
    return found


class _Auditor:
    def __init__(self, ruler: Ruler | None, limit: int) -> None:
        self._ruler = ruler
        self._rows, self._labelled = 0, 0
        self._malformed, self._repeated, self._conflicts, self._too_long = (Findings(limit) for _ in range(4))
        self._prefilled, self._doubtful = Findings(limit), Findings(limit)
        self._lengths: list[int] = []
        self._places: dict[bytes, str] = {}
        self._answers: dict[bytes, tuple[str, tuple[str, ...]]] = {}

    def add(self, place: str, row: Row | Malformed) -> None:
        if isinstance(row, Malformed):
            self._malformed.add(f"{place}: {row}")
            return
        self._rows += 1
        self._labelled += row.label is not None
        self._compare(place, row)
        if doubts.prefilled(row):
            self._prefilled.add(place)
        if row.label is not None and doubts.doubtful(row):
            self._doubtful.add(f"{place} is labelled {short(row.label)}")
        if self._ruler is not None:
            self._measure(place, row.prompt, self._ruler)

    def result(self) -> Audit:
        return Audit(
            self._rows,
            self._labelled,
            self._malformed,
            self._repeated,
            self._conflicts,
            self._too_long,
            self._prefilled,
            self._doubtful,
            np.array(self._lengths, np.int32),
            self._places,
        )

    def _compare(self, place: str, row: Row) -> None:
        digest = _digest(row.prompt)
        first = self._places.setdefault(digest, place)
        if first != place:
            self._repeated.add(f"{place} repeats {first}")
        if row.label is None:
            return
        # Worked solutions may differ, and agree in the end.
        answers = tuple(final_answer(label) or label.strip() for label in alternatives(row.label))
        before, others = self._answers.setdefault(digest, (place, answers))
        if set(answers).isdisjoint(others):
            self._conflicts.add(f"{place} is answered {_listed(answers)}, {before} {_listed(others)}")

    def _measure(self, place: str, prompt: Prompt, ruler: Ruler) -> None:
        try:
            length = ruler.tokens(prompt)
        except Malformed as problem:  # its chat template refuses it
            self._malformed.add(f"{place}: {problem}")
            return
        self._lengths.append(length)
        if length > ruler.room:
            self._too_long.add(f"{place} has {length:,} tokens")


def _listed(answers: tuple[str, ...]) -> str:
    return " | ".join(map(short, answers))


def _digest(prompt: Prompt) -> bytes:
    content = prompt.content
    turns = [("", content)] if isinstance(content, str) else [(turn["role"], turn["content"]) for turn in content]
    words = [[role, *text.split()] for role, text in turns]
    return blake2b(repr(words).encode(), digest_size=16).digest()
