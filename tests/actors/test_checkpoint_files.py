"""What two real ranks write into a checkpoint, and what becomes of it where one of them has a disk of its own."""

import asyncio
from pathlib import Path

import pytest

from actors.learner.group import LearnerGroup
from actors.learner.service import LearnerService
from effrl.config.learn import LearnConfig
from effrl.config.loss import ClippedLoss
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.run.checkpoint import Checkpoint, Checkpoints, verify
from effrl.run.metrics import Stopwatch

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]


@pytest.fixture
def learner(two_ranks: LearnerGroup) -> LearnerService:
    asyncio.run(two_ranks.all("become", LearnConfig(zero=2), ClippedLoss()))
    return service(two_ranks)


def service(group: LearnerGroup) -> LearnerService:
    return LearnerService(group, Config.model_validate({"data": {"train": "tasks:chain"}}), 0, Stopwatch(), 64)


async def test_the_ranks_say_every_file_once_and_their_digests(learner: LearnerService, tmp_path: Path) -> None:
    learner.version = 5
    checkpoints = Checkpoints(tmp_path, keep=1)
    draft = checkpoints.begin(1)
    saved = await learner.save(draft)
    assert saved.files.keys() == {str(path.relative_to(draft)) for path in draft.rglob("*") if path.is_file()}
    assert sum("optim_states" in name for name in saved.files) == 2 and "hf/model.safetensors" in saved.files
    path = checkpoints.seal(draft, Checkpoint(1, {"learner": saved}))
    expected = await learner.group.all("draw")
    resumed = service(learner.group)
    await resumed.load(path, verify(path).parts["learner"].state)
    assert resumed.version == 5
    assert await learner.group.all("draw") == expected, "random states go on from where they were"


async def test_a_rank_on_another_disk_costs_no_older_checkpoint(learner: LearnerService, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1)
    draft = checkpoints.begin(1)
    checkpoints.seal(draft, Checkpoint(1, {"learner": await learner.save(draft)}))
    (tmp_path / "other" / "learner").mkdir(parents=True)
    await learner.group.all("part_from", tmp_path / "other")
    draft = checkpoints.begin(2)
    saved = await learner.save(draft)
    with pytest.raises(UserError, match="on storage that all nodes share") as error:
        checkpoints.seal(draft, Checkpoint(2, {"learner": saved}))
    assert "pp_rank_1" in str(error.value), "DeepSpeed tells nothing of it"
    assert checkpoints.steps() == [1] and verify(checkpoints.directory / "step_1")
