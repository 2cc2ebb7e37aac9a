"""What the inbox is told and tells: frozen models, the same in Python and on the wire."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

TokenRole = Literal["annotator", "owner", "run"]
SkipReason = Literal["cannot_tell", "ambiguous", "bad_prompt", "none_right"]
QuestionState = Literal["open", "answered", "skipped", "disagreed", "expired", "withdrawn"]
LeasePurpose = Literal["question", "gold", "repeat"]


class Wire(BaseModel):
    """Strict and frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class Settings(Wire):
    """What a run registers: how it asks, pays and reads."""

    run: str
    source: str = "people"
    """Who sells, in the ledger."""
    budget_total: int | None = Field(None, ge=0, le=2**53)
    price: float = Field(1.0, ge=0, le=2**53)
    opinions: int = Field(1, ge=1, le=99)
    """People who must answer a question before it has a label."""
    expires_s: float | None = Field(None, gt=0, le=2**53)
    checks: float = Field(0.0, ge=0, le=0.5)
    """Share of gold questions, and again of repeats, in what a person gets."""
    weigh: bool = False
    """Whether labels count less where those who gave them are known to err."""
    guidelines: str = ""
    reading: dict[str, Any] | None = None
    """The run's ``reward`` section, by which typed answers are read; None: as they are."""


class GoldQuestion(Wire):
    """A question whose answer is known."""

    prompt: str
    label: str
    candidates: tuple[str, ...] = ()


class Given(Wire):
    """What a person says to a question: exactly one of a choice, a typed answer and a reason to skip."""

    choice: int | None = Field(None, ge=0)
    """Number of the chosen answer, as the item has it."""
    typed: str | None = Field(None, min_length=1, max_length=2000)
    skip: SkipReason | None = None
    note: str = Field("", max_length=2000)
    think_ms: int = Field(0, ge=0, le=86_400_000)
    """Time from seeing the question to confirming the answer; 0 where nobody measured it."""

    @model_validator(mode="after")
    def _says_one_thing(self) -> "Given":
        if sum(value is not None for value in (self.choice, self.typed, self.skip)) != 1:
            raise ValueError("give exactly one of choice, typed and skip")
        if self.typed is not None and not self.typed.strip():
            raise ValueError("the typed answer is empty: type one, or skip the question")
        return self


class Shown(Wire):
    """One of the model's distinct answers."""

    choice: int
    text: str
    solution: str


class Before(Wire):
    """What the same person said before an undo."""

    choice: int | None
    typed: str | None


class InboxItem(Wire):
    """A question as one person gets it: answers in an order of their own, and no counts."""

    lease: str
    item: str
    prompt: str
    amends: bool
    """Whether the run has the first answer already, so that another is kept beside it."""
    expires_at: float
    """When the question may go to somebody else without a heartbeat, in Unix seconds."""
    answers: tuple[Shown, ...]
    before: Before | None = None


class Stats(Wire):
    """How things stand, for one person."""

    open: int
    leased: int
    answered: int
    budget_total: float | None
    budget_left: float | None
    mine: int
    """Answers of this person."""
    items_per_hour: int
    """Answers of this person in the last hour."""
    waiting: bool
    """Whether the run waits for answers now."""
    waiting_until: float | None


class Annotator(Wire):
    """What is known of one person."""

    name: str
    answers: int
    skips: int
    median_think_s: float | None
    gold_asked: int
    gold_right: int
    repeats: int
    repeats_same: int
    overlaps: int
    """Settled questions that others answered too."""
    overlaps_same: int
    reliability: float
    last_seen: float | None


class OpenLease(Wire):
    """Who holds a question."""

    item: str
    annotator: str
    since: float
    expires_at: float


class Overview(Wire):
    """What the owner of a run sees."""

    stats: Stats
    states: dict[str, int]
    annotators: tuple[Annotator, ...]
    leases: tuple[OpenLease, ...]
    answers_per_hour: int
    agreement: float | None
    """Share of shared questions on which an opinion is that of the label; None where nothing was shared."""


class Listed(Wire):
    """One question in the owner's list."""

    item: str
    query: str
    prompt_id: str
    step: int
    state: str
    priority: float
    asked_at: float
    answer: str | None
    answered_by: str | None
    opinions: int


class Listing(Wire):
    """A page of the list, and the cursor of the next one."""

    items: tuple[Listed, ...]
    next: int | None
