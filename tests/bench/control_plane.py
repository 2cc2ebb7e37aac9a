"""How many groups a second pass through the driver: ``python -m tests.bench.control_plane OUT``.

Eight actors stand for 256 rollout workers. They answer at once, with groups that were made before: so what is measured
is what dispatch, transport, the fleet's books and the group store (with its fsync) can do, and not a model.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import mkdtemp
from typing import Any

import numpy as np
import ray

from actors.driver.sampler import Sampler
from actors.rollout.sampling import Sampled, SampleRequest
from effrl.batch import Settled
from effrl.run.groups import GroupStore, tally
from effrl.types import Group, Prompt, Rollout

ACTORS, WORKERS, ROOM = 8, 256, 16
STEPS, GROUPS, ROLLOUTS = 6, 2048, 8


@dataclass(frozen=True, slots=True)
class Measured:
    """Of one size of rollouts."""

    tokens: int
    """Of each rollout."""
    groups_per_s: float
    """All of it."""
    sampled_per_s: float
    """Dispatch and transport alone."""
    called_per_s: float
    """The same calls of the same actors with nothing of ours around them: what Ray does here."""
    stored_per_s: float
    """The group store alone: one line when groups are rolled, one with their rollouts when they are settled."""
    driver_cpu_share: float
    """CPU seconds of the driver's process by seconds."""
    megabytes_per_s: float


class Ready:
    """Answers with what it was made with, as an asynchronous rollout worker does."""

    def __init__(self, tokens: int) -> None:
        ids = np.arange(tokens, dtype=np.int32)
        rollout = Rollout(ids, np.zeros(tokens, np.float32), "x" * tokens, "stop", 0, 0)
        self.sampled = Sampled(np.arange(64, dtype=np.int32), (rollout,) * ROLLOUTS)

    async def sample(self, lease: str, requests: Sequence[SampleRequest]) -> list[Sampled]:
        return [self.sampled for _ in requests]


async def measure(tokens: int) -> Measured:
    actors = [ray.remote(Ready).options(num_cpus=0).remote(tokens) for _ in range(ACTORS)]
    workers: dict[str, Any] = {f"rollout-{n}": actors[n % ACTORS] for n in range(WORKERS)}
    sampler = Sampler(workers, 600.0, room=ROOM)
    store = GroupStore(Path(mkdtemp(prefix="effrl-control-")))
    await _step(sampler, store, 0, 64)
    seconds, began, cpu = list[tuple[float, float]](), time.perf_counter(), time.process_time()
    for step in range(1, STEPS + 1):
        seconds.append(await _step(sampler, store, step, GROUPS))
    whole, busy = time.perf_counter() - began, time.process_time() - cpu
    bare = median([await _bare(actors) for _ in range(STEPS)])
    rolled, fates = tally(store.directory)
    assert rolled == sum(fates.values()) == STEPS * GROUPS + 64
    for actor in actors:
        ray.kill(actor)
    return Measured(
        tokens=tokens,
        groups_per_s=round(STEPS * GROUPS / whole),
        sampled_per_s=round(GROUPS / median(sampling for sampling, _ in seconds)),
        called_per_s=round(GROUPS / bare),
        stored_per_s=round(GROUPS / median(storing for _, storing in seconds)),
        driver_cpu_share=round(busy / whole, 2),
        megabytes_per_s=round(STEPS * GROUPS * ROLLOUTS * tokens * 9 / whole / 1e6, 1),
    )


async def _step(sampler: Sampler, store: GroupStore, step: int, count: int) -> tuple[float, float]:
    """Sample groups one by one and store them with their fate; seconds of both."""
    began = time.perf_counter()
    asked = _requests(step, count)
    found = [each for [each] in await asyncio.gather(*(sampler([request]) for request in asked))]
    sampled = time.perf_counter()
    groups = [
        Group(f"1/{step}/{n}", request.prompt, each.prompt_ids, each.rollouts)
        for n, (request, each) in enumerate(zip(asked, found, strict=True))
    ]
    store.rolled(step, groups)
    store.commit(step, [Settled.too_late(group) for group in groups])
    return sampled - began, time.perf_counter() - sampled


async def _bare(actors: Sequence[Any]) -> float:
    """Seconds of as many calls, no more of them at a time than the fleet would make."""
    began, at_once = time.perf_counter(), asyncio.Semaphore(WORKERS * ROOM)

    async def call(number: int, request: SampleRequest) -> None:
        async with at_once:
            await actors[number % ACTORS].sample.remote("", [request])

    await asyncio.gather(*(call(number, request) for number, request in enumerate(_requests(0, GROUPS))))
    return time.perf_counter() - began


def _requests(step: int, count: int) -> list[SampleRequest]:
    seeds = tuple(range(ROLLOUTS))
    return [SampleRequest(Prompt(f"{step}/{n}", "?"), seeds, 1024, 1.0) for n in range(count)]


def main(out: Path) -> None:
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="ERROR")
    found = []
    for tokens in (16, 128, 1024):
        found.append(asyncio.run(measure(tokens)))
        print(found[-1], flush=True)
    ray.shutdown()
    out.mkdir(parents=True, exist_ok=True)
    told = {"cores": os.cpu_count(), "measured": [asdict(each) for each in found]}
    (out / "groups.json").write_text(json.dumps(told, indent=1))
    (out / "README.md").write_text(table(found))


def table(found: Sequence[Measured]) -> str:
    """As Markdown."""
    rows = (f"| {' | '.join(map(str, asdict(each).values()))} |" for each in found)
    return "\n".join(
        [
            "# Groups a second through the driver\n",
            f"{ACTORS} actors stand for {WORKERS} workers and answer at once, with groups of {ROLLOUTS} rollouts; steps"
            f" of {GROUPS} groups, on {os.cpu_count()} cores that the actors share with the driver. Made by"
            " `python -m tests.bench.control_plane tests/bench/results/control_plane`.\n",
            "| tokens of a rollout | groups a second | sampled | Ray's calls alone | stored | CPU share of the driver"
            " | MB a second |",
            "|---:|---:|---:|---:|---:|---:|---:|",
            *rows,
            "",
        ]
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
