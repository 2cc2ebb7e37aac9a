"""``label.oracle.kind: model``: a stronger model answers, behind an OpenAI-compatible endpoint."""

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from pydantic import BaseModel, Field

from effrl.config.oracle import ModelOracle
from effrl.errors import UserError
from effrl.label.oracle.desk import AtOnce
from effrl.questions import Label, Question, Refused, Reply
from effrl.types import Message

_ANSWER = re.compile(r"^\W*answer\s*:\**\s*(.+?)\**\s*$", re.IGNORECASE | re.MULTILINE)


class _Said(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Said
    finish_reason: str | None = None


class _Completion(BaseModel):
    """What is read of a reply. The client itself takes any body for one, a proxy's error page too."""

    choices: Annotated[list[_Choice], Field(min_length=1)]


class Teacher(AtOnce):
    """An :class:`~effrl.protocols.Answerer`; a call that fails in the end is a refusal, and is not charged.

    Waits for: the endpoint, at most ``timeout_s`` for each of ``retries + 1`` attempts.
    """

    def __init__(self, config: ModelOracle) -> None:
        """Prepare; nothing is called yet.

        Raises:
            UserError: the endpoint is OpenAI's own, and the variable of the key is not set.
        """
        from openai import OpenAI  # takes a second, which other oracles need not spend

        key = os.environ.get(config.key)
        if key is None and config.url == ModelOracle.model_fields["url"].default:
            raise UserError(
                f"label.oracle.kind=model asks {config.url}, and {config.key} is not set: export your API key, or name"
                " another endpoint as label.oracle.url"
            )
        self.source = f"model:{config.model}"
        self._config = config
        self._client = OpenAI(
            api_key=key or "none",
            base_url=config.url,
            timeout=config.timeout_s,
            max_retries=config.retries,
            # A connection is used once: a proxy that answers twice would answer the next question with it.
            default_headers={"Connection": "close"},
        )

    def ask(self, questions: Mapping[str, Question]) -> dict[str, Reply]:
        """Ask the teacher each question, several side by side."""
        with ThreadPoolExecutor(self._config.concurrent) as pool:
            replies = dict(zip(questions, pool.map(self._ask, questions.values()), strict=True))
        if failed := [reply for reply in replies.values() if isinstance(reply, Refused)]:
            print(f"{self.source}: {len(failed)} of {len(replies)} questions have no label: {failed[0].reason}")
        if replies and len(failed) == len(replies):
            print(f"{self.source}: is the endpoint up, and are label.oracle.url, model and {self._config.key} right?")
        return replies

    def _ask(self, question: Question) -> Reply:
        from openai import OpenAIError

        try:
            reply = self._client.chat.completions.with_raw_response.create(
                model=self._config.model,
                messages=_messages(self._config.system, question),
                temperature=self._config.temperature,
                max_completion_tokens=self._config.max_tokens,
            )
            return _label(_Completion.model_validate_json(reply.content).choices[0])
        except (OpenAIError, ValueError) as error:  # ValueError: a body that is no completion
            return Refused(f"the teacher at {self._config.url} failed ({_shortened(error)})")


def _messages(system: str, question: Question) -> Any:
    content = question.prompt.content
    asked: Sequence[Message] = [{"role": "user", "content": content}] if isinstance(content, str) else content
    return [{"role": "system", "content": system}, *asked]


def _label(choice: _Choice) -> Reply:
    """What follows the last ``Answer:``; of a reply that was cut off, the answer may be too."""
    if choice.finish_reason == "length":
        return Refused("the teacher's reply was cut off at label.oracle.max_tokens")
    found = _ANSWER.findall(choice.message.content or "")
    return Label(found[-1]) if found else Refused("the teacher gave no final answer")


def _shortened(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else f"{text[:200]}…"
