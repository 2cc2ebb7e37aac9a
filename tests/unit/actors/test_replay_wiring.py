"""Replay through the driver's services, its journal and its checkpoints; the actors are called in this process."""

from pathlib import Path

import pytest

from actors import role
from effrl.config.schema import Config
from effrl.run import metrics
from effrl.run.checkpoint import Checkpoints
from effrl.run.directory import RunDirectory
from effrl.run.groups import tally
from effrl.run.resume import StartPoint, resume_point
from tests.unit.actors.driven import attempt, comparable

STEPS = 5


def config(data: Path, steps: int) -> Config:
    return Config.model_validate(
        {
            "data": {"train": str(data)},
            "reward": {"kind": "exact"},
            "rollout": {"prompts": 6, "per_prompt": 3, "max_tokens": 4, "refill": 0},
            "replay": {"capacity": 8, "warmup": 1},
            "learn": {"updates": 2},
            "run": {"steps": steps, "sinks": []},
        }
    )


async def test_a_run_and_a_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(role, "_log_to", lambda path: None)  # it would take the test's own output
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(f'{{"id": "p{n}", "prompt": "{n}", "label": "1"}}\n' for n in range(12)))
    whole, cut = RunDirectory(tmp_path / "whole"), RunDirectory(tmp_path / "cut")
    weights = await attempt(config(data, STEPS), whole, StartPoint(tmp_path))
    await attempt(config(data, 3), cut, StartPoint(tmp_path))
    assert await attempt(config(data, STEPS), cut, resume_point(cut, config(data, STEPS), tmp_path)) == weights

    rows = metrics.read(cut.metrics)
    assert comparable(rows) == comparable(metrics.read(whole.metrics))
    assert [row["groups/rolled"] for row in rows] == [6, 3, 3, 3, 3]
    for row, before in zip(rows[1:], rows, strict=False):
        assert row["groups/replay_uses"] == min(3, before["replay/stored"]) > 0
    assert max(row["replay/age_max"] for row in rows[1:]) > 1
    rolled, fates = tally(cut.groups)
    assert rolled == sum(fates.values()) == 6 + 4 * 3
    found = Checkpoints(cut.checkpoints, 2).latest()
    assert found is not None and (found[0] / "data" / "replay" / "groups.npz").is_file()
    assert found[1].parts["learner"].state == {"version": rows[-1]["policy/version"], "ranks": 1}
    assert not found[1].parts["data"].state, "what grows with the data is in a file"
