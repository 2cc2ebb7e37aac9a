"""A reward that hangs, eats memory, raises or segfaults costs its own rollout: counted, and never scored 0."""

from collections import Counter
from pathlib import Path

from runs import SMALL, Here, groups, rows

from effrl.run.groups import tally

REWARD = """
import ctypes
from pathlib import Path

CALLS = Path(__file__).with_name("calls")

def chaotic(completion, label, meta):
    with CALLS.open("ab") as calls:  # each kind of chaos has its turn, whatever the model says
        calls.write(b".")
        calls.flush()
        kind = calls.tell() % 12
    if kind == 0:
        while True:
            pass
    if kind == 1:
        return float(len(bytearray(8 * 2**30)))
    if kind == 2:
        raise ValueError("not today")
    if kind == 3:
        ctypes.string_at(0)
    return float(completion.endswith("#" + label))
"""


def test_the_run_goes_on(here: Here, tmp_path: Path) -> None:
    (tmp_path / "my_rewards.py").write_text(REWARD)
    reward = "reward={kind: 'my_rewards:chaotic', timeout_s: 1, memory_mb: 512}"
    few = ("run.steps=1", "rollout.refill=0", "eval.prompts=2", "eval.per_prompt=1")  # most of them cost a worker
    here("train", "quickstart", *SMALL, reward, *few)
    run = tmp_path / "runs" / "quickstart"
    counted: Counter[str] = Counter()
    for step, row in enumerate(rows(run)[1:], start=1):
        rollouts = [rollout for group in groups(run, step) for rollout in group["rollouts"]]
        statuses = Counter(rollout["status"] for rollout in rollouts)
        assert all(row[f"reward/status/{status}"] == count for status, count in statuses.items())
        failed = [rollout for rollout in rollouts if rollout["status"] in ("timeout", "memory", "error", "crashed")]
        assert all(rollout["outcome"] is None and rollout["reward"] is None for rollout in failed)
        counted += statuses
    assert set(counted) >= {"ok", "timeout", "memory", "error", "crashed"}, counted
    rolled, fates = tally(run / "groups")
    assert rolled == sum(fates.values()) == 8
