"""Desks: where a run's questions go, one sort for each kind of oracle, with the ledger behind all of them.

Consumes: questions of a step. Produces: a label at once, a query whose answer comes later, or a refusal, and a line of
the ledger for each. Waits for: whoever answers, at most as long as that one's own deadline.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from effrl.config.label_base import LabelConfig
from effrl.errors import RunError, one_line
from effrl.label.oracle import log
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger, query_id
from effrl.label.oracle.purchases import Outcome, PurchaseTerms, Reservation
from effrl.label.oracle.vault import LabelVault
from effrl.protocols import Answerer
from effrl.questions import BUDGET_SPENT, WITHDRAWN, Account, Answer, Asked, Label, Question, Refused, Reply, Standing
from effrl.types import Step

DATASET = "dataset"
"""Who sells, and who answers, where labels are those of the data."""


class Desk(Protocol):
    """An :class:`~effrl.protocols.Oracle` that is called from one thread."""

    def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]: ...

    def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]: ...

    def answered(self, after: int) -> tuple[int, list[Answer]]: ...

    def open(self) -> list[str]: ...

    def withdraw(self, queries: Sequence[str]) -> None: ...

    def wait_until(self, until: float) -> None:
        """Tell whoever answers that the run waits for them, until then in Unix seconds."""
        ...

    def account(self, step: int) -> Account: ...


@dataclass
class LedgerDesk:
    """What every desk with a ledger of its own has."""

    ledger: Ledger
    config: LabelConfig

    def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        """What was bought or asked before the step."""
        return self.ledger.standing(prompt_ids, step.number)

    def answered(self, after: int) -> tuple[int, list[Answer]]:
        return self.ledger.answered(after)

    def open(self) -> list[str]:
        return self.ledger.open()

    def wait_until(self, until: float) -> None:
        """Nobody is waited for who could be told."""

    def account(self, step: int) -> Account:
        """How the account stands at the end of a step."""
        return self.ledger.account(step, budget_total=self.config.budget.total, price=self.config.oracle.price)


@dataclass
class DatasetDesk(LedgerDesk):
    """Sells the labels of the data, all of a step in one transaction."""

    vault: LabelVault

    def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        """One reply per question, in order: a data set answers at once, or never."""
        ids, terms = [question.prompt.id for question in questions], self.config
        # A prompt is charged once per seller: with a charge per visit each step has its own.
        seller = f"{DATASET}@{step.number}" if terms.pays_per_visit else DATASET
        who = (seller, self.vault.buy, DATASET)
        total, price = terms.budget.total, terms.oracle.price
        return self.ledger.buy_all(step.stage, step.number, ids, *who, budget_total=total, cost=price)

    def withdraw(self, queries: Sequence[str]) -> None:
        """Nothing is open, since nothing was ever asked to be answered later."""


class AtOnce:
    """What an :class:`~effrl.protocols.Answerer` does that knows no late answers."""

    def answered(self) -> list[Answer]:
        return []

    def withdraw(self, queries: Sequence[str]) -> None:
        """Nothing is open."""


@dataclass
class AnswererDesk(LedgerDesk):
    """Asks an :class:`~effrl.protocols.Answerer`, and keeps the ledger for it: a failure is never charged."""

    answerer: Answerer

    def start(self) -> None:
        """Give back what a killed attempt held back for labels that never come late: nobody is thinking about them."""
        if isinstance(self.answerer, AtOnce):
            self._refund(self.ledger.open())

    def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        """Hold back the cost of each question, ask, and pay for the labels that came; the cost of others is free."""
        reserved = self._reserve(step, questions)
        waits = {
            held.query_id: question
            for held, question in zip(reserved, questions, strict=True)
            if held.outcome in (Outcome.RESERVED, Outcome.PENDING)
        }
        fresh = [held.query_id for held in reserved if held.outcome is Outcome.RESERVED]
        replies = self._ask(waits, fresh) if waits else {}
        self._pay({query: reply for query, reply in replies.items() if not isinstance(reply, Asked)}, fresh)
        return [replies.get(held.query_id) or _known(held) for held in reserved]

    def answered(self, after: int) -> tuple[int, list[Answer]]:
        self._settle()
        return self.ledger.answered(after)

    def withdraw(self, queries: Sequence[str]) -> None:
        self._settle()  # what came is paid, and stays
        with self._named():
            self.answerer.withdraw(queries)
        self.ledger.withdraw(queries, WITHDRAWN)

    def _reserve(self, step: Step, questions: Sequence[Question]) -> list[Reservation]:
        names = [question.prompt.id for question in questions]
        wanted = {query_id(step.stage, step.number, name): name for name in names}
        label = self.config
        terms = PurchaseTerms(self.answerer.source, step.number, label.oracle.price, label.budget.total)
        with self.ledger.books() as books:
            books.load_for(terms, wanted)
            held = {name: books.reserve(terms, query, name) for query, name in wanted.items()}
        return [held[name] for name in names]

    def _ask(self, waits: Mapping[str, Question], fresh: Sequence[str]) -> dict[str, Reply]:
        """What the answerer says, to each question.

        Raises:
            RunError: it raised, or left a question without a reply. What ``fresh`` ones held back is free again.
        """
        try:
            with self._named():
                replies = dict(self.answerer.ask(waits))
            wrong = [query for query in waits if not _fits(query, replies.get(query))] + [*(replies.keys() - waits)]
            if wrong:
                raise RunError(
                    f"{self._who} must reply to each question by its query id, and to no other: see {wrong[0]}"
                )
        except RunError:
            self._refund(fresh)
            raise
        return replies

    def _pay(self, replies: Mapping[str, Label | Refused], fresh: Sequence[str]) -> None:
        """Write down what the questions came to; of one that was open before, a group may wait to be told."""
        with self.ledger.books() as books:
            books.load(list(replies))
            for query, reply in replies.items():
                answer = _closing(query, books.prompt_of(query), reply)
                books.settle(answer, self.answerer.source)
                if query not in fresh:
                    log.add(books.connection, answer)

    def _settle(self) -> None:
        with self._named():
            answers = self.answerer.answered()
        self.ledger.settle(answers, self.answerer.source)

    @property
    def _who(self) -> str:
        return f"label.oracle {self.answerer.source}"

    @contextmanager
    def _named(self) -> Iterator[None]:
        """An error of the answerer's, which may be anybody's code, is one line with its name."""
        try:
            yield
        except Exception as error:
            raise RunError(f"{self._who} failed, and nothing was charged for it: {one_line(error)}") from error

    def _refund(self, queries: Iterable[str]) -> None:
        for query in queries:
            self.ledger.refund(query)


def _known(held: Reservation) -> Reply:
    return held.label or Refused(BUDGET_SPENT)


def _closing(query: str, prompt_id: str, reply: Label | Refused) -> Answer:
    if isinstance(reply, Label):
        return Answer(query, prompt_id, reply.answer, reply.weight)
    return Answer(query, prompt_id, None, reason=reply.reason)


def _fits(query: str, reply: Reply | None) -> bool:
    return reply is not None and (not isinstance(reply, Asked) or reply.query == query)


@dataclass
class PeopleDesk(LedgerDesk):
    """Puts questions into the inbox, which keeps the ledger itself."""

    inbox: Inbox

    def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        return self.inbox.ask(step, questions)

    def answered(self, after: int) -> tuple[int, list[Answer]]:
        return self.inbox.answered(after)

    def withdraw(self, queries: Sequence[str]) -> None:
        self.inbox.withdraw(queries)

    def wait_until(self, until: float) -> None:
        self.inbox.wait_until(until)
