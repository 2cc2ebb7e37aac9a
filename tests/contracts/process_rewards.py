"""What every :class:`effrl.protocols.ProcessRewards` must do. To check your own, subclass and say how to make one::

from tests.contracts.process_rewards import ProcessRewardsContract

class TestMyRewards(ProcessRewardsContract):
    def make(self):
        return MyRewards(config)
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from reads import step_of, unread

from effrl.advantage.build import advantages
from effrl.batch import Batch
from effrl.config.advantage import GrpoAdvantage
from effrl.protocols import ProcessRewards
from effrl.sequences import ProcessReward
from effrl.types import Decision, Group, Judged, Prompt, Rollout, Score, ScoredGroup, Status, Supervision


def group(name: str, outcomes: Sequence[float]) -> ScoredGroup:
    """Rollouts of one, two, three, … tokens."""
    rollouts = tuple(
        Rollout(np.arange(1, n + 2, dtype=np.int32), np.full(n + 1, -0.5, np.float32), "1" * (n + 1), "stop", 0, 0)
        for n, _ in enumerate(outcomes)
    )
    judged = Judged(
        unread(Group(name, Prompt(name, "?"), np.array([4], np.int32), rollouts)),
        Decision.USE,
        Supervision("gold", "1"),
    )
    return ScoredGroup(judged, tuple(Score(outcome, outcome, Status.OK) for outcome in outcomes))


def batch(step: int) -> Batch:
    """Two groups with signal, one without."""
    made = Batch(step, 3, 0.0, advantages(GrpoAdvantage()))
    made.add([group(f"{step}/{name}", outcomes) for name, outcomes in (("a", [1, 0, 1]), ("b", [0, 1]), ("c", [1, 1]))])
    return made


class ProcessRewardsContract:
    """The contract; pytest does not collect this class itself, only what inherits from it."""

    def make(self) -> ProcessRewards:
        """Fresh process rewards."""
        raise NotImplementedError

    async def test_each_token_of_the_groups_that_it_names_has_a_number(self) -> None:
        made = batch(1)
        rewards = (await self.make().reward(step_of(1), made)).groups
        learned = {scored.group.id: scored.group for scored in made.learned}
        assert rewards.keys() in (set(), learned.keys()), "all groups that are learned from, or none"
        for name, values in rewards.items():
            lengths = [len(rollout.token_ids) for rollout in learned[name].rollouts]
            assert [len(row.values) for row in values] == lengths
            assert all(np.isfinite(row.values).all() for row in values)
            assert all(row.ends is None or not row.values[~row.ends].any() for row in values), "beside the steps' ends"

    async def test_the_same_step_has_the_same_rewards(self) -> None:
        one, other = [await self.make().reward(step_of(1), batch(1)) for _ in range(2)]
        assert _plain(one) == _plain(other)

    async def test_it_goes_on_from_what_it_saved(self, tmp_path: Path) -> None:
        rewards = self.make()
        await rewards.reward(step_of(1), batch(1))
        saved = await rewards.save(tmp_path)
        assert set(saved.files) == _written(tmp_path)
        expected = [_plain(await rewards.reward(step_of(n), batch(n))) for n in (2, 3)]
        resumed = self.make()
        await resumed.load(tmp_path, json.loads(json.dumps(saved.state)))
        assert [_plain(await resumed.reward(step_of(n), batch(n))) for n in (2, 3)] == expected


def _written(into: Path) -> set[str]:
    return {str(path.relative_to(into)) for path in into.rglob("*") if path.is_file()}


def _plain(rewards: ProcessReward) -> dict[str, list[list[float]]]:
    return {name: [row.values.tolist() for row in values] for name, values in rewards.groups.items()}
