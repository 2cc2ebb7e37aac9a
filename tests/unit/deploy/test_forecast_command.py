"""``effrl plan`` for a cluster: what it prints, and one line for a wish that makes no sense."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from deploy.commands.forecast import ClusterWish, scene_of
from effrl.config import load
from effrl.errors import UserError

RECIPE = "gsm8k-qwen2.5-0.5b"


def test_a_plan_says_pools_memory_seconds_and_what_bounds_them() -> None:
    wish = ["--nodes", "64", "--gpus-per-node", "8", "--params", "7e9"]
    result = CliRunner().invoke(app, ["plan", RECIPE, "learn.zero=3", *wish])
    assert result.exit_code == 0, result.output
    for told in ("7B parameters", "64 node(s) x 8 h100", "256 bundles", "cache 53.0 GiB", "publish bounds it"):
        assert told in result.output


def test_what_does_not_fit_has_no_seconds() -> None:
    result = CliRunner().invoke(app, ["plan", RECIPE, "--nodes", "1", "--gpus-per-node", "2", "--params", "7e10"])
    assert result.exit_code == 0 and "an engine does not fit" in result.output and "bounds it" not in result.output


@pytest.mark.parametrize(
    ("wish", "told"),
    [
        (ClusterWish(gpus_per_node=8), "^--gpus-per-node says what each node has: say how many"),
        (ClusterWish(nodes=1, gpu="h100"), "^--gpu h100 is for nodes with GPUs"),
        (ClusterWish(nodes=1, gpus_per_node=2, gpu="tpu", params=7e9), "^--gpu tpu is not known"),
        (ClusterWish(params=0.0), "^--params 0 is no size"),
        (ClusterWish(completion_tokens=65), "^--completion-tokens 65 are more than rollout.max_tokens"),
        (ClusterWish(calibration=Path("nowhere")), "^--calibrate nowhere is no run directory"),
    ],
)
def test_a_wish_that_makes_no_sense_is_one_line(wish: ClusterWish, told: str) -> None:
    with pytest.raises(UserError, match=told):
        scene_of(load.load("quickstart"), wish)


def test_a_run_corrects_the_forecast_of_its_kind_alone(tmp_path: Path) -> None:
    """A step of 10 CPU seconds, six tenths of it sampling; rollouts of 32 tokens where 64 are allowed."""
    config = load.load("quickstart")
    (tmp_path / "config.yaml").write_text(load.dump(config))
    times = {"time/step_s": 10.0, "time/rollout_s": 6.0, "time/learn_s": 3.0, "time/publish_s": 0.5}
    counts = {"rollout/count": 256, "rollout/tokens": 256 * 32, "groups/trained": 32}
    row = {"step": 2, **times, **counts, "cpu/rollout-0_s": 7.0, "cpu/learner-0_s": 3.0}
    (tmp_path / "metrics.jsonl").write_text(json.dumps(row) + "\n")
    scene = scene_of(config, ClusterWish(calibration=tmp_path))
    assert scene.work.sampled_tokens == 32 and set(scene.factors) == {"rollout", "learn", "publish", "rest"}
    with pytest.raises(UserError, match="ran on CPUs, which says nothing of an h100"):
        scene_of(config, ClusterWish(2, 8, 7e9, calibration=tmp_path))
