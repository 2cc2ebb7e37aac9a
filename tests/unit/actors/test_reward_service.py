"""A request that the engine failed is left out of its group: it is read and judged by nobody, and never scored 0."""

from dataclasses import replace
from typing import Any

import pytest
from fake_actor import Method
from reads import answered

from actors.reward.service import RewardService
from actors.wait import answer
from effrl.batch import fate_of
from effrl.config.reward import Format, MathReward, RewardTerms
from effrl.reward.sandbox.pool import patience
from effrl.run.metrics import Stopwatch
from effrl.types import Decision, Fate, Group, Judged, ReadGroup, Rollout, Score, Status, Supervision


class Verifier:
    """Finds the whole text right where it is ``46``; even of an empty text it would find an answer."""

    def __init__(self) -> None:
        self.read, self.score = Method(self._read), Method(self._score)
        self.parts: list[int] = []
        self.compared: list[bool] = []
        self.questions: set[str] = set()

    def _read(self, groups: Any, compare: bool) -> Any:
        self.parts.append(len(groups))
        self.compared.append(compare)
        return [(tuple(group.texts), tuple(0 for _ in group.texts)) for group in groups]

    def _score(self, tasks: Any) -> list[Score]:
        self.parts.append(len(tasks))
        self.questions |= {task.question for task in tasks}
        return [Score(float(task.completion == "46"), 0.0, Status.OK, task.completion) for task in tasks]


@pytest.fixture
def service() -> RewardService:
    return RewardService({"reward": Verifier()}, Stopwatch(), 5.0, MathReward(), 24)


def group(*texts: str | None) -> Group:
    """Rollouts with these texts; None is one that the engine failed."""
    made = answered("p", *("x" for _ in texts)).group
    rollouts = [
        Rollout.lost(0) if text is None else replace(rollout, text=text)
        for rollout, text in zip(made.rollouts, texts, strict=True)
    ]
    return replace(made, rollouts=tuple(rollouts))


async def test_it_has_no_answer_and_no_vote(service: RewardService) -> None:
    [first, second] = await service.answers([group("46", None, "45"), group(None, "1")])
    assert (first.answers, first.clusters) == (("46", None, "45"), (0, None, 0))
    assert (second.answers, second.clusters) == ((None, "1"), (None, 0))


async def test_it_is_not_sent_to_the_verifier(service: RewardService) -> None:
    first, second = await service.score([(group("46", None, "45"), "46"), (group(None, "46"), "46")])
    assert [score.outcome for score in first + second] == [1.0, None, 0.0, None, 1.0]
    assert [score.status for score in first] == [Status.OK, Status.ENGINE, Status.OK]


@pytest.mark.parametrize(
    ("texts", "fate"),
    [
        (("46", "45", None), Fate.TRAINED),
        (("46", "45", None, None), Fate.TRAINED),  # exactly half is left
        (("46", "46", None), Fate.FILTERED),  # a 0 for the third would make a signal here
        (("46", None, None, None), Fate.FAILED),
        ((None, None, None), Fate.FAILED),
    ],
)
@pytest.mark.parametrize("pseudo", [False, True], ids=["label", "cluster"])
async def test_the_fate_of_its_group(
    service: RewardService, texts: tuple[str | None, ...], fate: Fate, pseudo: bool
) -> None:
    """Whether the group is graded or rewarded for membership of a cluster."""
    made = group(*texts)
    clusters = tuple(None if text is None else int(text != "46") for text in texts)
    supervision = Supervision("vote", "46", cluster=0) if pseudo else Supervision("gold", "46")
    judged = Judged(ReadGroup(made, texts, clusters), Decision.USE, supervision)
    [scored] = await service.outcome([judged])
    assert fate_of(scored) is fate
    assert [score.status is Status.ENGINE for score in scored.scores] == [text is None for text in texts]


@pytest.fixture
def deadlines(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of every wait."""
    found: list[float] = []

    async def noting(ref: Any, seconds: float, what: str, role: str) -> Any:
        found.append(seconds)
        return await answer(ref, seconds, what, role)

    monkeypatch.setattr("actors.reward.service.answer", noting)
    return found


@pytest.mark.parametrize(
    ("workers", "wait_s", "parts"),
    [
        (1, 1800.0, [27] * 18 + [26]),  # 27 hang for 5 s each, and 27 workers may take a minute to start
        (4, 1800.0, [108] * 4 + [80]),
        (2, 10.0, [2] * 256),  # one completion per worker takes longer than that
    ],
)
async def test_the_deadline_follows_the_work(
    deadlines: list[float], workers: int, wait_s: float, parts: list[int]
) -> None:
    """An evaluation of 128 x 4 whose every completion hangs: 512 times 5 s, and a worker to start after each."""
    config = MathReward(workers=workers)
    made = RewardService({"reward": Verifier()}, Stopwatch(), wait_s, config, 24)
    scores = await made.score([(group(*"1234"), "46")] * 128)
    assert [len(found) for found in scores] == [4] * 128
    assert made.actors["reward"].parts == parts
    for size, seconds in zip(parts, deadlines, strict=True):
        assert patience(config, size) <= seconds <= max(wait_s, patience(config, workers))


async def test_so_does_that_of_reading(deadlines: list[float]) -> None:
    """Of a group of 8, each answer may hang, and each of 28 comparisons."""
    config = MathReward(workers=4)
    made = RewardService({"reward": Verifier()}, Stopwatch(), 1800.0, config, 24)
    read = await made.answers([group(*"12345678")] * 7)
    assert [found.answers for found in read] == [tuple("12345678")] * 7
    assert made.actors["reward"].parts == [3, 3, 1]
    assert all(seconds >= patience(config, size * 36) for size, seconds in zip([3, 3, 1], deadlines, strict=True))


@pytest.mark.parametrize("actors", [1, 2, 3])
async def test_several_actors_share_the_work_and_change_no_result(actors: int) -> None:
    """Of 8 completions each has a third, rounded up; of one group only the first actor hears."""
    verifiers = {f"reward-{n}": Verifier() for n in range(actors)}
    made = RewardService(verifiers, Stopwatch(), 1800.0, MathReward(), 24)
    groups = [group("46", None, "45"), group("1", "46", "2"), group("46", "46", "3")]
    scores = await made.score([(one, "46") for one in groups])
    assert [[score.outcome for score in found] for found in scores] == [[1, None, 0], [0, 1, 0], [1, 1, 0]]
    assert [verifier.parts for verifier in verifiers.values()] == {1: [[8]], 2: [[4], [4]], 3: [[3], [3], [2]]}[actors]
    assert [read.answers for read in await made.answers(groups)] == [
        ("46", None, "45"),
        ("1", "46", "2"),
        ("46", "46", "3"),
    ]
    assert [read.answers for read in await made.answers(groups[:1])] == [("46", None, "45")]
    assert sum(sum(verifier.parts[1:]) for verifier in verifiers.values()) == 4
    assert await made.score([]) == []


async def test_as_much_more_goes_out_at_once() -> None:
    """One completion per worker takes longer than the wait: each actor has its two at a time."""
    verifiers = {"reward": Verifier(), "reward-1": Verifier()}
    made = RewardService(verifiers, Stopwatch(), 10.0, MathReward(workers=2), 24)
    await made.score([(group(*"12345"), "46")])
    assert [verifier.parts for verifier in verifiers.values()] == [[2, 1], [2]]


async def test_one_group_that_takes_longer_than_any_wait_is_waited_for(deadlines: list[float]) -> None:
    config = MathReward()
    await RewardService({"reward": Verifier()}, Stopwatch(), 100.0, config, 24).answers([group(*"12345678")] * 2)
    assert deadlines == [patience(config, 36)] * 2


@pytest.mark.parametrize("reads_clusters", [False, True])
async def test_values_are_compared_where_somebody_looks(reads_clusters: bool) -> None:
    made = RewardService({"reward": Verifier()}, Stopwatch(), 5.0, MathReward(), 24, reads_clusters)
    await made.read([group("1", "2")])
    await made.answers([group("1", "2")])
    assert made.actors["reward"].compared == [reads_clusters, True], (
        "in training the labeller decides; a vote is asked for"
    )


async def test_a_format_is_asked_of_every_rollout_that_exists() -> None:
    terms = RewardTerms(format=Format(pattern="4.", weight=0.5))
    made = RewardService({"reward": Verifier()}, Stopwatch(), 5.0, MathReward(terms=terms), 24)
    read = ReadGroup(group("46", None, "45"), ("46", None, "45"), (0, None, 1))
    [scored] = await made.outcome([Judged(read, Decision.USE, Supervision("gold", "46"))])
    assert made.actors["reward"].questions == {"outcome", "format"}
    assert [score.terms for score in scored.scores] == [{"format": 0.5}, {}, {"format": 0.0}]
