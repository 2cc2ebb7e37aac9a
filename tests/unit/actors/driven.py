"""Attempts at a run through the driver's services, its journal and its checkpoints, all in this process.

Data and oracle are the real actors. Engines, the learner and the reward's workers are stand-ins: an engine's answers
depend on the seed alone, and the learner's "weights" are a digest of all that it was ever given to learn.
"""

import asyncio
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich.console import Console

import effrl
from actors.data.actor import DataActor
from actors.driver.labelling import TimedLabeller
from actors.driver.run import Driver
from actors.learner.actor import RowView
from actors.machine import Usage
from actors.oracle.actor import OracleActor
from actors.oracle.grading import Grading
from actors.rollout.sampling import Sampled, SampleRequest
from effrl.batch import Settled
from effrl.config.schema import Config
from effrl.learn.packing import MicroBatch
from effrl.report.progress import Progress
from effrl.reward.reading import Completions, by_text, clusters
from effrl.reward.sandbox.messages import ScoringTask
from effrl.run.directory import RunDirectory
from effrl.run.files import written
from effrl.run.resume import StartPoint
from effrl.run.uploads import NoUploads, Uploads
from effrl.saved import SavedFile
from effrl.types import Int32, Judged, Prompt, Publication, ReadGroup, Rollout, Score, Status, Step, Update, View
from tests.unit.actors.fake_actor import Handle

HIDDEN = 6
"""Numbers in a hidden state."""


@dataclass(frozen=True)
class Death:
    """The driver dies in a step, after the labeller has decided and bought and before anything is learned; or, where
    it ``updated``, after the policy has learned and before the labeller does."""

    step: int
    updated: bool = False


class Killed(Exception):
    """The driver died here."""


@dataclass(frozen=True)
class Notice:
    """SIGTERM comes while a step samples, or, where it is ``labelled``, once its groups have labels."""

    step: int
    labelled: bool = False


ASKED: list[tuple[str, str]] = []
"""Id and text of all that engines have sampled, in order; whoever looks at it clears it before."""


class Engine:
    """Samples a right or a wrong answer, by the seed alone; serves what is published at once."""

    def __init__(self, version: int, lives: float = math.inf) -> None:
        """After ``lives`` calls it takes the driver with it."""
        self.version = version
        self.lives = lives

    def render(self, prompts: Sequence[Prompt]) -> list[Int32]:
        return [np.zeros(len(prompt.text), np.int32) for prompt in prompts]

    def sample(self, lease: str, requests: Sequence[SampleRequest]) -> list[Sampled]:
        if self.lives <= 0:
            raise Killed
        self.lives -= 1
        ASKED.extend((request.prompt.id, request.prompt.text) for request in requests)
        return [Sampled(np.array([4], np.int32), tuple(map(self._rollout, request.seeds))) for request in requests]

    def abort(self, lease: str) -> None:
        """It has sampled all by now."""

    async def publish(self, update: Update) -> Publication | None:
        self.version = update.version
        return Publication(update.version, (), 0, True) if update.learned else None

    def _rollout(self, seed: int) -> Rollout:
        logprobs = np.full(2, -1 - seed % 7, np.float32)
        return Rollout(
            np.array([3, seed % 50], np.int32), logprobs, f"#{1 + seed % 2}", "stop", self.version, self.version
        )


class Grader:
    """Stands in for the reward actor, whose workers are processes: an answer is what follows the sign."""

    def read(self, groups: Sequence[Completions], compare: bool) -> list[tuple[Any, Any]]:
        answers = [(group.prompt_id, tuple(text[1:] for text in group.texts)) for group in groups]
        return [(found, marks) for (_, found), marks in zip(answers, clusters(answers, by_text), strict=True)]

    def score(self, tasks: Sequence[ScoringTask]) -> list[Score]:
        outcomes = [float(task.completion[1:] == task.label) for task in tasks]
        return [Score(outcome, outcome, Status.OK) for outcome in outcomes]


class Rank:
    """Digests all that it is to learn from."""

    def __init__(self) -> None:
        self.weights = "base"

    def step(self, updates: Any, sizes: Any, rules: Any, canary: Any) -> dict[str, float]:
        parts = [part for batches in updates for part in batches]
        told = [{name: np.asarray(value).tolist() for name, value in asdict(part).items()} for part in parts]
        self.weights = blake2b(f"{self.weights} {told} {sizes} {rules}".encode(), digest_size=16).hexdigest()
        return {"seen": float(sum(part.behaviour.sum() for part in parts))}

    def view(self, batches: Sequence[MicroBatch], temperature: float, states: bool) -> list[list[RowView]]:
        """What the weights of the moment make of a row depends on them and on the row alone."""
        return [[self._seen(ids[real > 0], int(mask.sum())) for ids, real, mask in _rows(part)] for part in batches]

    def _seen(self, ids: Int32, sampled: int) -> RowView:
        seed = blake2b(f"{self.weights} {ids.tolist()}".encode(), digest_size=8).digest()
        draw = np.random.default_rng([*seed])
        return -draw.random(sampled, np.float32), draw.normal(size=(2, HIDDEN)).astype(np.float32)

    def logprobs(self, canary: Any) -> Any:
        return np.zeros(1, np.float32)

    def watched(self) -> Any:
        return dict.fromkeys(range(8), np.zeros(1, np.float32))

    def forget(self) -> None:
        self.weights = f"{self.weights}, optimizer anew"

    def sees(self, path: Path) -> None:
        assert path.is_absolute(), "on another node a relative path names another file"

    def restore(self, checkpoint: Path) -> None:
        self.weights = (checkpoint / "hf" / "learner.txt").read_text()

    def save(self, checkpoint: Path) -> dict[str, SavedFile]:
        assert checkpoint.is_absolute()
        file = checkpoint / "hf" / "learner.txt"
        file.parent.mkdir()
        file.write_text(self.weights)
        return written(checkpoint, [file])


def _rows(part: MicroBatch) -> Iterator[tuple[Any, ...]]:
    return zip(part.ids, part.attention, part.mask, strict=True)


async def no_usage() -> dict[str, Usage | None]:
    return {}


async def attempt(
    config: Config,
    directory: RunDirectory,
    start: StartPoint,
    dies_at: Death | None = None,
    lives: float = math.inf,
    context: int = 64,
    notice: Notice | None = None,
    uploads: Uploads | None = None,
) -> str:
    """What :meth:`Driver.run` does, but for weights: engines here have none.

    Args:
        dies_at: where the driver dies, if it does.
        lives: batches that the engine samples before the driver dies with it.
        context: longest prompt plus completion, in tokens.
        notice: when the driver is told to end, if it is.
        uploads: where checkpoints go besides the run directory.

    Returns:
        The learner's weights at the end.
    """
    directory.path.mkdir(exist_ok=True)
    engine, rank = Engine(start.version, lives), Rank()
    place = (directory.path, effrl.__version__)
    data = Handle(DataActor("data", *place, config, []))
    oracle = Handle(OracleActor("oracle", *place, config.data.train, {}, config.label, Grading(lambda: Grader().score)))
    control = {"data": data, "oracle": oracle, "reward": {"reward": Handle(Grader())}}
    learner = {"learner-0": Handle(rank)}
    actors = SimpleNamespace(**control, rollout={"rollout-0": Handle(engine)}, learner=learner, usage=no_usage)
    progress = Progress(config.run.steps, Console(file=io.StringIO()))
    found = SimpleNamespace(context=context, model=SimpleNamespace(path=start.model), train=None)
    driver = Driver(config, directory, found, start, progress, actors, uploads or NoUploads())  # type: ignore[arg-type]
    services = driver._build()
    make_mortal(driver.labeller, dies_at)
    if notice is not None:
        make_stoppable(driver, engine, notice)
    await driver._resume_stage()
    await start.restore(driver.parts)
    await driver.go_through(replace(services, weights=engine))  # type: ignore[arg-type]  # engines have no weights here
    if not driver.stopping:
        await driver.parked.close()
    return rank.weights


def make_mortal(labeller: TimedLabeller, dies_at: Death | None) -> None:
    """Let the driver die with its labeller where it is told to, whichever stage's labeller that is."""
    assign, learn = labeller.assign, labeller.learn

    async def decide(step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> Sequence[Judged]:
        judged = await assign(step, groups, views)
        if dies_at == Death(step.number):
            raise Killed
        return judged

    async def take_note(step: Step, settled: Sequence[Settled]) -> Mapping[str, float]:
        if dies_at == Death(step.number, updated=True):
            raise Killed
        return await learn(step, settled)

    labeller.assign, labeller.learn = decide, take_note  # type: ignore[method-assign]


def make_stoppable(driver: Driver, engine: Engine, notice: Notice) -> None:
    """Tell the driver to end when it gets there."""
    task = asyncio.current_task()
    assert task is not None
    assign, sample = driver.labeller.assign, engine.sample

    async def decide(step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> Sequence[Judged]:
        judged = await assign(step, groups, views)
        if notice == Notice(step.number, labelled=True):
            driver.terminated(task)
        return judged

    def sampled(lease: str, requests: Sequence[SampleRequest]) -> list[Sampled]:
        if notice == Notice(driver.step):
            driver.terminated(task)
        return sample(lease, requests)

    driver.labeller.assign, engine.sample = decide, sampled  # type: ignore[method-assign]


def comparable(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What must repeat: everything but times, memory and CPU seconds."""
    return [{k: v for k, v in row.items() if not k.startswith(("time/", "memory/", "cpu/"))} for row in rows]
