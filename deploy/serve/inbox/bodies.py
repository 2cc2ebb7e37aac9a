"""What the routes take and give that is not the inbox's own (:mod:`effrl.label.oracle.inbox.messages`)."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator

from effrl.config.reward import AnyReward
from effrl.label.oracle.inbox.messages import Given, GoldQuestion, InboxItem, Settings, SkipReason, Stats, TokenRole
from effrl.questions import Answer, Asked, Label, Question, Refused
from effrl.types import Message, Prompt, Step

WireNumber = Annotated[int, Field(ge=0, le=2**53)]
"""Any number that SQLite and JSON both hold."""
Name = Annotated[str, Field(max_length=2000)]
LeaseName = Annotated[str, Field(pattern="^[0-9a-f]{1,64}$")]
Uuid = Annotated[str, Field(pattern="^[0-9A-Za-z-]{1,64}$")]

REWARD: TypeAdapter[Any] = TypeAdapter(AnyReward)
"""Of ``Settings.reading``."""


class Body(BaseModel):
    """Strict: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class WhoAmI(Body):
    """What a token stands for."""

    role: TokenRole
    annotator: str
    run: str | None
    guidelines: str
    opinions: int


class LeaseWish(Body):
    """How many questions are wanted, beside those in hand."""

    count: Annotated[int, Field(ge=1, le=3)] = 1
    holding: Annotated[list[LeaseName], Field(max_length=100)] = []


class Leased(Body):
    """Questions that were handed out; fewer than asked for, or none, where there is no work."""

    items: list[InboxItem]
    stats: Stats


class Heartbeat(Body):
    """Leases in hand."""

    leases: Annotated[list[LeaseName], Field(max_length=100)]


class Beaten(Body):
    """Until when these last, and which are lost."""

    expires_at: dict[str, float]
    lost: list[str]


class AnswerBody(Body):
    """An answer: exactly one of choice, typed and skip, under a name that the client makes up and keeps."""

    uuid: Uuid
    choice: Annotated[int, Field(ge=0, le=2**31)] | None = None
    typed: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    skip: SkipReason | None = None
    note: Annotated[str, Field(max_length=2000)] = ""
    think_ms: Annotated[int, Field(ge=0)] = 0

    def given(self) -> Given:
        """What was said. Raises pydantic's ValidationError unless it is exactly one thing."""
        longest = 86_400_000  # a tab that stayed open over night thought no longer than a day
        said = self.model_dump(exclude={"uuid", "think_ms"})
        return Given(**said, think_ms=min(self.think_ms, longest))


class Acknowledged(Body):
    """The answer is on disk."""

    uuid: str
    stats: Stats


class Undone(Body):
    """The question again."""

    item: InboxItem


class Typed(Body):
    """An answer while it is typed."""

    lease: LeaseName
    typed: Annotated[str, Field(max_length=2000)]


class Understood(Body):
    """How a typed answer is read."""

    answer: str | None
    same_as: int | None
    """Number of the model's answer that it equals."""
    note: str


class StepBody(Body):
    """A step of a run."""

    number: WireNumber
    stage: Name
    place: WireNumber
    of: WireNumber

    def step(self) -> Step:
        return Step(self.number, self.stage, self.place, self.of)


class Turn(Body):
    """One message of a conversation."""

    role: Name
    content: str

    def message(self) -> Message:
        return {"role": self.role, "content": self.content}


class PromptBody(Body):
    """A prompt, as text or as messages."""

    id: Name
    content: str | list[Turn]
    meta: dict[str, object] = {}

    def prompt(self) -> Prompt:
        content = self.content
        return Prompt(self.id, content if isinstance(content, str) else tuple(turn.message() for turn in content))


class QuestionBody(Body):
    """A prompt, and the policy's distinct answers with a solution each."""

    prompt: PromptBody
    candidates: list[str] = []
    solutions: list[str] = []
    priority: float = 0.0

    def question(self) -> Question:
        return Question(self.prompt.prompt(), tuple(self.candidates), tuple(self.solutions), self.priority)


class AskBody(Body):
    """The questions of a step."""

    step: StepBody
    questions: Annotated[list[QuestionBody], Field(max_length=10_000)]


class OwnedBody(Body):
    """Prompts that a step is about to decide on."""

    step: StepBody
    prompt_ids: Annotated[list[Name], Field(max_length=100_000)]


class WithdrawBody(Body):
    """Questions to take back."""

    queries: Annotated[list[Name], Field(max_length=100_000)]


class WaitingBody(Body):
    """Until when the run waits for answers, in Unix seconds."""

    until: Annotated[float, Field(ge=0, le=1e12)]


class RegisterBody(Body):
    """How a run asks."""

    settings: Settings
    gold: Annotated[list[GoldQuestion], Field(max_length=10_000)] = []

    @field_validator("settings")
    @classmethod
    def _reads(cls, settings: Settings) -> Settings:
        if settings.reading is not None:
            REWARD.validate_python(settings.reading)
        return settings


class Told(Body):
    """Late answers, and the cursor to go on from."""

    cursor: int
    answers: list[Answer]


Replies = list[Label | Asked | Refused]
Standings = list[Label | Asked | None]
