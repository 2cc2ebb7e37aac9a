"""An inbox that runs elsewhere and owns the ledger: the oracle actor is its client, with a cursor."""

import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import httpx
from pydantic import TypeAdapter

from effrl.errors import RunError, UserError, one_line
from effrl.label.oracle.inbox.messages import GoldQuestion, Settings
from effrl.questions import Account, Answer, Question, Reply, Standing
from effrl.types import Step

TOKEN = "EFFRL_INBOX_TOKEN"
"""Environment variable that holds the inbox's token for the run."""
TIMEOUT_S, TRIES = 30.0, 6
"""Of one call, which is made again after 1, 2, 4, … seconds: every call is safe to repeat."""

REPLIES: TypeAdapter[list[Reply]] = TypeAdapter(list[Reply])
STANDING: TypeAdapter[list[Standing]] = TypeAdapter(list[Standing])
ANSWERS: TypeAdapter[list[Answer]] = TypeAdapter(list[Answer])
ACCOUNT: TypeAdapter[Account] = TypeAdapter(Account)


class RemoteInbox:
    """A :class:`~effrl.label.oracle.desk.Desk` whose ledger and people are behind an address.

    Waits for: the inbox, at most ``TRIES`` times ``TIMEOUT_S`` and the pauses in between.
    """

    def __init__(self, url: str, client: httpx.Client | None = None) -> None:
        """Prepare; nothing is called yet.

        Args:
            url: ``label.ledger``.
            client: what carries the calls; by default one to ``url`` with the token of the environment.

        Raises:
            UserError: the token is not set.
        """
        if client is None and not os.environ.get(TOKEN):
            raise UserError(f"label.ledger is the inbox at {url}, and {TOKEN} is not set: export its token for the run")
        headers = {"Authorization": f"Bearer {os.environ.get(TOKEN, '')}"}
        self._url = url
        self._client = client or httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT_S)

    def register(self, settings: Settings, gold: Sequence[GoldQuestion] = ()) -> None:
        """Say how the run asks; gold questions are added to those that are there."""
        body = {"settings": settings.model_dump(), "gold": [entry.model_dump() for entry in gold]}
        self._call("POST", "/api/run/register", json=body)

    def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        body = {"step": asdict(step), "questions": [asdict(question) for question in questions]}
        return REPLIES.validate_python(self._call("POST", "/api/run/questions", json=body))

    def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        body = {"step": asdict(step), "prompt_ids": list(prompt_ids)}
        return STANDING.validate_python(self._call("POST", "/api/run/owned", json=body))

    def answered(self, after: int) -> tuple[int, list[Answer]]:
        told = self._call("GET", "/api/answers", params={"after": after})
        return int(told["cursor"]), ANSWERS.validate_python(told["answers"])

    def open(self) -> list[str]:
        return [str(query) for query in self._call("GET", "/api/run/open")]

    def withdraw(self, queries: Sequence[str]) -> None:
        self._call("POST", "/api/run/withdraw", json={"queries": list(queries)})

    def wait_until(self, until: float) -> None:
        self._call("POST", "/api/run/waiting", json={"until": until})

    def account(self, step: int) -> Account:
        return ACCOUNT.validate_python(self._call("GET", "/api/run/account", params={"step": step}))

    def _call(self, method: str, path: str, **arguments: Any) -> Any:
        """One call, made again where the inbox cannot be reached or stumbles.

        Raises:
            UserError: the token is not that of a run.
            RunError: the inbox stays away, or refuses what it was asked.
        """
        for attempt in range(TRIES):
            try:
                reply = self._client.request(method, path, **arguments)
            except httpx.TransportError as error:
                failure = one_line(error) or type(error).__name__
            else:
                if reply.status_code < 500:
                    return self._read(reply)
                failure = f"it answers {reply.status_code}"
            if attempt + 1 < TRIES:
                time.sleep(2**attempt)
        raise RunError(f"the inbox at {self._url} cannot be reached ({failure}): start it, then resume the run")

    def _read(self, reply: httpx.Response) -> Any:
        if reply.status_code in (401, 403):
            raise UserError(f"the inbox at {self._url} does not take {TOKEN}: export its token for the run")
        if reply.is_error:
            raise RunError(f"the inbox at {self._url} refuses {reply.request.url.path}: {reply.text[:200]}")
        return reply.json() if reply.content else None
