"""Seconds of the start-up drill on a model of a real one's shape, with an engine and a learner and nothing else.

``python -m tests.bench.drill_time SHAPE [key=value …]``; shapes are those of :mod:`tests.bench.learner_memory`, weights
random, nothing downloaded, or the path of a model. Seconds on the clock depend on what else runs; those of the CPU, of
all processes together, less so.
"""

import asyncio
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import psutil

from actors.cluster import Cluster
from actors.driver.drill import Drill
from actors.driver.run import DRILL_PROMPTS
from actors.driver.transports import ShmTransport
from actors.driver.weights import WeightSync
from actors.learner.group import LearnerGroup
from actors.session import ray_session
from actors.wait import answer
from effrl.config.load import load
from effrl.config.schema import Config
from effrl.data.reader import read
from effrl.learn.canary import tolerance
from effrl.types import Receipt
from tests.bench.learner_memory import SHAPES, make
from tests.bench.whole_run import SHORT, Watch


def main(shape: str, *overrides: str) -> None:
    with tempfile.TemporaryDirectory() as directory, ray_session(), Watch() as watch:
        model, run = Path(directory) / "model" if shape in SHAPES else Path(shape), Path(directory) / "run"
        if shape in SHAPES:
            make(shape, model)
        run.mkdir()
        settings = [setting.format(model=model, run=run) for setting in SHORT]
        config = load("quickstart", [*settings, *overrides])
        with Cluster(config, run) as cluster:
            found = asyncio.run(drill(cluster, config, model))
        print(json.dumps({"shape": shape, **found, "peak_gib_above_start": round(watch.gib, 2)}))


@dataclass
class Timed(WeightSync):
    """Measures its publishes."""

    seconds: list[float] = field(default_factory=list)

    async def hand_out(self, version: int) -> tuple[list[Receipt], int]:
        began = time.monotonic()
        result = await super().hand_out(version)
        self.seconds.append(round(time.monotonic() - began, 1))
        return result


async def drill(cluster: Cluster, config: Config, model: Path) -> dict[str, Any]:
    """Start, drill, and say how long that took."""
    wait_s, context = config.cluster.wait_s, config.model.context
    assert context is not None, "model.context is set"
    began = time.monotonic()
    await cluster.start(model, model, context, version=0)
    started = time.monotonic()
    rows = islice(read(config.data.train, config.data.form), DRILL_PROMPTS)
    rendered = cluster.rollout["rollout-0"].render.remote([row.prompt for row in rows])
    prompts = await answer(rendered, wait_s, "rendering prompts", "rollout-0")
    transport = ShmTransport(LearnerGroup(cluster.learner, wait_s), cluster.rollout, wait_s)
    sync = Timed(transport, tolerance(config.model.dtype, config.run.sync_tolerance))
    before, rendered_at = cpu_seconds(), time.monotonic()
    kinds, unproven = await Drill(sync, 0, prompts).run()
    return {
        "start_s": round(started - began, 1),
        "drill_s": round(time.monotonic() - rendered_at, 1),
        "drill_cpu_s": round(cpu_seconds() - before, 1),
        "publishes_s": sync.seconds,
        "kinds": kinds,
        "unproven": unproven,
    }


def cpu_seconds() -> float:
    """Of all processes that this one has started, Ray's included."""
    times = [process.cpu_times() for process in psutil.Process().children(recursive=True)]
    return sum(spent.user + spent.system for spent in times)


if __name__ == "__main__":
    main(*sys.argv[1:])
