"""The project's oracle, and one whose answers come later, fulfil the contract."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

import effrl
from actors import role
from actors.oracle.actor import OracleActor
from actors.oracle.grading import Grading, grading
from actors.oracle.service import OracleService
from effrl.config.schema import Config
from effrl.label.monitor import Watched
from effrl.protocols import Oracle
from effrl.reward.sandbox.messages import ScoringTask
from effrl.types import Score, Status
from tests.contracts.oracle import OracleContract
from tests.plugins.oracles import Inbox
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


class TestInbox(OracleContract):
    answers_at_once = False

    @pytest.fixture(autouse=True)
    def place(self, tmp_path: Path) -> None:
        self.file = tmp_path / "ledger.sqlite"

    def make(self, labels: Mapping[str, str | None], budget: int | None) -> Oracle:
        return Inbox(self.file, budget)

    async def give(self, oracle: Oracle, query: str, answer: str | None) -> None:
        assert isinstance(oracle, Inbox)
        oracle.answer(query, answer)


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
