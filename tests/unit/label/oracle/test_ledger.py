"""The ledger in one process: outcomes, errors, what is on disk, how fast."""

import sqlite3
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import event

from effrl.errors import DeadlineError, UserError
from effrl.label.oracle.ledger import Ledger, query_id
from effrl.label.oracle.purchases import LedgerError, Outcome, Reservation, State
from effrl.questions import BUDGET_SPENT, UNLABELLED, Account, Label, Refused, Reply
from effrl.types import LOOK_AHEAD


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.sqlite"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    ledger = Ledger(path)
    yield ledger
    ledger.close()


def reserve(ledger: Ledger, step: int, prompt: str, total: int | None = None, **terms: object) -> Reservation:
    source = str(terms.pop("source", "dataset"))
    cost = float(str(terms.pop("cost", 1.0)))
    assert not terms
    return ledger.reserve(query_id("train", step, prompt), prompt, source, step, budget_total=total, cost=cost)


def test_query_ids() -> None:
    assert query_id("train", 12, "chain/3f2a") == "train/12/chain/3f2a"


def test_a_purchase_from_reservation_to_answer(ledger: Ledger) -> None:
    before = datetime.now(UTC)
    assert reserve(ledger, 3, "p") == Reservation(Outcome.RESERVED, "train/3/p")
    assert ledger.account(3, budget_total=5) == Account(0, 0, open=1, budget_left=4, price=1)
    ledger.commit("train/3/p", "46", "ann")
    assert ledger.account(3, budget_total=5) == Account(1, 1, open=0, budget_left=4, price=1)
    assert ledger.account(4, budget_total=None) == Account(0, 1, open=0, budget_left=None, price=1)
    assert ledger.account(2, budget_total=5) == Account(0, 0, open=0, budget_left=5, price=1), "it was not bought yet"
    (row,) = ledger.rows()
    assert (row.query_id, row.prompt_id, row.source, row.step) == ("train/3/p", "p", "dataset", 3)
    assert (row.state, row.cost, row.answer, row.answered_by) == (State.COMMITTED, 1.0, "46", "ann")
    assert row.answered_at is not None
    reserved, answered = datetime.fromisoformat(row.reserved_at), datetime.fromisoformat(row.answered_at)
    assert before <= reserved <= answered <= datetime.now(UTC)


def test_an_owned_prompt_is_free_from_then_on(ledger: Ledger) -> None:
    reserve(ledger, 3, "p", total=1)
    ledger.commit("train/3/p", "46", "ann")
    assert reserve(ledger, 9, "p", total=1) == Reservation(Outcome.OWNED, "train/3/p", "46")
    assert reserve(ledger, 3, "p", total=1).outcome is Outcome.OWNED
    assert ledger.spent() == 1.0


def test_a_killed_attempt_left_a_reservation(ledger: Ledger) -> None:
    reserve(ledger, 3, "p", total=1)
    assert reserve(ledger, 3, "p", total=1) == Reservation(Outcome.PENDING, "train/3/p")
    # After a resume the same prompt may come up at another step: the one reservation serves it.
    assert reserve(ledger, 2, "p", total=1) == Reservation(Outcome.PENDING, "train/3/p")
    assert ledger.spent() == 1.0
    ledger.commit("train/3/p", "46", "ann")
    assert ledger.owned(["p"]) == {"p": Label("46")}


def test_another_source_is_another_charge(ledger: Ledger) -> None:
    reserve(ledger, 3, "p")
    ledger.commit("train/3/p", "46", "data")
    assert reserve(ledger, 4, "p", source="people").outcome is Outcome.RESERVED
    ledger.commit("train/4/p", "47", "ann")
    assert ledger.spent() == 2.0
    assert ledger.owned(["p"]) == {"p": Label("47")}


def test_an_exhausted_budget_writes_nothing(ledger: Ledger) -> None:
    assert reserve(ledger, 1, "a", total=2).outcome is Outcome.RESERVED
    assert reserve(ledger, 1, "b", total=2).outcome is Outcome.RESERVED
    assert reserve(ledger, 1, "c", total=2) == Reservation(Outcome.EXHAUSTED, "train/1/c")
    assert [row.prompt_id for row in ledger.rows()] == ["a", "b"]
    ledger.refund("train/1/a")
    assert reserve(ledger, 1, "c", total=2).outcome is Outcome.RESERVED


def test_costs_are_held_against_the_budget_without_rounding_it_away(ledger: Ledger) -> None:
    outcomes = [reserve(ledger, 1, f"p{number}", total=1, cost=0.1).outcome for number in range(11)]
    assert outcomes == [Outcome.RESERVED] * 10 + [Outcome.EXHAUSTED]
    assert reserve(ledger, 1, "free", total=1, cost=0.0).outcome is Outcome.RESERVED


@pytest.mark.parametrize("cost", [-1.0, float("nan"), float("inf")])
def test_impossible_costs(ledger: Ledger, cost: float) -> None:
    with pytest.raises(ValueError, match="cannot cost"):
        reserve(ledger, 1, "p", cost=cost)


def test_a_refunded_purchase_is_reserved_again_on_the_same_line(ledger: Ledger) -> None:
    reserve(ledger, 1, "p")
    ledger.refund("train/1/p")
    ledger.refund("train/1/p")
    assert ledger.spent() == 0.0
    assert next(ledger.rows()).state is State.REFUNDED
    assert reserve(ledger, 1, "p", cost=3.0).outcome is Outcome.RESERVED
    assert [(row.state, row.cost) for row in ledger.rows()] == [(State.RESERVED, 3.0)]


def test_a_refunded_purchase_does_not_hide_a_later_one(ledger: Ledger) -> None:
    reserve(ledger, 1, "p")
    ledger.refund("train/1/p")
    reserve(ledger, 2, "p")
    assert reserve(ledger, 1, "p") == Reservation(Outcome.PENDING, "train/2/p")


def test_answers_are_idempotent_and_never_overwritten(ledger: Ledger) -> None:
    reserve(ledger, 1, "p")
    ledger.commit("train/1/p", "46", "ann")
    first = list(ledger.rows())
    ledger.commit("train/1/p", "46", "bob")
    with pytest.raises(LedgerError, match=r"already answered '46' by ann, now '47' by bob; the first answer stands"):
        ledger.commit("train/1/p", "47", "bob")
    assert list(ledger.rows()) == first


def test_contradictions_are_errors(ledger: Ledger) -> None:
    with pytest.raises(LedgerError, match="no such purchase; reserve it first"):
        ledger.commit("train/1/p", "46", "ann")
    with pytest.raises(LedgerError, match="no such purchase"):
        ledger.refund("train/1/p")
    reserve(ledger, 1, "p")
    with pytest.raises(LedgerError, match="holds it as a question to dataset about p"):
        ledger.reserve("train/1/p", "q", "dataset", 1, budget_total=None)
    with pytest.raises(LedgerError, match="asks people about p"):
        ledger.reserve("train/1/p", "p", "people", 1, budget_total=None)
    ledger.refund("train/1/p")
    with pytest.raises(LedgerError, match="was refunded before its answer came"):
        ledger.commit("train/1/p", "46", "ann")
    reserve(ledger, 1, "p")
    ledger.commit("train/1/p", "46", "ann")
    with pytest.raises(LedgerError, match="answered by ann and paid"):
        ledger.refund("train/1/p")


def test_buy_all(ledger: Ledger) -> None:
    labels = {"a": "1", "b": None, "c": "3", "d": "4"}
    asked: list[str] = []

    def answer(prompt_id: str) -> str | None:
        asked.append(prompt_id)
        return labels[prompt_id]

    def buy(step: int, *prompt_ids: str) -> list[Reply]:
        return ledger.buy_all("train", step, prompt_ids, "dataset", answer, "data", budget_total=2)

    spent, unlabelled = Refused(BUDGET_SPENT), Refused(UNLABELLED)
    first, second = [Label("1"), Label("1"), unlabelled], [Label("1"), Label("3"), spent, spent]
    assert buy(1, "a", "a", "b") == first
    assert buy(2, "a", "c", "d", "b") == second
    assert asked == ["a", "b", "c"], "neither owned labels nor those that cannot be paid are looked up"
    before = list(ledger.rows())
    assert (buy(1, "a", "a", "b"), buy(2, "a", "c", "d", "b")) == (first, second), "repeated, after a resume for one"
    assert list(ledger.rows()) == before
    assert ledger.account(2, budget_total=2) == Account(1, 2, open=0, budget_left=0, price=1)
    assert ledger.owned(["a", "b", "c", "d"]) == {"a": Label("1"), "c": Label("3")}


def test_buy_all_completes_what_a_killed_attempt_reserved(ledger: Ledger) -> None:
    reserve(ledger, 1, "a", total=1)
    bought = ledger.buy_all("train", 2, ["a"], "dataset", lambda _: "1", "data", budget_total=1)
    assert bought == [Label("1")]
    assert [(row.query_id, row.state) for row in ledger.rows()] == [("train/1/a", State.COMMITTED)]


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_step_that_is_repeated_owns_what_it_owned_the_first_time(ledger: Ledger, share: float) -> None:
    """Whatever it, the steps after it and their look ahead have bought before the attempt was killed."""

    def own_then_buy(step: int) -> tuple[dict[str, str], list[Reply]]:
        """Rank what is not owned, and buy the first, as a labeller does."""
        names = [f"p{(step * 3 + n) % 20}" for n in range(8)]
        ledger.buy_all(LOOK_AHEAD, step, names[:1], "dataset", str.upper, "data", budget_total=9)
        owned = ledger.owned(names, step)
        chosen = [name for name in names if name not in owned][: int(8 * share)]
        return owned, ledger.buy_all("train", step, chosen, "dataset", str.upper, "data", budget_total=9)

    first = [own_then_buy(step) for step in range(1, 7)]
    lines, accounts = list(ledger.rows()), [ledger.account(step, budget_total=9) for step in range(1, 7)]
    for attempt in range(3):
        again = [own_then_buy(step) for step in range(3, 6 - attempt)]
        assert again == first[2 : 5 - attempt]
        assert list(ledger.rows()) == lines, "what was bought again is charged on its old line"
    assert [ledger.account(step, budget_total=9) for step in range(1, 7)] == accounts


def test_what_a_look_ahead_bought_is_owned_by_its_own_step(ledger: Ledger) -> None:
    names = ["train/3", f"{LOOK_AHEAD}/3", f"{LOOK_AHEAD}/4", "train/2"]
    for name in names:
        stage, step = name.split("/")
        ledger.buy_all(stage, int(step), [name], "dataset", str.upper, "data", budget_total=None)
    assert ledger.owned(names, 3).keys() == {f"{LOOK_AHEAD}/3", "train/2"}
    assert ledger.owned(names, 4).keys() == set(names)


@pytest.mark.parametrize(
    ("cost", "total", "bought", "spent"),
    [
        (1.0, 3, 3, True),
        (1.0, 3, 2, False),
        (0.3, 1, 3, True),
        (0.25, 1, 3, False),
        (0.1, 1, 10, True),
        (2.0, 1, 0, True),
    ],
)
def test_an_account_knows_when_it_buys_nothing_more(
    ledger: Ledger, cost: float, total: int, bought: int, spent: bool
) -> None:
    def buy(step: int, *names: str) -> list[Reply]:
        return ledger.buy_all("train", step, names, "dataset", str.upper, "data", budget_total=total, cost=cost)

    assert all(isinstance(reply, Label) for reply in buy(1, *(f"p{number}" for number in range(bought))))
    account = ledger.account(1, budget_total=total, price=cost)
    assert account.spent is spent
    assert account.exhausted is (spent and bought == 0), "what is owned can be learned from"
    assert (buy(2, "q") == [Refused(BUDGET_SPENT)]) is spent


def test_an_account_that_waits_for_answers_is_not_exhausted(ledger: Ledger) -> None:
    reserve(ledger, 1, "a", total=1)
    account = ledger.account(1, budget_total=1)
    assert (account.open, account.spent, account.exhausted) == (1, True, False)


def test_buy_all_buys_nothing_when_the_source_fails(ledger: Ledger) -> None:
    with pytest.raises(KeyError):
        ledger.buy_all("train", 1, ["a", "b"], "dataset", {"a": "1"}.__getitem__, "data", budget_total=None)
    assert list(ledger.rows()) == []
    assert reserve(ledger, 1, "a").outcome is Outcome.RESERVED, "the write lock was let go"


def test_owned_takes_any_number_of_prompts(ledger: Ledger) -> None:
    names = [f"p{number}" for number in range(40_000)]
    ledger.buy_all("train", 1, names[-2:], "dataset", lambda name: name, "data", budget_total=None)
    assert ledger.owned(names) == {name: Label(name) for name in names[-2:]}
    assert ledger.owned([]) == {}


def test_reopening_finds_everything(path: Path, ledger: Ledger) -> None:
    reserve(ledger, 1, "a")
    ledger.commit("train/1/a", "1", "ann")
    reserve(ledger, 2, "b")
    rows = list(ledger.rows())
    ledger.close()
    again = Ledger(f"sqlite:///{path}")
    assert list(again.rows()) == rows
    again.close()


def test_the_file_is_durable_and_its_own_guard(path: Path, ledger: Ledger) -> None:
    reserve(ledger, 1, "a")
    with ledger._engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2, "FULL"
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
    columns = "query_id, prompt_id, source, step, state, cost, reserved_at"
    raw = sqlite3.connect(path)
    for values in ("'q', 'a', 'dataset', 2, 'reserved', 1, ''", "'q', 'b', 'dataset', 2, 'committed', 1, ''"):
        with pytest.raises(sqlite3.IntegrityError):
            raw.execute(f"INSERT INTO purchases ({columns}) VALUES ({values})")
    raw.close()


def test_lookups_of_a_long_ledger_use_indexes(ledger: Ledger) -> None:
    seen: list[tuple[str, object]] = []
    reserve(ledger, 1, "a")

    def note(_c: object, _u: object, statement: str, parameters: object, _x: object, _m: object) -> None:
        seen.append((statement, parameters))

    event.listen(ledger._engine, "before_cursor_execute", note)
    reserve(ledger, 1, "b", total=10)
    ledger.commit("train/1/b", "2", "ann")
    ledger.owned(["a"])
    ledger.account(1, budget_total=10)
    event.remove(ledger._engine, "before_cursor_execute", note)
    with ledger._engine.connect() as connection:
        for statement, parameters in seen:
            if statement.startswith("SELECT"):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()  # type: ignore[arg-type]
                steps = [row.detail for row in plan]
                assert all("COVERING" in step for step in steps if step.startswith("SCAN")), statement
                assert "prompt_id IN" not in statement or "charged_once" in steps[0], statement


def test_a_held_write_lock_is_waited_for_and_then_named(path: Path, ledger: Ledger) -> None:
    raw = sqlite3.connect(path, isolation_level=None)
    raw.execute("BEGIN IMMEDIATE")
    hasty = Ledger.__new__(Ledger)
    with pytest.raises(DeadlineError, match=r"waited 0.1 s for the ledger's write lock"):
        hasty.__init__(path, timeout_s=0.1)  # type: ignore[misc]
    assert ledger.spent() == 0.0, "readers do not wait"
    raw.execute("ROLLBACK")
    raw.close()


def test_what_is_not_a_ledger(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a database " * 100)
    with pytest.raises(UserError, match=r"notes.txt: cannot be opened as a ledger \(file is not a database\)"):
        Ledger(text)
    with pytest.raises(UserError, match="unable to open database file"):
        Ledger(tmp_path / "missing" / "ledger.sqlite")


def test_where_wal_does_not_work_the_remedy_is_named(tmp_path: Path) -> None:
    """As on a network drive: this way of opening a file knows no shared memory."""
    with pytest.raises(UserError, match=r"WAL does not work on this file system; label.ledger names another place"):
        Ledger(f"sqlite:///file:{tmp_path}/ledger.sqlite?vfs=unix-none&uri=true")


@pytest.mark.parametrize("url", ["postgresql://ann:secret@db/x", "sqlite://", "sqlite:///:memory:", "://"])
def test_urls_that_cannot_hold_a_ledger(url: str) -> None:
    with pytest.raises(UserError) as error:
        Ledger(url)
    assert "secret" not in str(error.value)


def test_32_purchases_take_well_under_50_ms(ledger: Ledger) -> None:
    def buy(step: int) -> float:
        names = [f"{step}/{number}" for number in range(32)]
        start = time.perf_counter()
        ledger.buy_all("train", step, names, "dataset", lambda name: name, "data", budget_total=10_000)
        return time.perf_counter() - start

    buy(0)
    assert statistics.median(buy(step) for step in range(1, 16)) < 0.05
