"""What of ``cluster`` cannot work is one line that says what to set."""

import pytest

from effrl.config import load
from effrl.errors import UserError


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ["cluster.learner.gpus=2"],
            "a rank uses one GPU, and 2 would be reserved: set per_node to 2, and gpus to 1",
        ),
        (["cluster.learner.gpus=8"], "set per_node to 8, and gpus to 1"),
        (["cluster.rollout.min=3", "cluster.rollout.nodes=2"], "rollout.min is 3, and there are 2 rollout worker(s)"),
        (["cluster.learner.nodes=0"], "cluster.learner.nodes: input should be greater than or equal to 1 (got 0)"),
        (["cluster.learner.labels={spot: true}"], "cluster.learner.labels: labels are names and texts"),
        (["cluster.labels=spot"], "cluster.labels: labels are names and texts, like {pool: spot}"),
        (["cluster.rollout.min=2"], "rollout.min is 2, and there are 1 rollout worker(s): lower it, or raise"),
    ],
)
def test_what_cannot_work_is_told(overrides: list[str], line: str) -> None:
    with pytest.raises(UserError) as error:
        load.load("quickstart", overrides)
    assert line in str(error.value) and "\n" not in str(error.value)


def test_as_many_as_there_are_may_be_needed() -> None:
    config = load.load("quickstart", ["cluster.rollout.min=4", "cluster.rollout.per_node=2", "cluster.nodes=2"])
    assert config.cluster.rollout.min == config.cluster.rollout_workers == 4


def test_labels_are_given_on_the_command_line_too() -> None:
    config = load.load("quickstart", ["cluster.rollout.labels.pool=spot", "cluster.learner.labels={ray.io/zone: 'a'}"])
    assert (config.cluster.rollout.labels, config.cluster.learner.labels) == ({"pool": "spot"}, {"ray.io/zone": "a"})
