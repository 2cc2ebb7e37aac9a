"""An oracle whose answers come later, as a person's do."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

from effrl.label.oracle.desk import AtOnce
from effrl.label.oracle.ledger import Ledger, query_id
from effrl.label.oracle.purchases import Outcome, State
from effrl.questions import BUDGET_SPENT, Answer, Asked, Label, Question, Refused, Reply, Standing
from effrl.types import Step


class Inbox:
    """Asks a person about each prompt, at a price of 1."""

    def __init__(self, path: Path, budget: int | None) -> None:
        self.ledger, self.budget = Ledger(path), budget
        self.log: list[Answer] = []

    async def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        owned = self.ledger.owned(prompt_ids, step.number)
        asked = self.ledger.asked(prompt_ids, step.number)
        return [owned.get(name) or asked.get(name) for name in prompt_ids]

    async def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        return [self._ask(step, question.prompt.id) for question in questions]

    async def answered(self, after: int, wait_s: float = 0.0) -> tuple[int, list[Answer]]:
        await asyncio.sleep(min(wait_s, 0.01))
        return len(self.log), self.log[after:]

    async def open(self) -> list[str]:
        return [row.query_id for row in self.ledger.rows() if row.state is State.RESERVED]

    async def withdraw(self, queries: Sequence[str]) -> None:
        open_ = await self.open()
        for query in (query for query in queries if query in open_):
            self.ledger.refund(query)
            prompt_id = next(row.prompt_id for row in self.ledger.rows() if row.query_id == query)
            self.log.append(Answer(query, prompt_id, None, reason="withdrawn"))

    def answer(self, query: str, text: str | None) -> None:
        """A person's answer; None: no idea. Of several, the first one counts."""
        row = next(row for row in self.ledger.rows() if row.query_id == query)
        if row.state is not State.RESERVED:
            return
        if text is None:
            self.ledger.refund(query)
        else:
            self.ledger.commit(query, text, "ann")
        self.log.append(Answer(query, row.prompt_id, text))

    def _ask(self, step: Step, prompt_id: str) -> Reply:
        name = query_id(step.stage, step.number, prompt_id)
        reservation = self.ledger.reserve(name, prompt_id, "people", step.number, budget_total=self.budget)
        if reservation.answer is not None:
            return Label(reservation.answer)
        return Refused(BUDGET_SPENT) if reservation.outcome is Outcome.EXHAUSTED else Asked(reservation.query_id)


class Knowing(AtOnce):
    """An :class:`~effrl.protocols.Answerer` that knows the labels, and never thinks."""

    source = "knowing"

    def __init__(self, labels: Mapping[str, str | None]) -> None:
        self.labels = labels

    def ask(self, questions: Mapping[str, Question]) -> dict[str, Reply]:
        return {query: self._reply(question.prompt.id) for query, question in questions.items()}

    def _reply(self, prompt_id: str) -> Reply:
        label = self.labels[prompt_id]
        return Refused("nobody knows it") if label is None else Label(label)


class Patient:
    """An :class:`~effrl.protocols.Answerer` whose answers come when the test gives them."""

    source = "patient"

    def __init__(self) -> None:
        self.asked: dict[str, str] = {}
        self.said: list[Answer] = []

    def ask(self, questions: Mapping[str, Question]) -> dict[str, Reply]:
        self.asked |= {query: question.prompt.id for query, question in questions.items()}
        return {query: Asked(query) for query in questions}

    def answered(self) -> list[Answer]:
        return list(self.said)

    def withdraw(self, queries: Sequence[str]) -> None:
        """Nobody thinks about them any more."""

    def answer(self, query: str, text: str | None) -> None:
        self.said.append(Answer(query, self.asked[query], text))
