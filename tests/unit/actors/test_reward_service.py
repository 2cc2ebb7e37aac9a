"""A request that the engine failed is left out of its group: it is read and judged by nobody, and never scored 0."""

from dataclasses import replace
from typing import Any

import pytest
from fake_actor import Method
from reads import answered

from actors.reward.service import RewardService
from effrl.batch import fate_of
from effrl.config.reward import RewardTerms
from effrl.run.metrics import Stopwatch
from effrl.types import Decision, Fate, Group, Judged, ReadGroup, Rollout, Score, Status, Supervision


class Verifier:
    """Finds the whole text right where it is ``46``; even of an empty text it would find an answer."""

    def __init__(self) -> None:
        self.read, self.score = Method(self._read), Method(self._score)

    def _read(self, groups: Any) -> Any:
        return [(tuple(texts), tuple(0 for _ in texts)) for texts, _ in groups]

    def _score(self, tasks: Any) -> list[Score]:
        return [Score(float(task.completion == "46"), 0.0, Status.OK, task.completion) for task in tasks]


@pytest.fixture
def service() -> RewardService:
    return RewardService(Verifier(), Stopwatch(), 5.0, RewardTerms(), 24)


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
