"""``label.oracle.kind: model``: a stronger model answers, behind an OpenAI-compatible endpoint."""

import os
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from effrl.config.oracle import ModelOracle
from effrl.errors import UserError
from effrl.label.oracle.desk import AtOnce
from effrl.questions import Label, Question, Refused, Reply
from effrl.types import Message

_ANSWER = re.compile(r"^\W*answer\s*:\**\s*(.+?)\**\s*$", re.IGNORECASE | re.MULTILINE)


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
            api_key=key or "none", base_url=config.url, timeout=config.timeout_s, max_retries=config.retries
        )

    def ask(self, questions: Mapping[str, Question]) -> dict[str, Reply]:
        """Ask the teacher each question, several side by side."""
        with ThreadPoolExecutor(self._config.concurrent) as pool:
            replies = dict(zip(questions, pool.map(self._ask, questions.values()), strict=True))
        if failed := [reply for reply in replies.values() if isinstance(reply, Refused)]:
            print(f"{self.source}: {len(failed)} of {len(replies)} questions have no label: {failed[0].reason}")
        return replies

    def _ask(self, question: Question) -> Reply:
        from openai import OpenAIError

        try:
            reply = self._client.chat.completions.create(
                model=self._config.model,
                messages=_messages(self._config.system, question),
                temperature=self._config.temperature,
                max_tokens=self._config.max_tokens,
            )
        except (OpenAIError, ValueError) as error:  # ValueError: a body that is no JSON
            return Refused(f"the teacher at {self._config.url} failed ({_shortened(error)})")
        return _label(reply.choices[0].message.content if reply.choices else None)


def _messages(system: str, question: Question) -> Any:
    content = question.prompt.content
    asked: Sequence[Message] = [{"role": "user", "content": content}] if isinstance(content, str) else content
    return [{"role": "system", "content": system}, *asked]


def _label(text: str | None) -> Reply:
    """What follows the last ``Answer:``."""
    found = _ANSWER.findall(text or "")
    return Label(found[-1]) if found else Refused("the teacher gave no final answer")


def _shortened(error: Exception) -> str:
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 200 else f"{text[:200]}…"
