"""How a typed answer is understood: by the reward of the run, in a worker that can be killed."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from actors.oracle.grading import started
from deploy.serve.inbox.bodies import REWARD
from effrl.config.reward import answering
from effrl.label.oracle.inbox.store import Inbox
from effrl.reward.reading import AnswerPair, Equal, by_text, equality


class TypedAnswers:
    """Tells which of a question's answers a typed one equals. One at a time: there is one worker.

    Waits for: the worker, at most ``reward.timeout_s`` for each pair; a pair that it cannot judge is not equal.
    """

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        # The kernel ties a worker's life to the thread that starts it, and a server's own threads come and go.
        self._thread = ThreadPoolExecutor(1, "reading")

    def same(self, answer: str, others: Sequence[str]) -> int | None:
        """Number of the first of ``others`` that is the same in value, or None."""
        texts = [other.strip() for other in others]
        if answer in texts:
            return texts.index(answer)
        pairs = [AnswerPair("typed", answer, other) for other in texts]
        equal = self._thread.submit(lambda: self._equal(pairs)).result()
        return next((place for place, same in enumerate(equal) if same), None)

    @cached_property
    def _equal(self) -> Equal:
        settings = self._inbox.settings
        if settings is None or settings.reading is None:
            return by_text
        reward = REWARD.validate_python(settings.reading)
        return equality(answering(reward), lambda tasks: self._worker(tasks))

    @cached_property
    def _worker(self) -> Any:
        settings = self._inbox.settings
        assert settings is not None, "it has told how answers are read"
        return started(REWARD.validate_python(settings.reading), [os.getcwd()])
