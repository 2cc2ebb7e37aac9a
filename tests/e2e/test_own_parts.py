"""Parts of the user's own, each in one file beside the run, train and resume exactly; examples give their numbers."""

import re
import shutil
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from runs import SMALL, Here, deterministic, rows

from examples import own_data

ROOT = Path(__file__).parents[2]
FILES = (
    "examples/own_selector.py",
    "examples/own_labeller.py",
    "examples/own_reward.py",
    "tests/plugins/process_rewards.py",
    "tests/plugins/advantages.py",
    "tests/plugins/losses.py",
)
OWN = (
    *SMALL,
    "rollout.refill=0",
    "select.kind=own_selector:ShortestFirst",
    "label.kind=own_labeller:BuyDoubt",
    "process.kind=process_rewards:CommonTokens",
    "advantage.kind=advantages:rewards_to_come",
    "loss.kind=losses:reinforce",
)


@pytest.fixture
def beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files lie where the run starts."""
    for name in FILES:
        shutil.copy(ROOT / name, tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


@pytest.mark.slow  # tests/contracts has each part, test_labels_resumed.py a labeller in a killed run
def test_parts_of_ones_own_train_and_resume_exactly(here: Here, beside: Path) -> None:
    whole, cut = beside / "whole", beside / "cut"
    here("train", "quickstart", *OWN, "run.steps=4", f"run.dir={whole}")
    here("train", "quickstart", *OWN, "run.steps=2", f"run.dir={cut}")
    here("resume", cut, "run.steps=4")
    assert comparable(cut) == comparable(whole)
    assert weights(cut) == weights(whole), "bit for bit"
    learned = rows(whole)[1:]
    assert [row["label/sure"] for row in learned] != [learned[0]["label/sure"]] * 4, "the labeller learns"
    assert all(row["loss/policy"] != 0 for row in learned)


def comparable(run: Path) -> list[dict[str, Any]]:
    """All but the evaluations, of which the last step of a run has one."""
    return [{k: v for k, v in deterministic(row).items() if not k.startswith("eval/")} for row in rows(run)]


def weights(run: Path) -> str:
    return blake2b((run / "checkpoints" / "step_4" / "hf" / "model.safetensors").read_bytes()).hexdigest()


@pytest.mark.slow  # its number moves only when the example does
@pytest.mark.parametrize(
    ("example", "overrides", "metric", "within"),
    [
        ("own_selector", ["select.kind=own_selector:ShortestFirst"], "reward/outcome_mean", 0.08),
        ("own_reward", ["reward.kind=own_reward:nearly"], "reward/outcome_mean", 0.08),
        ("own_labeller", ["label.kind=own_labeller:BuyDoubt", "rollout.refill=0"], "label/bought", 3),
        ("own_data", ["data.train={sums}", "data.eval={sums}"], "reward/outcome_mean", 0.08),
    ],
)
def test_an_example_gives_the_number_that_it_tells(
    here: Here, beside: Path, example: str, overrides: list[str], metric: str, within: float
) -> None:
    own_data.main(sums := beside / "sums.jsonl")
    few = ("run.steps=1", "eval.prompts=4", "eval.per_prompt=1", "rollout.kv_cache_gb=0.25", "cluster.wait_s=300")
    given = [override.format(sums=sums) for override in overrides]
    here("train", "quickstart", *few, *given, f"run.dir={beside / 'run'}")
    told = re.search(r"Expect .*?about ([\d.]*\d)", (ROOT / "examples" / f"{example}.py").read_text())
    assert told is not None
    assert rows(beside / "run")[1][metric] == pytest.approx(float(told[1]), abs=within)
