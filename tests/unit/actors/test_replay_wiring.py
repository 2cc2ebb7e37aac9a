"""Replay through the driver's services, its journal and its checkpoints; the actors are called in this process."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_actor import Method
from rich.console import Console

import effrl
from actors import role
from actors.data.actor import DataActor
from actors.driver.run import Driver
from actors.oracle.actor import OracleActor
from actors.rollout.sampling import Sampled, SampleRequest
from effrl import loop
from effrl.config.schema import Config
from effrl.report.progress import Progress
from effrl.reward.reading import Completions, by_text, clusters
from effrl.reward.sandbox.messages import ScoringTask
from effrl.run import metrics
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory
from effrl.run.files import written
from effrl.run.groups import tally
from effrl.run.resume import StartPoint, resume_point
from effrl.types import Publication, Rollout, SavedFile, Score, Status, Update

STEPS = 5


class Handle:
    """A handle of an actor in this process."""

    def __init__(self, actor: Any) -> None:
        self.actor = actor

    def __getattr__(self, name: str) -> Method:
        return Method(getattr(self.actor, name))


class Engine:
    """Samples a right or a wrong answer, by the seed alone; serves what is published at once."""

    def __init__(self, version: int) -> None:
        self.version = version

    def sample(self, requests: Sequence[SampleRequest]) -> list[Sampled]:
        return [Sampled(np.array([4], np.int32), tuple(map(self._rollout, request.seeds))) for request in requests]

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
    """Notes the behaviour log-probs that it is to learn from."""

    def step(self, updates: Any, sizes: Any, rate: float) -> dict[str, float]:
        return {"seen": float(sum(part.behaviour.sum() for batches in updates for part in batches))}

    def logprobs(self, canary: Any) -> Any:
        return np.zeros(1, np.float32)

    def sees(self, path: Path) -> None:
        assert path.is_absolute(), "on another node a relative path names another file"

    def restore(self, checkpoint: Path) -> None:
        assert (checkpoint / "hf" / "learner.txt").read_text() == "weights"

    def save(self, checkpoint: Path) -> dict[str, SavedFile]:
        assert checkpoint.is_absolute()
        file = checkpoint / "hf" / "learner.txt"
        file.parent.mkdir()
        file.write_text("weights")
        return written(checkpoint, [file])


def config(data: Path, steps: int) -> Config:
    return Config.model_validate(
        {
            "data": {"train": str(data)},
            "reward": {"kind": "exact"},
            "rollout": {"prompts": 6, "per_prompt": 3, "max_tokens": 4, "refill": 0},
            "replay": {"capacity": 8, "warmup": 1},
            "learn": {"updates": 2},
            "run": {"steps": steps, "sinks": []},
        }
    )


async def no_memory() -> dict[str, float | None]:
    return {}


async def attempt(config: Config, directory: RunDirectory, start: StartPoint) -> None:
    """What :meth:`Driver.run` does, but for weights: engines here have none."""
    directory.path.mkdir(exist_ok=True)
    engine = Engine(start.version)
    place = (directory.path, effrl.__version__)
    data = Handle(DataActor("data", *place, config, []))
    oracle = Handle(OracleActor("oracle", *place, config.data.train, {}, config.label))
    control = {"data": data, "oracle": oracle, "reward": Handle(Grader())}
    learner = {"learner-0": Handle(Rank())}
    actors = SimpleNamespace(**control, rollout={"rollout-0": Handle(engine)}, learner=learner, memory=no_memory)
    progress = Progress(config.run.steps, Console(file=io.StringIO()))
    found = SimpleNamespace(context=64, model=SimpleNamespace(path=start.model))
    driver = Driver(config, directory, found, start, progress, actors)  # type: ignore[arg-type]
    services = driver._build()
    await start.restore(driver.parts)
    await loop.run(replace(services, weights=engine))  # type: ignore[arg-type]  # engines here have no weights


def comparable(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if not k.startswith(("time/", "memory/"))} for row in rows]


async def test_a_run_and_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f'{{"id": "p{n}", "prompt": "{n}", "label": "1"}}\n' for n in range(12)))
    whole, cut = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "cut")
    await attempt(config(data, STEPS), whole, StartPoint(tmp_path))
    await attempt(config(data, 3), cut, StartPoint(tmp_path))
    await attempt(config(data, STEPS), cut, resume_point(cut, config(data, STEPS), tmp_path))

    rows = metrics.read(cut.metrics)
    assert comparable(rows) == comparable(metrics.read(whole.metrics))
    assert [row["groups/rolled"] for row in rows] == [6, 3, 3, 3, 3]
    for row, before in zip(rows[1:], rows, strict=False):
        assert row["groups/replay_uses"] == min(3, before["replay/stored"]) > 0
    assert max(row["replay/age_max"] for row in rows[1:]) > 1
    rolled, fates = tally(cut.groups)
    assert rolled == sum(fates.values()) == 6 + 4 * 3
    found = Checkpoints(cut.checkpoints, 2).latest()
    assert found is not None and (found[0] / "data" / "replay" / "groups.npz").is_file()
    assert found[1].parts["learner"].state == {"version": rows[-1]["policy/version"], "ranks": 1}
    assert not found[1].parts["data"].state, "what grows with the data is in a file"
