"""What an oracle is asked for a label, how it replies (at once, later or never), and how its account stands."""

from dataclasses import dataclass

from effrl.types import Prompt


@dataclass(frozen=True, slots=True)
class Question:
    """What an oracle is asked: a prompt, and the distinct answers of the policy to it, the most frequent first.

    Example: ``Question(prompt, ("46", "45"), ("12+34=46;#46", "12+34=45;#45"), 1.4)``.
    """

    prompt: Prompt
    candidates: tuple[str, ...] = ()
    solutions: tuple[str, ...] = ()
    """One completion for each candidate, for people to look at."""
    priority: float = 0.0
    """What the labeller ranked the group by: of open questions, people get the highest first."""


@dataclass(frozen=True, slots=True)
class Label:
    """An oracle's reply: the true answer. It is paid for, and owned from the next step on."""

    answer: str
    weight: float = 1.0
    """How much it counts in the loss, in (0, 1]: less where those who gave it are known to err."""


@dataclass(frozen=True, slots=True)
class Asked:
    """An oracle's reply: the answer will come later, under the name of this query; its cost is held back."""

    query: str


@dataclass(frozen=True, slots=True)
class Refused:
    """An oracle's reply: there will be no answer, and nothing is charged."""

    reason: str
    """Why, in words that go on from "no label: ": :data:`BUDGET_SPENT`, :data:`UNLABELLED`, or an oracle's own."""


Standing = Label | Asked | None
"""What an oracle knows of a prompt before a step decides: its label is owned, it is asked for, or neither."""


BUDGET_SPENT = "the budget is spent"
UNLABELLED = "the data have none for this prompt"
WITHDRAWN = "the question was withdrawn"


Reply = Label | Asked | Refused


@dataclass(frozen=True, slots=True)
class Answer:
    """The late answer to a query; None where nobody could give one."""

    query: str
    prompt_id: str
    answer: str | None
    weight: float = 1.0
    """As of a :class:`Label`."""
    reason: str = ""
    """Why there is no answer, in words that go on from "no label: "."""


@dataclass(frozen=True, slots=True)
class Account:
    """What an oracle has sold by the end of a step.

    Later steps do not count: an attempt that a resume took back may have made them already, and a look ahead may be
    paying for the next one. So a step that is repeated has the account that it had the first time.
    """

    bought: int
    """Labels that the step bought."""
    bought_total: int
    """Labels that were bought up to the step."""
    open: int
    """Queries up to the step whose answer has not come."""
    budget_left: float | None
    """What committed and open purchases up to the step leave of the budget; None without a limit."""
    price: float
    """Of one label."""
    reused: int = 0
    """Labels that earlier runs bought, and this one has for nothing (``label.reuse``)."""

    @property
    def spent(self) -> bool:
        """Whether the budget buys no other label."""
        return self.budget_left is not None and self.budget_left + ROUNDING < self.price

    @property
    def exhausted(self) -> bool:
        """Whether there is no label to learn from, and none will come: nothing is owned, asked for or affordable."""
        return self.spent and self.bought_total + self.reused + self.open == 0


ROUNDING = 1e-9
"""Tolerance of sums of costs: ten labels of 0.1 fit into a budget of 1."""
