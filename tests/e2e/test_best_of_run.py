"""The PRM that a run trained picks one of several samples: as a naive reading of the run's own files would."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import SMALL, START_S, Here
from transformers import AutoModelForCausalLM, AutoTokenizer

from effrl.models import TINY

BETA, TEMPERATURE = 0.5, 0.8
SETTINGS = (
    *SMALL,
    f"rollout.temperature={TEMPERATURE}",
    f"process={{beta: {BETA}, separator: ';'}}",
    "process.learn.lr=1e-3",
    "run.steps=2",
)


def test_the_prm_of_a_run_picks_the_best_of_its_samples(effrl: Any, here: Here, tmp_path: Path) -> None:
    here("train", "prime", *SETTINGS)
    checkpoint = tmp_path / "runs" / "prime" / "checkpoints" / "step_2"
    both = ("--best-of", "3", "--prm", "runs/prime")
    command = effrl("eval", "runs/prime", "data.eval=tasks:chain?split=test&size=8", *both, "--out", "found.json")
    assert command.end(START_S) == 0, command.output()
    assert "picks one of 3" in command.output() and "Traceback" not in command.output()
    [found] = json.loads((tmp_path / "found.json").read_text())["sets"].values()
    prompts = found["prompts"]
    assert [len(prompt["rollouts"]) for prompt in prompts] == [3] * 8

    picks = [max(prompt["rollouts"], key=lambda rollout: rollout["prm"])["outcome"] for prompt in prompts]
    metrics = found["metrics"]
    assert metrics["best@3"]["mean"] == pytest.approx(sum(picks) / 8)
    assert metrics["best@3"]["mean"] <= metrics["pass@3"]["mean"] and "weighted@3" in metrics

    paths = (checkpoint / "prm" / "hf", TINY)
    models = [AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64) for path in paths]
    for prompt in prompts[:3]:
        for rollout in prompt["rollouts"]:
            assert rollout["prm"] == pytest.approx(score(models, prompt["prompt"], rollout), abs=1e-4)
    assert max(abs(rollout["prm"]) for prompt in prompts for rollout in prompt["rollouts"]) > 1e-3, "it has learned"
    assert command.orphans() == []


def score(models: list[Any], prompt: str, rollout: dict[str, Any]) -> float:
    """The worst of the parts of the text: one token is one character, and then the end, where it was sampled."""
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    asked, written = (tokenizer.encode(text, add_special_tokens=False) for text in (prompt, rollout["text"]))
    text = torch.tensor([*asked, *written, *([tokenizer.eos_token_id] if rollout["finish_reason"] == "stop" else [])])
    assert len(text) == len(asked) + rollout["tokens"]
    prm, reference = (read(model, text)[len(asked) - 1 :] for model in models)
    rewards = BETA * (prm - reference)
    ends = [place + 1 for place, character in enumerate(rollout["text"][:-1]) if character == ";"]
    return min(float(part.sum()) for part in torch.tensor_split(rewards, ends))


@torch.no_grad()
def read(model: Any, text: torch.Tensor) -> torch.Tensor:
    """Log-probs of all tokens but the first."""
    distribution = torch.log_softmax(model(text[None]).logits[0, :-1] / TEMPERATURE, -1)
    return distribution.gather(-1, text[1:, None])[:, 0]
