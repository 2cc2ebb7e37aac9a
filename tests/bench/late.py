"""People who are late, and people who err: oracles that studies name by path. Their labels are those of ``strings``."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from effrl.config.label_base import LabelConfig
from effrl.config.schema import Config
from effrl.data.reader import read
from effrl.questions import Answer, Asked, Question, Reply
from effrl.seeds import stream

NEVER = 10**9


def strings() -> dict[str, str]:
    """The label of each prompt, by id."""
    data = Config.model_validate({"data": {"train": "tasks:strings"}}).data
    return {row.prompt.id: row.label for row in read(data.train, data.form) if row.label is not None}


@dataclass
class Late:
    """An :class:`~effrl.protocols.Answerer` whose answer comes ``delay`` steps after its question, and errs at random.

    One that errs chooses another answer of the model, as somebody would who is taken in by it; where there is none, the
    label is right all the same. A run looks for answers once per step, at its beginning.
    """

    delay: int = 0
    errs: float = 0.0
    weighed: bool = False
    """Whether labels count as much as they are worth, 2p - 1 for a share p of right ones."""
    source: str = "people"
    _steps: int = 0
    _waiting: dict[str, tuple[int, Answer]] = field(default_factory=dict)
    """By query: the step at which the answer is due."""
    _labels: dict[str, str] = field(default_factory=strings)

    def ask(self, questions: Mapping[str, Question]) -> dict[str, Reply]:
        for query, question in questions.items():
            answer = Answer(query, question.prompt.id, self._said(query, question), self._weight)
            self._waiting.setdefault(query, (self._steps + max(1, self.delay), answer))
        return {query: Asked(query) for query in questions}

    def answered(self) -> Sequence[Answer]:
        self._steps += 1
        due = [query for query, (step, _) in self._waiting.items() if step <= self._steps]
        return [self._waiting.pop(query)[1] for query in due]

    def withdraw(self, queries: Sequence[str]) -> None:
        for query in queries:
            self._waiting.pop(query, None)

    @property
    def _weight(self) -> float:
        return 1 - 2 * self.errs if self.weighed else 1.0

    def _said(self, query: str, question: Question) -> str:
        label, draw = self._labels[question.prompt.id], stream(1, "late", query)
        others = [answer for answer in question.candidates if answer != label]
        return draw.choice(others) if others and draw.random() < self.errs else label


def next_step(config: LabelConfig) -> Late:
    return Late()


def after_5(config: LabelConfig) -> Late:
    return Late(delay=5)


def after_50(config: LabelConfig) -> Late:
    return Late(delay=50)


def never(config: LabelConfig) -> Late:
    return Late(delay=NEVER)


def errs_5(config: LabelConfig) -> Late:
    return Late(errs=0.05)


def errs_15(config: LabelConfig) -> Late:
    return Late(errs=0.15)


def errs_15_weighed(config: LabelConfig) -> Late:
    return Late(errs=0.15, weighed=True)


def errs_5_weighed(config: LabelConfig) -> Late:
    return Late(errs=0.05, weighed=True)
