"""The project's oracle, and one whose answers come later, fulfil the contract."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

import effrl
from actors import role
from actors.oracle.actor import OracleActor
from actors.oracle.grading import Grading, grading
from actors.oracle.remote import RemoteInbox
from actors.oracle.service import OracleService
from actors.oracle.teacher import Teacher
from deploy.serve.inbox.app import inbox_app
from deploy.serve.inbox.tokens import tokens_beside
from effrl.config.label import GoldLabel
from effrl.config.label_base import Budget
from effrl.config.oracle import ModelOracle
from effrl.config.schema import Config
from effrl.label.monitor import Watched
from effrl.label.oracle.desk import AnswererDesk
from effrl.label.oracle.inbox.leases import digest
from effrl.label.oracle.inbox.messages import Given, Settings
from effrl.label.oracle.inbox.store import Inbox
from effrl.label.oracle.ledger import Ledger
from effrl.protocols import Oracle
from effrl.reward.sandbox.messages import ScoringTask
from effrl.types import Score, Status
from tests.contracts.oracle import OracleContract
from tests.plugins.oracles import Knowing, Patient
from tests.unit.actors.endpoint import Said, completion, endpoint
from tests.unit.actors.fake_actor import Handle


class TestDatasetOracle(OracleContract):
    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output
        self.directory = tmp_path

    def make(self, labels: Mapping[str, str | None], budget: int | None) -> Oracle:
        data = self.directory / "rows.jsonl"
        rows = [{"id": name, "prompt": f"what is {name}?", "label": label} for name, label in labels.items()]
        data.write_text("".join(json.dumps(row) + "\n" for row in rows))
        config = Config.model_validate({"data": {"train": str(data)}, "label": {"budget": {"total": budget}}})
        actor = OracleActor(
            "oracle", self.directory, effrl.__version__, config.data.train, {}, config.label, grading(config.reward, [])
        )
        actor.ready()
        return OracleService(Handle(actor), 1.0)


class PeopleContract(OracleContract):
    """Whoever is asked answers in the inbox."""

    answers_at_once = False
    inbox: Inbox

    async def give(self, oracle: Oracle, query: str, answer: str | None) -> None:
        """One person answers, or two pass; of other questions, nothing is said."""
        for who in ("ann",) if answer is not None else ("ann", "bob"):
            items = self.inbox.lease(who, 50)
            [mine] = [item for item in items if item.item == digest(query)] or [None]
            for item in items:
                if item is not mine:
                    self.inbox.release(who, item.lease)
            if mine is not None:
                said = Given(skip="cannot_tell") if answer is None else Given(typed=answer)
                self.inbox.answer(who, mine.lease, f"{who}/{query}", said, lambda text, others: None)


class TestPeople(PeopleContract):
    """On this machine, through the oracle actor."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(role, "_log_to", lambda path: None)
        self.directory = tmp_path

    def make(self, labels: Mapping[str, str | None], budget: int | None) -> Oracle:
        data = self.directory / "rows.jsonl"
        data.write_text("".join(json.dumps({"id": name, "prompt": "?"}) + "\n" for name in labels))
        label = {"budget": {"total": budget}, "oracle": {"kind": "human"}}
        config = Config.model_validate({"data": {"train": str(data)}, "label": label})
        place = ("oracle", self.directory, effrl.__version__, config.data.train, {})
        actor = OracleActor(*place, config.label, grading(config.reward, []))
        actor.ready()
        self.inbox = Inbox(Ledger(self.directory / "ledger.sqlite"))
        return OracleService(Handle(actor), 1.0)


class TestPeopleElsewhere(PeopleContract):
    """Behind the inbox's own server, which keeps the ledger."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.file = tmp_path / "ledger.sqlite"

    def make(self, labels: Mapping[str, str | None], budget: int | None) -> Oracle:
        self.inbox, tokens = Inbox(Ledger(self.file)), tokens_beside(self.file)
        client = TestClient(inbox_app(self.inbox, tokens), headers={"Authorization": f"Bearer {tokens.by_role['run']}"})
        remote = RemoteInbox("http://inbox", client)
        remote.register(Settings(run="demo", budget_total=budget))
        return OracleService(Handle(_Elsewhere(remote)), 1.0)


class _Elsewhere:
    """What the oracle actor makes of a desk."""

    def __init__(self, desk: RemoteInbox) -> None:
        self.desk = desk

    def __getattr__(self, name: str) -> Any:
        return getattr(self.desk, name)

    def answered(self, after: int, wait_s: float) -> Any:
        return self.desk.answered(after)


class TestLateAnswerer(OracleContract):
    """One of the user's own that knows nothing of ledgers, behind the desk that keeps one for it."""

    answers_at_once = False

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.file = tmp_path / "ledger.sqlite"

    def make(self, labels: Mapping[str, str | None], budget: int | None) -> Oracle:
        config = Config.model_validate({"data": {"train": "tasks:chain"}, "label": {"budget": {"total": budget}}})
        self.desk = AnswererDesk(Ledger(self.file), config.label, Patient())
        return OracleService(Handle(_Elsewhere(self.desk)), 1.0)  # type: ignore[arg-type]

    async def give(self, oracle: Oracle, query: str, answer: str | None) -> None:
        assert isinstance(self.desk.answerer, Patient)
        self.desk.answerer.answer(query, answer)
        self.desk.answered(0)  # a run looks every step


class TestAnswererAtOnce(OracleContract):
    """One of the user's own that answers at once."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.file = tmp_path / "ledger.sqlite"

    def make(self, labels: Mapping[str, str | None], budget: int | None) -> Oracle:
        config = Config.model_validate({"data": {"train": "tasks:chain"}, "label": {"budget": {"total": budget}}})
        desk = AnswererDesk(Ledger(self.file), config.label, Knowing(labels))
        return OracleService(Handle(_Elsewhere(desk)), 1.0)  # type: ignore[arg-type]


class TestTeacher(OracleContract):
    """A model behind an endpoint on this machine."""

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> Iterator[None]:
        self.file, self.labels = tmp_path / "ledger.sqlite", dict[str, str | None]()

        def says(asked: str) -> Said:
            label = self.labels[asked.removeprefix("what is ").removesuffix("?")]
            return completion("No idea." if label is None else f"Easy.\nAnswer: {label}")

        with endpoint(says) as served:
            self.url = served.url
            yield

    def make(self, labels: Mapping[str, str | None], budget: int | None) -> Oracle:
        self.labels.update(labels)
        oracle = ModelOracle(kind="model", model="big", url=self.url)
        config = GoldLabel(oracle=oracle, budget=Budget(total=budget))
        desk = AnswererDesk(Ledger(self.file), config, Teacher(oracle))
        return OracleService(Handle(_Elsewhere(desk)), 1.0)  # type: ignore[arg-type]


def test_what_the_monitor_tells_are_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that nobody bought are compared in the oracle's process, and never leave it."""
    monkeypatch.setattr(role, "_log_to", lambda path: None)
    data = tmp_path / "rows.jsonl"
    data.write_text(json.dumps({"id": "p", "prompt": "?", "label": "secret"}) + "\n")
    config = Config.model_validate({"data": {"train": str(data), "eval": str(data)}, "reward": {"kind": "exact"}})
    place = (tmp_path, effrl.__version__, config.data.train, config.data.held_out, config.label)

    def verifier(tasks: Sequence[ScoringTask]) -> list[Score]:
        assert [task.label for task in tasks] == ["secret"] * 3, "otherwise there is nothing to keep"
        return [Score(outcome, outcome, Status.OK) for outcome in (0.0, 0.0, 1.0)]

    actor = OracleActor("oracle", *place, Grading(lambda: verifier))
    seen = [Watched("1/p", "p", {}, ("a", "a", "b"), (False,) * 3, (0, 0, 1), "vote", {"score": 1.0, "trust": 0.5})]
    told = [actor.gaps(seen), list(actor.watch(seen).values()), actor.right_votes("dev", seen)]
    assert all(isinstance(value, int | float) for values in told for value in values) and all(told)
