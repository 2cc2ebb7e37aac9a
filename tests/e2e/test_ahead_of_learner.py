"""Rollouts one version ahead, PPO with its value head, and a resume of both: on real actors."""

from pathlib import Path

from runs import SMALL, Here, rows

from effrl.run.groups import tally


def test_a_step_is_sampled_while_the_one_before_is_learned(here: Here, tmp_path: Path) -> None:
    arguments = ("rollout.max_staleness=1", "advantage.kind=gae", "learn.updates=2", "run.steps=3")
    here("train", "quickstart", *SMALL, *arguments)
    run = tmp_path / "runs" / "quickstart"
    steps = rows(run)[1:]
    assert [row["policy/staleness_max"] for row in steps] == [0, 1, 1]
    assert all(row["sync/verified"] is not False for row in steps)
    assert all({"loss/value", "value/explained_variance"} <= row.keys() for row in steps)
    assert all(row["groups/filtered"] == 0 for row in steps), "a value head learns from every group"
    here("resume", "runs/quickstart", "run.steps=5")
    steps = rows(run)[1:]
    assert [row["policy/staleness_max"] for row in steps] == [0, 1, 1, 0, 1], "what ran ahead was not kept"
    rolled, fates = tally(run / "groups")
    assert rolled == sum(fates.values()) == sum(row["groups/rolled"] for row in steps)
