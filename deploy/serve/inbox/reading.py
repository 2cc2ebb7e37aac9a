"""How a typed answer is understood: by the reward of the run, in a worker that can be killed."""

import os
from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import Any

from pydantic import TypeAdapter

from actors.oracle.grading import started
from effrl.config.reward import AnyReward, answering
from effrl.label.oracle.inbox.store import Inbox
from effrl.reward.reading import AnswerPair, Equal, by_text, equality

_REWARD: TypeAdapter[Any] = TypeAdapter(AnyReward)


class TypedAnswers:
    """Tells which of a question's answers a typed one equals. One at a time: there is one worker.

    Waits for: the worker, at most ``reward.timeout_s`` for each pair; a pair that it cannot judge is not equal.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self._lock = Lock()

    def same(self, answer: str, others: Sequence[str]) -> int | None:
        """Number of the first of ``others`` that is the same in value, or None."""
        texts = [other.strip() for other in others]
        if answer in texts:
            return texts.index(answer)
        with self._lock:
            equal = self._equal([AnswerPair("typed", answer, other) for other in texts])
        return next((place for place, same in enumerate(equal) if same), None)

    @cached_property
    def _equal(self) -> Equal:
        settings = self._inbox.settings
        if settings is None or settings.reading is None:
            return by_text
        reward = _REWARD.validate_python(settings.reading)
        return equality(answering(reward), lambda tasks: self._worker(tasks))

    @cached_property
    def _worker(self) -> Any:
        settings = self._inbox.settings
        assert settings is not None, "it has told how answers are read"
        return started(_REWARD.validate_python(settings.reading), [os.getcwd()])
