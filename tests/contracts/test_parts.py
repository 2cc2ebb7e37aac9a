"""The project's own parts of a checkpoint fulfil the contract."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from reads import answered, step_of

import effrl
from actors import role
from actors.data.actor import DataActor
from actors.data.service import DataPart
from actors.learner.group import LearnerGroup
from actors.learner.service import LearnerService
from effrl.batch import Settled
from effrl.config.schema import Config
from effrl.label.parked import NoParking, ParkedGroups
from effrl.label.stateless import Stateless
from effrl.process.none import NoProcess
from effrl.protocols import Part
from effrl.questions import Answer
from effrl.run.files import written
from effrl.run.metrics import Stopwatch
from effrl.saved import SavedFile
from effrl.types import (
    Decision,
    Fate,
    Group,
    Judged,
    Observation,
    ReadGroup,
    Rollout,
    Score,
    ScoredGroup,
    Status,
    Supervision,
)
from tests.contracts.part import PartContract
from tests.unit.actors.fake_actor import Method

CONFIG = {"data": {"train": "tasks:chain?size=40"}, "rollout": {"prompts": 4}}


class Handle:
    """A handle of an actor in this process."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> Method:
        return Method(getattr(self.actor, name))


class TestNoLabellerState(PartContract):
    def make(self) -> Part:
        return Stateless()


class TestNoParking(PartContract):
    def make(self) -> Part:
        return NoParking()


class TestParkedGroups(PartContract):
    """Who waits for what, and how far the answers were read; the groups themselves are files that never change."""

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        self.place = tmp_path_factory.mktemp("run")

    def make(self) -> Part:
        return ParkedGroups(_Steady(), self.place / "parked", 0.0)

    async def use(self, part: Part) -> None:
        """Two groups more wait, and an answer comes for one that did already."""
        assert isinstance(part, ParkedGroups)
        number = part._cursor + 1
        groups = [answered(f"{name}{number}", "1", "2") for name in "ab"]
        judged = [Judged(read, Decision.PARK, query=f"{read.group.prompt.id}?") for read in groups]
        await part.keep(step_of(number), judged)
        await part.answered(step_of(number + 1))


class _Steady:
    """An oracle that answers one question whenever somebody looks."""

    async def answered(self, after: int, wait_s: float = 0.0) -> tuple[int, list[Answer]]:
        return after + 1, [Answer(f"a{after + 1}?", f"a{after + 1}", "1")]


class TestNoProcess(PartContract):
    def make(self) -> Part:
        return NoProcess()


class TestData(PartContract):
    """Selector, what is known of prompts, and those whose step has not committed."""

    sections: Mapping[str, Any] = MappingProxyType({})

    @pytest.fixture(autouse=True)
    def _place(self, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output
        self.place = tmp_path_factory.mktemp("run")
        yield

    def make(self) -> Part:
        config = Config.model_validate({**CONFIG, **self.sections})
        return DataPart(Handle(DataActor("data", self.place, effrl.__version__, config, [])), 5.0)

    async def use(self, part: Part) -> None:
        assert isinstance(part, DataPart)
        actor: DataActor = part.data.actor
        step = max((state.last_step for state in actor.states.values()), default=0) + 1
        actor.replay(step, 2)
        actor.select(6 - len(actor.leased))  # as many as are sampled ahead
        prompts = [actor.prompts[name] for name, _ in actor.leased[:3]]
        observed = [Observation(prompt, step / 3, 2) for prompt in prompts]
        taken = [prompt.id for prompt in prompts]
        actor.observe(step, observed, taken, [settled(prompt.id, prompt, step) for prompt in prompts])


class TestDataWithReplay(TestData):
    """The groups that may be replayed besides, and how often each was."""

    sections = MappingProxyType({"replay": {"fresh": 0.5, "capacity": 6, "warmup": 1}})


class TestLearner(PartContract):
    """The version, and whatever the ranks write; what they write is tested with real ones."""

    def make(self) -> Part:
        config = Config.model_validate(CONFIG)
        ranks = {f"learner-{rank}": Handle(Rank(rank)) for rank in range(2)}
        return LearnerService(LearnerGroup(ranks, 5.0), config, 0, Stopwatch(), 64)

    async def use(self, part: Part) -> None:
        assert isinstance(part, LearnerService)
        part.version += 1
        for handle in part.group.ranks.values():
            handle.actor.weights += 1


class Rank:
    """Has one weight."""

    def __init__(self, rank: int) -> None:
        self.rank, self.weights = rank, 0

    def save(self, checkpoint: Path) -> dict[str, SavedFile]:
        file = self._file(checkpoint)
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{self.weights}")
        return written(checkpoint, [file])

    def restore(self, checkpoint: Path) -> None:
        self.weights = int(self._file(checkpoint).read_text())

    def _file(self, checkpoint: Path) -> Path:
        return checkpoint / "learner" / f"rank_{self.rank}"


def settled(name: str, prompt: Any, step: int) -> Settled:
    """A group with one right and one wrong rollout."""
    rollouts = tuple(
        Rollout(np.array([step, index], np.int32), np.full(2, -index / 3, np.float32), "text", "stop", step, step)
        for index in range(2)
    )
    group = Group(f"1/{step}/{name}", prompt, np.array([7], np.int32), rollouts)
    read = ReadGroup(group, ("1", "2"), (0, 1))
    scores = (Score(1.0, 1.0, Status.OK, "1"), Score(0.0, 0.0, Status.OK, "2"))
    return Settled(ScoredGroup(Judged(read, Decision.USE, Supervision("gold", "1")), scores), Fate.TRAINED)
