"""The ledger against a naive model in memory, over random histories, in which its process dies where it commits."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from sqlalchemy import event

from effrl.label.oracle.ledger import Ledger, query_id
from effrl.label.oracle.purchases import LedgerError, Outcome, Reservation
from effrl.questions import BUDGET_SPENT, UNLABELLED, Label, Refused, Reply

prompts = st.sampled_from(["a", "b", "c", "d"])
sources = st.sampled_from(["dataset", "people"])
steps = st.integers(0, 2)
answers = st.sampled_from(["1", "2"])
deaths = st.sampled_from([None, "before", "while", "after"])
"""Of the process, before, while or after an operation is committed; or none."""
FILE, LOG = "ledger.sqlite", "ledger.sqlite-wal"


class LedgerModel(RuleBasedStateMachine):
    """A dict of lines, and the rules written down as plainly as possible.

    A process that dies leaves the files as they are at that moment: who comes after it opens a copy of them.
    """

    @initialize(total=st.none() | st.integers(0, 4), per_visit=st.booleans())
    def start(self, total: int | None, per_visit: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.place = Path(self.folder.name) / "0"
        self.place.mkdir()
        self.ledger = Ledger(self.place / FILE)
        self.total, self.per_visit = total, per_visit
        # query id -> [prompt, source, step, state, answer]
        self.lines: dict[str, list[object]] = {}

    def seller(self, source: str, step: int) -> str:
        """Where every visit is charged, each step has a data set of its own."""
        return f"{source}@{step}" if self.per_visit and source == "dataset" else source

    @contextmanager
    def operation(self, death: str | None) -> Iterator[None]:
        """What dies before it is wholly committed leaves no trace."""
        before, size = deepcopy(self.lines), self.logged()
        following = self.place.with_name(f"{int(self.place.name) + 1}")
        if death == "before":
            event.listen(self.ledger._engine, "commit", lambda connection: self.leave(following))
        yield
        if death is None:
            return
        if following.exists():
            self.lines = before
        else:
            self.leave(following)
        self.ledger.close()
        self.place = following
        if death == "while" and self.logged() > size:
            self.tear(size)
            self.lines = before
        self.ledger = Ledger(self.place / FILE)

    def leave(self, following: Path) -> None:
        """Copy the files as they are now, for the next process; what is locked is known to processes alone.

        Of several commits the last one counts: then what an operation committed before is found.
        """
        shutil.copytree(self.place, following, ignore=shutil.ignore_patterns("*-shm"), dirs_exist_ok=True)

    def logged(self) -> int:
        """Bytes of SQLite's log of transactions."""
        return (self.place / LOG).stat().st_size if (self.place / LOG).exists() else 0

    def tear(self, size: int) -> None:
        """Have the disk hold half of what the last transaction added to the log."""
        with (self.place / LOG).open("r+b") as log:
            log.truncate((size + self.logged()) // 2)

    def charged(self, prompt: str, source: str) -> list[str]:
        return [name for name, line in self.lines.items() if line[:2] == [prompt, source] and line[3] != "refunded"]

    def cost(self) -> int:
        return sum(line[3] != "refunded" for line in self.lines.values())

    def expected(self, name: str, prompt: str, source: str) -> Reservation | None:
        """None where the query id belongs to another source."""
        if name in self.lines and self.lines[name][:2] != [prompt, source]:
            return None
        if held := self.charged(prompt, source):
            line = self.lines[held[0]]
            if line[3] == "committed":
                return Reservation(Outcome.OWNED, held[0], str(line[4]))
            return Reservation(Outcome.PENDING, held[0])
        if self.total is not None and self.cost() + 1 > self.total:
            return Reservation(Outcome.EXHAUSTED, name)
        return Reservation(Outcome.RESERVED, name)

    @rule(prompt=prompts, source=sources, step=steps, death=deaths)
    def reserve(self, prompt: str, source: str, step: int, death: str | None) -> None:
        name, seller = query_id("train", step, prompt), self.seller(source, step)
        expected = self.expected(name, prompt, seller)
        with self.operation(death):
            try:
                found = self.ledger.reserve(name, prompt, seller, step, budget_total=self.total)
            except LedgerError:
                assert expected is None
                return
            assert found == expected
            if found.outcome is Outcome.RESERVED:
                self.lines[name] = [prompt, seller, step, "reserved", None]

    @rule(prompt=prompts, step=steps, answer=answers, death=deaths)
    def commit(self, prompt: str, step: int, answer: str, death: str | None) -> None:
        name = query_id("train", step, prompt)
        line = self.lines.get(name)
        allowed = line is not None and (line[3] == "reserved" or (line[3] == "committed" and line[4] == answer))
        with self.operation(death):
            try:
                self.ledger.commit(name, answer, "ann")
            except LedgerError:
                assert not allowed
                return
            assert allowed and line is not None
            line[3:] = ["committed", answer]

    @rule(prompt=prompts, step=steps, death=deaths)
    def refund(self, prompt: str, step: int, death: str | None) -> None:
        name = query_id("train", step, prompt)
        line = self.lines.get(name)
        with self.operation(death):
            try:
                self.ledger.refund(name)
            except LedgerError:
                assert line is None or line[3] == "committed"
                return
            assert line is not None and line[3] != "committed"
            line[3] = "refunded"

    @rule(wanted=st.lists(prompts, max_size=5), step=steps, nothing_for=prompts, death=deaths)
    def buy_all(self, wanted: list[str], step: int, nothing_for: str, death: str | None) -> None:
        def label(prompt: str) -> str | None:
            return None if prompt == nothing_for else "1"

        with self.operation(death):
            self._buys_all(wanted, step, label)

    def _buys_all(self, wanted: list[str], step: int, label: Callable[[str], str | None]) -> None:
        lines = deepcopy(self.lines)
        expected: dict[str, Reply] = {}
        for prompt in dict.fromkeys(wanted):  # a prompt that is named twice is one purchase
            reservation = self.expected(query_id("train", step, prompt), prompt, self.seller("dataset", step))
            if reservation is None:
                self.lines = lines  # all or nothing
                break
            expected[prompt] = self._bought(reservation, prompt, step, label(prompt))
        else:
            assert self._buy(step, wanted, label) == [expected[prompt] for prompt in wanted]
            return
        try:
            self._buy(step, wanted, label)
        except LedgerError:
            return
        raise AssertionError("a query id of another source went through")

    def _buy(self, step: int, wanted: list[str], label: Callable[[str], str | None]) -> list[Reply]:
        seller = self.seller("dataset", step)
        return self.ledger.buy_all("train", step, wanted, seller, label, "data", budget_total=self.total)

    def _bought(self, reservation: Reservation, prompt: str, step: int, label: str | None) -> Reply:
        if reservation.outcome is Outcome.OWNED:
            return Label(str(reservation.answer))
        if reservation.outcome is Outcome.EXHAUSTED:
            return Refused(UNLABELLED if reservation.query_id in self.lines else BUDGET_SPENT)
        if reservation.outcome is Outcome.RESERVED:
            self.lines[reservation.query_id] = [prompt, self.seller("dataset", step), step, "reserved", None]
        self.lines[reservation.query_id][3:] = ["refunded", None] if label is None else ["committed", label]
        return Refused(UNLABELLED) if label is None else Label(label)

    @rule()
    def reopen(self) -> None:
        self.ledger.close()
        self.ledger = Ledger(self.place / FILE)

    @invariant()
    def model_and_ledger_agree(self) -> None:
        rows = list(self.ledger.rows())
        assert {
            row.query_id: [row.prompt_id, row.source, row.step, row.state, row.answer] for row in rows
        } == self.lines
        for step in range(3):
            account, up_to = self.ledger.account(step, budget_total=9), [x for x in self.lines.values() if x[2] <= step]
            assert account.bought == sum(line[2:4] == [step, "committed"] for line in up_to)
            assert account.bought_total == sum(line[3] == "committed" for line in up_to)
            assert account.open == sum(line[3] == "reserved" for line in up_to)
            assert account.budget_left == 9 - sum(line[3] != "refunded" for line in up_to)

    @invariant()
    def the_budget_holds(self) -> None:
        assert self.ledger.spent() == self.cost()
        assert self.total is None or self.ledger.spent() <= self.total

    @invariant()
    def a_prompt_is_charged_once_per_source(self) -> None:
        charged = [tuple(line[:2]) for line in self.lines.values() if line[3] != "refunded"]
        assert len(charged) == len(set(charged))

    def teardown(self) -> None:
        self.ledger.close()
        self.folder.cleanup()


class TestLedgerModel(LedgerModel.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=20, stateful_step_count=30, deadline=None)


@pytest.mark.slow
@pytest.mark.timeout(3600)
class TestTenThousandOperations(LedgerModel.TestCase):  # type: ignore[misc, valid-type]
    """Four of five rules are operations, and three of four of these end with the process: two minutes of CPU time."""

    settings = settings(max_examples=160, stateful_step_count=100, deadline=None)
