"""What the routes take: the part of OpenAI's API that a policy has an answer to. Anything else is refused by name.

A key that is ignored would change what an answer means without a word: a client that asks for tools or a JSON schema
and gets free text would blame the policy.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

MOST_CHOICES = 16
"""Completions of one request, of all its prompts together."""
Text = Annotated[str, Field(max_length=2**20)]
Stop = Annotated[str, Field(min_length=1, max_length=256)]
Penalty = Annotated[float, Field(ge=-2, le=2)] | None


class OpenAIBody(BaseModel):
    """Strict: an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class ChatTurn(OpenAIBody):
    """One message, as text."""

    role: Literal["system", "user", "assistant"]
    content: Text


class StreamWish(OpenAIBody):
    """``stream_options``."""

    include_usage: bool = False


class SamplingBody(OpenAIBody):
    """What both kinds of completion are asked with."""

    model: Annotated[str, Field(max_length=512)] | None = None
    """A name of ``/v1/models``: the run's, which follows its versions, or a version's, which goes with it."""
    max_tokens: Annotated[int, Field(ge=1, le=2**20)] | None = None
    """Longest completion; the server's limit by default."""
    n: Annotated[int, Field(ge=1, le=MOST_CHOICES)] = 1
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=-1, le=2**20)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    presence_penalty: Penalty = None
    frequency_penalty: Penalty = None
    seed: Annotated[int, Field(ge=0, le=2**63 - 1)] | None = None
    stop: Stop | Annotated[list[Stop], Field(max_length=8)] | None = None
    stream: bool = False
    stream_options: StreamWish | None = None
    user: Annotated[str, Field(max_length=512)] | None = None

    @model_validator(mode="after")
    def _options_of_a_stream(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options are for stream: true")
        if self.temperature == 0 and self.n > 1:
            raise ValueError("at temperature 0 all n completions are alike: ask for one")
        return self

    @property
    def longest(self) -> int | None:
        """The longest completion that is asked for."""
        return self.max_tokens

    @property
    def choices(self) -> int:
        """Completions that are asked for in all."""
        return self.n


class ChatBody(SamplingBody):
    """``POST /v1/chat/completions``."""

    messages: Annotated[list[ChatTurn], Field(min_length=1, max_length=1024)]
    max_completion_tokens: Annotated[int, Field(ge=1, le=2**20)] | None = None
    """The newer name of ``max_tokens``."""
    logprobs: bool = False
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    @model_validator(mode="after")
    def _says_once(self) -> Self:
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens are the same: give one")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs are for logprobs: true")
        return self

    @property
    def longest(self) -> int | None:
        return self.max_completion_tokens or self.max_tokens


class CompletionBody(SamplingBody):
    """``POST /v1/completions``."""

    prompt: Text | Annotated[list[Text], Field(min_length=1, max_length=MOST_CHOICES)]
    logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    echo: Literal[False] = False
    """A prompt is not repeated."""

    @model_validator(mode="after")
    def _few(self) -> Self:
        if self.choices > MOST_CHOICES:
            raise ValueError(f"{self.choices} completions in one request are too many: {MOST_CHOICES} at most")
        return self

    @property
    def choices(self) -> int:
        return self.n * (1 if isinstance(self.prompt, str) else len(self.prompt))
