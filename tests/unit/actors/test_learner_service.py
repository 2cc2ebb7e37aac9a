"""What the learner's ranks are told: updates, their sizes, the learning rate, and where the initial model is."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reads import step_of, unread

import effrl
from actors import role
from actors.cluster import Cluster
from actors.learner.actor import LearnerOptions, LearnerRank
from actors.learner.objective import Rules, rules_of
from actors.learner.service import LearnerService
from actors.ranks.group import CHUNK, RankGroup
from effrl.advantage.build import advantages
from effrl.batch import Batch, Settled
from effrl.config.schema import Config
from effrl.learn.packing import MicroBatch, Size, ends
from effrl.run.metrics import Stopwatch
from effrl.types import (
    Canary,
    Continuation,
    Decision,
    Fate,
    Float32,
    Group,
    Judged,
    Prompt,
    ReadGroup,
    Rollout,
    Score,
    ScoredGroup,
    Status,
    Supervision,
    View,
)

RANKS = 2


class Ranks:
    """Stands in for the ranks, and remembers the calls of ``step``."""

    ranks = dict.fromkeys(range(RANKS))

    def __init__(self) -> None:
        self.steps: list[tuple[Any, list[Size], Rules]] = []

    async def first(self, method: str, *arguments: Any) -> Float32:
        assert method == "logprobs"
        return np.full(1, -1, np.float32)

    async def scatter(
        self, method: str, shares: Any, sizes: list[Size], rules: Rules, canary: Canary | None
    ) -> dict[str, float]:
        assert method == "step"
        self.steps.append((shares, sizes, rules))
        self.canary = canary
        return {"loss/policy": 0.5}

    async def all(self, method: str) -> list[dict[int, Float32]]:
        """Each rank has seen every other sequence; what it tells of each is its place in the canary."""
        assert method == "watched" and self.canary is not None
        places = range(len(self.canary.ids))
        return [{place: np.full(1, place, np.float32) for place in places[rank::RANKS]} for rank in range(RANKS)]


def config(**sections: Any) -> Config:
    return Config.model_validate({"data": {"train": "tasks:chain"}, "rollout": {"max_tokens": 10}, **sections})


def batch(run: Config, step: int, groups: int, version: int = 0) -> Batch:
    """Groups of two; the n-th has completions of n tokens."""
    made = Batch(step, groups, 0.0, advantages(run.advantage))
    made.add([group(index + 1, version) for index in range(groups)])
    return made


def group(tokens: int, version: int) -> ScoredGroup:
    ids = np.full(tokens, tokens, np.int32)
    rollout = Rollout(ids, np.zeros(tokens, np.float32), "", "stop", version, version)
    rolled = Group(str(tokens), Prompt(str(tokens), "?"), np.array([4], np.int32), (rollout, rollout))
    scores = (Score(1.0, 1.0, Status.OK), Score(0.0, 0.0, Status.OK))
    return ScoredGroup(Judged(unread(rolled), Decision.USE, Supervision("gold", "1")), scores)


def service(run: Config) -> tuple[LearnerService, Ranks]:
    ranks = Ranks()
    return LearnerService(ranks, run, 0, Stopwatch(), 512), ranks  # type: ignore[arg-type]


async def test_updates_reach_every_rank_and_make_one_version() -> None:
    """Three groups in two updates: one group of two single tokens, then groups of 2 x 2 and 2 x 3 tokens."""
    run = config(learn={"updates": 2, "lr": 1.0, "schedule": "linear"}, loss={"reduce": "constant"}, run={"steps": 4})
    learner, ranks = service(run)
    update = await learner.step(step_of(3, 4), batch(run, step=3, groups=3))
    [(shares, sizes, rules)] = ranks.steps
    assert sizes == [Size(2, 2 * 10), Size(10, 4 * 10)]
    assert (len(shares), {len(share) for share in shares}) == (RANKS, {2})
    seen = [sampled(batches) for batches in zip(*shares, strict=True)]
    assert seen == [[1, 1], [2] * 4 + [3] * 6]
    assert (update.version, update.learned, update.metrics["learn/updates"]) == (1, True, 2)
    assert rules == rules_of(run, rules.learning_rate)
    assert rules.learning_rate == update.metrics["learn/lr"] == pytest.approx(0.5), "step 3 of 4"
    assert update.metrics["learn/tokens"] == 12
    assert (await learner.step(step_of(4, 4), batch(run, 4, 1, version=1))).version == 2


async def test_the_canary_is_scored_by_the_steps_own_forward_pass() -> None:
    learner, _ = service(config())
    update = await learner.step(step_of(1), batch(config(), step=1, groups=2))
    assert update.canary is not None and update.canary_before is not None
    assert update.canary_before.tolist() == [0, 1, 2, 3], "what the ranks saw, in the canary's order"


async def test_at_another_temperature_the_canary_has_a_pass_of_its_own() -> None:
    """Its log-probs are at temperature 1, as an engine scores given tokens."""
    run = config(rollout={"max_tokens": 10, "temperature": 0.7})
    learner, ranks = service(run)
    update = await learner.step(step_of(1), batch(run, step=1, groups=2))
    assert update.canary_before is not None and update.canary_before.tolist() == [-1] and ranks.canary is None


def sampled(ranks: tuple[list[MicroBatch], ...]) -> list[int]:
    """The sampled tokens of one update on all ranks."""
    return sorted(int(token) for share in ranks for part in share for token in part.ids[part.mask > 0])


async def test_without_a_group_there_is_no_step() -> None:
    run = config(learn={"updates": 2})
    learner, ranks = service(run)
    made = batch(run, 1, 1)
    made.settled = [Settled(entry.scored, Fate.FILTERED) for entry in made.settled]
    update = await learner.step(step_of(1), made)
    assert (update.version, update.learned, ranks.steps) == (0, False, [])


@pytest.mark.parametrize(
    ("loss", "denominator", "rows"),
    [
        ({"over": "sampled"}, 2 + 4 + 6, 2),
        ({"over": "trained"}, 4, 2),
        ({"over": "sampled", "kl": 0.1}, 2 + 4 + 6, 6),
        ({"over": "trained", "kl": 0.1}, 4, 2),
    ],
    ids=["sampled", "trained", "sampled, KL", "trained, KL"],
)
async def test_what_has_no_signal_costs_a_pass_for_the_kl_term_alone(
    loss: dict[str, Any], denominator: int, rows: int
) -> None:
    """Groups of 2 x 1, 2 x 2 and 2 x 3 tokens, of which the second has a signal."""
    run = config(loss=loss)
    learner, ranks = service(run)
    made = batch(run, 1, 3)
    fates = (Fate.FILTERED, Fate.TRAINED, Fate.DROPPED)
    made.settled = [Settled(entry.scored, fate) for entry, fate in zip(made.settled, fates, strict=True)]
    update = await learner.step(step_of(1), made)
    [(shares, sizes, _)] = ranks.steps
    assert sizes == [Size(4, denominator)] and update.metrics["learn/tokens"] == 4
    passed = [row for share in shares for part in share[0] for row, mask in _rows(part) if mask.any()]
    assert len(passed) == rows and sum(passed) == 2


def _rows(part: MicroBatch) -> list[tuple[float, Float32]]:
    return list(zip(part.learned[:, 0].tolist(), part.mask, strict=True))


async def test_a_step_without_signal_stays_near_the_initial_model_all_the_same() -> None:
    """The KL term is over all that was sampled; without it there is nothing to do."""
    for kl, learned in ((0.0, False), (0.1, True)):
        run = config(loss={"kl": kl}, learn={"updates": 2})
        learner, ranks = service(run)
        made = batch(run, 1, 3)
        made.settled = [Settled(entry.scored, Fate.FILTERED) for entry in made.settled]
        update = await learner.step(step_of(1), made)
        assert (update.learned, len(ranks.steps)) == (learned, learned)
        if learned:
            assert ranks.steps[0][1] == [Size(0, 2), Size(0, 10)]


@pytest.mark.parametrize(("kl", "reference"), [(0.0, None), (0.1, "initial")])
def test_a_reference_is_the_initial_model_and_only_there_where_it_is_needed(
    kl: float, reference: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On a resume the ranks start from the checkpoint's model, and still measure from the initial one."""
    given: list[LearnerOptions] = []

    class Role:
        @staticmethod
        def remote(name: str, run_dir: Path, version: str, options: LearnerOptions) -> None:
            given.append(options)

    monkeypatch.setattr(Cluster, "_worker", lambda *arguments: Role)
    for replay in (None, {"clip": "paper"}):
        cluster = Cluster(config(loss={"kl": kl}, replay=replay), tmp_path)
        cluster._start_learner(Path("checkpoint"), Path("initial"))
    assert [(options.model, options.reference) for options in given] == [("checkpoint", reference)] * 2
    assert [rules.clip for options in given for rules in options.rules] == ["centered", "paper"]


# --- views


class Seeing(RankGroup):
    """Ranks that see of each row its length, its number of sampled tokens, and where it ends; and an update between."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(("one", "two")), wait_s=5.0)
        self.calls: list[str] = []
        self.passes: list[tuple[float, bool]] = []

    async def each(self, method: str, shares: Any, temperature: float, states: bool) -> Any:
        self.calls.append(method)
        self.passes.append((temperature, states))
        await asyncio.sleep(0)
        return [
            [[self._row(batch, row, states) for row in range(len(batch.ids))] for batch in share] for share in shares
        ]

    async def scatter(self, *arguments: Any) -> dict[str, float]:
        self.calls.append("step begins")
        return {}

    async def all(self, method: str) -> list[dict[int, Float32]]:
        return [dict.fromkeys(range(8), np.zeros(1, np.float32))]

    @staticmethod
    def _row(batch: MicroBatch, row: int, states: bool) -> tuple[Float32, Float32 | None]:
        sampled = batch.ids[row][batch.mask[row] > 0]
        places = ends(batch)[row].astype(np.float32)
        return sampled.astype(np.float32), np.stack([places, -places], 1) if states else None


def seen(name: str, prompt: int, *lengths: int) -> ReadGroup:
    """Rollouts of so many tokens, the n-th made of the number n."""
    rollouts = tuple(
        Rollout(np.full(length, n, np.int32), np.zeros(length, np.float32), "", "stop", 0, 0)
        for n, length in enumerate(lengths)
    )
    return unread(Group(name, Prompt(name, "?"), np.full(prompt, 9, np.int32), rollouts))


async def test_a_view_has_what_is_wanted_of_each_group_and_nothing_costs_nothing() -> None:
    ranks = Seeing()
    learner = LearnerService(ranks, config(rollout={"temperature": 0.7, "max_tokens": 10}), 3, Stopwatch(), 512)  # type: ignore[arg-type]
    groups = [seen("a", 2, 3, 1), seen("b", 4, 2, 0)]
    assert await learner.view(groups, frozenset()) == [View(), View()] and ranks.calls == []
    logprobs = await learner.view(groups, frozenset({"logprobs"}))
    assert [[row.tolist() for row in view.logprobs or ()] for view in logprobs] == [[[0, 0, 0], [1]], [[0, 0], []]]
    assert [(view.prompt, view.last) for view in logprobs] == [(None, None)] * 2
    states = await learner.view(groups, frozenset({"prompt", "last"}))
    assert [view.prompt.tolist() for view in states if view.prompt is not None] == [[1, -1], [3, -3]]
    assert [view.last.tolist() for view in states if view.last is not None] == [[[4, -4], [2, -2]], [[5, -5], [3, -3]]]
    assert [view.logprobs for view in states] == [None, None]
    assert ranks.passes == [(0.7, False), (0.7, True)], "at the temperature of the rollouts"


async def test_one_version_scores_a_whole_pool_although_a_step_waits_to_be_learned() -> None:
    ranks, run = Seeing(), config()
    learner = LearnerService(ranks, run, 0, Stopwatch(), 512)  # type: ignore[arg-type]
    texts = [Continuation(np.arange(4, dtype=np.int32), 2)] * (2 * CHUNK + 1)
    scoring = asyncio.create_task(learner.logprobs(texts))
    await asyncio.sleep(0)
    update = await learner.step(step_of(1), batch(run, 1, 1))
    version, logprobs = await scoring
    assert ranks.calls == ["view"] * 3 + ["step begins"]
    assert (version, update.version, len(logprobs)) == (0, 1, len(texts))


class TwoAlike:
    """Stands in for DeepSpeed on a rank that has a twin; each update has the sums that were given for it."""

    def __init__(self, *sums: dict[str, float]) -> None:
        self.sums = list(sums)

    def set_learning_rate(self, rate: float) -> None: ...

    def even(self, batches: list[MicroBatch]) -> list[MicroBatch]:
        return batches

    def accumulate(self, *arguments: Any) -> dict[str, float]:
        return self.sums.pop(0)

    def step(self) -> float:
        return 7.0

    def sum_over_ranks(self, values: list[float]) -> list[float]:
        return [2 * value for value in values]

    def max_over_ranks(self, value: float) -> float:
        return value


def test_metrics_of_two_updates_are_means_and_the_largest_weight(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By hand, 16 tokens: 256 / 20 and 1024 / 64 effective ones, that is 0.8 and 1 of all."""
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output
    run = config()
    rank = LearnerRank("learner-0", tmp_path, effrl.__version__, LearnerOptions("", "", run.learn, 0, 2))
    of_both = {"policy": 4.0, "entropy": 4.0, "clipped": 2.0, "mismatch_kl": 1.0, "truncated": 0.0}
    rank.engine = TwoAlike(  # type: ignore[assignment]
        {**of_both, "weight": 8.0, "weight_squared": 10.0, "weight_max": 3.0},
        {**of_both, "weight": 16.0, "weight_squared": 32.0, "weight_max": 2.0, "entropy": 12.0},
    )
    assert rank.step([[], []], [Size(16, 16), Size(16, 16)], rules_of(run, 1e-3)) == {
        "loss/policy": 0.5,
        "policy/grad_norm": 7.0,
        "policy/entropy": 1.0,
        "policy/clip_fraction": 0.25,
        "mismatch/kl": 0.125,
        "mismatch/truncated_fraction": 0.0,
        "mismatch/ess": pytest.approx(0.9),
        "mismatch/weight_max": 3.0,
    }
