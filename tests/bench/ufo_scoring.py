"""What UFO-RL's one forward pass saves: against K samples to their natural end, of the same prompts on the same engine.

``python -m tests.bench.ufo_scoring "tasks:chain?size=512" --prefix "#"``. Tokenising and Ray's messages are inside both
times, starting the engine is in neither. Prompts are timed in groups whose answers are about equally long: by level
where the data has levels, else by the length of the target. vLLM cannot score without generating one token, which the
learner's ranks in a run and ``effrl score`` can.
"""

import asyncio
import json
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import TypeVar

import numpy as np
import typer

from actors.cluster import Cluster
from actors.driver.sampler import Sampler
from actors.reward.service import RewardService
from actors.rollout.sampling import Sampled, SampleRequest
from actors.session import ray_session
from actors.wait import answer
from effrl.config import load
from effrl.config.schema import Config
from effrl.data.reader import read
from effrl.preflight.check import check_evaluation
from effrl.run.metrics import Stopwatch
from effrl.seeds import derive
from effrl.select.ufo.target import target_of
from effrl.select.ufo.zone import agreement, certainty, sampled_rate
from effrl.types import Canary, Continuation, Group, Row

T = TypeVar("T")

WARM_UP = 8
"""Prompts that nobody times: the first call of an engine pays for its kernels."""


@dataclass(frozen=True, slots=True)
class Timed:
    """One group of prompts."""

    name: str
    prompts: int
    target_tokens: float
    completion_tokens: float
    single_pass_s: float
    samples_s: float
    certainties: list[float]
    rates: list[float]

    @property
    def ratio(self) -> float:
        return self.samples_s / self.single_pass_s


class Bench:
    """Both estimates, on one engine."""

    def __init__(self, config: Config, cluster: Cluster, prefix: str, samples: int) -> None:
        self.config, self.cluster, self.prefix, self.samples = config, cluster, prefix, samples
        self.wait_s = config.cluster.wait_s
        self.sampler = Sampler(cluster.rollout, self.wait_s)
        self.rewards = RewardService(cluster.reward, Stopwatch(), self.wait_s, config.reward, config.rollout.max_tokens)

    async def measure(self, name: str, rows: Sequence[Row]) -> Timed:
        single_pass_s, (texts, certainties) = await _timed(lambda: self.single_pass(rows))
        samples_s, sampled = await _timed(lambda: self.sample(rows))
        lengths = [len(rollout.token_ids) for result in sampled for rollout in result.rollouts]
        target_tokens = fmean(text.tokens for text in texts)
        rates = await self.rates(rows, sampled)
        return Timed(name, len(rows), target_tokens, fmean(lengths), single_pass_s, samples_s, certainties, rates)

    async def single_pass(self, rows: Sequence[Row]) -> tuple[list[Continuation], list[float]]:
        worker = self.cluster.rollout["rollout-0"]
        pairs = [(row.prompt, target_of("final_answer", row.label, None) or "") for row in rows]
        asked = worker.target_ids.remote(pairs, self.prefix)
        texts: list[Continuation] = await answer(asked, self.wait_s, "tokens", "rollout-0")
        canary = Canary(tuple(text.ids for text in texts), tuple(text.start for text in texts))
        logprobs = await answer(worker.logprobs.remote(canary), self.wait_s, "log-probs", "rollout-0")
        parts = np.split(logprobs, np.cumsum([text.tokens for text in texts])[:-1])
        return texts, [certainty(part.tolist()) for part in parts]

    async def sample(self, rows: Sequence[Row]) -> list[Sampled]:
        rollout, seed = self.config.rollout, self.config.run.seed
        seeds = {row.prompt.id: [derive(seed, row.prompt.id, n) for n in range(self.samples)] for row in rows}
        return await self.sampler(
            [SampleRequest(row.prompt, tuple(seeds[row.prompt.id]), rollout.max_tokens, 1.0) for row in rows]
        )

    async def rates(self, rows: Sequence[Row], sampled: Sequence[Sampled]) -> list[float]:
        groups = [
            (Group(row.prompt.id, row.prompt, result.prompt_ids, result.rollouts, "eval"), row.label)
            for row, result in zip(rows, sampled, strict=True)
        ]
        return [sampled_rate([score.outcome for score in scores]) for scores in await self.rewards.score(groups)]


async def _timed(run: Callable[[], Awaitable[T]]) -> tuple[float, T]:
    began = time.perf_counter()
    found = await run()
    return time.perf_counter() - began, found


def grouped(rows: Sequence[Row], groups: int = 4) -> dict[str, list[Row]]:
    """By level, or in quarters by the length of the label."""
    found: dict[str, list[Row]] = defaultdict(list)
    for place, row in enumerate(sorted(rows, key=lambda row: len(row.label or ""))):
        quarter = f"quarter {place * groups // len(rows) + 1}"
        found[f"level {row.prompt.meta['level']}" if "level" in row.prompt.meta else quarter].append(row)
    return dict(sorted(found.items()))


async def run(config: Config, rows: Sequence[Row], prefix: str, samples: int) -> list[Timed]:
    """Start the engine, warm it up, and measure every group."""
    found = check_evaluation(config)
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        stack.enter_context(ray_session())
        cluster = stack.enter_context(Cluster(config, directory, learning=False))
        await cluster.start(found.model.path, found.model.path, found.context, version=0)
        bench = Bench(config, cluster, prefix, samples)
        await bench.measure("warm-up", rows[:WARM_UP])
        return [await bench.measure(name, part) for name, part in grouped(rows).items()]


def main(
    source: str,
    model: str = "tiny",
    prefix: str = "<answer> ",
    prompts: int = 512,
    samples: int = 8,
    max_tokens: int = 1024,
    template: str = "plain",
    reward: str = "task",
    ratio: float = 0.1,
    out: Path | None = None,
) -> None:
    """Measure, print a table, and write everything as JSON where ``--out`` is given."""
    config = load.validate(
        {
            "model": {"path": model},
            "data": {"train": source, "eval": source, "template": template},
            "reward": {"kind": reward},
            "rollout": {"max_tokens": max_tokens},
        },
        "ufo_scoring",
    )
    rows = list(islice((row for row in read(config.data.train, config.data.form) if row.label), prompts))
    found = asyncio.run(run(config, rows, prefix, samples))
    print(f"{'':12}  prompts  target tok  sample tok  one pass s  {samples} samples s  ratio")
    for part in found:
        print(
            f"{part.name:12}  {part.prompts:7}  {part.target_tokens:10.1f}  {part.completion_tokens:10.1f}"
            f"  {part.single_pass_s:10.2f}  {part.samples_s:11.2f}  {part.ratio:5.1f}"
        )
    total = {name: sum(getattr(part, name) for part in found) for name in ("single_pass_s", "samples_s")}
    certainties = np.concatenate([part.certainties for part in found])
    rates = np.concatenate([part.rates for part in found])
    alike = agreement(certainties, rates, ratio)
    print(
        f"all: {total['single_pass_s']:.2f} s against {total['samples_s']:.2f} s, ratio"
        f" {total['samples_s'] / total['single_pass_s']:.1f}; certainty and pass rate: Spearman {alike.spearman:.2f},"
        f" overlap of zones {alike.overlap:.2f} (by chance {ratio:.2f})"
    )
    if out is not None:
        settings = {"source": source, "model": model, "prefix": prefix, "samples": samples, "max_tokens": max_tokens}
        out.write_text(json.dumps({**settings, **total, **asdict(alike), "groups": [asdict(part) for part in found]}))


if __name__ == "__main__":
    typer.run(main)
