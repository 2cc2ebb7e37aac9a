"""What an oracle is asked for a label, and how it replies: at once, later or never."""

from dataclasses import dataclass

from effrl.types import Prompt


@dataclass(frozen=True, slots=True)
class Question:
    """What an oracle is asked: a prompt, and the distinct answers of the policy to it, the most frequent first."""

    prompt: Prompt
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Label:
    """An oracle's reply: the true answer. It is paid for, and owned from the next step on."""

    answer: str


@dataclass(frozen=True, slots=True)
class Asked:
    """An oracle's reply: the answer will come later, under the name of this query; its cost is held back."""

    query: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An oracle's reply: there will be no answer, and nothing is charged."""

    reason: str


Reply = Label | Asked | Refused


@dataclass(frozen=True, slots=True)
class Answer:
    """The late answer to a query; None where nobody could give one."""

    query: str
    prompt_id: str
    answer: str | None
