"""PRIME from the command line: killed between its two optimizers it goes on as if unharmed, and its PRM picks the best
of several samples, as a naive reading of the run's own files would."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import SMALL, START_S, Here, copy_once, deterministic, groups, rows
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.learner.service import LearnerService
from effrl.batch import Batch
from effrl.models import TINY
from effrl.run.checkpoint import verify
from effrl.run.groups import tally
from effrl.types import Fate, Step, Update

BETA, TEMPERATURE = 0.5, 0.8
SETTINGS = (
    *SMALL,
    "run.steps=4",
    "rollout.prompts=12",
    "rollout.per_prompt=5",
    "rollout.filter={low: 0.25, high: 0.8}",
    "replay={fresh: 0.5, capacity: 16, warmup: 1}",
    f"rollout.temperature={TEMPERATURE}",
    f"process={{beta: {BETA}, separator: ';', learn: {{lr: 1.0e-3, updates: 2, warmup: 1, schedule: linear}}}}",
)


@pytest.mark.slow  # tests/actors/test_prm.py restores a PRM, test_resume.py kills a run
def test_killed_between_the_two_updates_it_goes_on_to_the_bit(
    effrl: Any, here: Here, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The PRM of step 3 had learned, the policy had not: both go back to the checkpoint of step 2."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    learn = LearnerService.step

    async def copied(service: LearnerService, step: Step, batch: Batch) -> Update:
        if step.number == 3 and batch.process.groups:
            copy_once(whole, cut)
        return await learn(service, step, batch)

    monkeypatch.setattr(LearnerService, "step", copied)
    here("train", "prime", *SETTINGS, f"run.dir={whole}")
    assert "resuming after step 2" in here("resume", cut)

    expected, actual = rows(whole), rows(cut)
    assert [row["step"] for row in actual] == list(range(5))
    assert [deterministic(row) for row in actual] == [deterministic(row) for row in expected]
    for model in ("hf", "prm/hf"):
        weights = [(run / "checkpoints" / "step_4" / model / "model.safetensors").read_bytes() for run in (whole, cut)]
        assert weights[0] == weights[1], model
    manifest = verify(whole / "checkpoints" / "step_4")
    assert manifest.parts["process"].state == {"updates": expected[-1]["process/updates"], "ranks": 1}
    rolled, fates = tally(whole / "groups")
    assert rolled == sum(fates.values()) and fates[Fate.UNBALANCED] > 0
    assert any(row["groups/replay_uses"] for row in actual[1:])
    assert all(row["process/reward_spread"] > 1e-3 for row in actual if row.get("groups/trained")), "it learns"
    shown = [group for step in range(1, 5) for group in groups(whole, step) if "process" in group["rollouts"][0]]
    assert shown and {group["fate"] for group in shown} == {"trained"}
    assert all("".join(piece for piece, _ in rollout["process"]) for group in shown for rollout in group["rollouts"])
    assert_that_the_prm_picks(effrl, whole)


def assert_that_the_prm_picks(effrl: Any, run: Path) -> None:
    """``effrl eval --best-of``: two models more than the run, whose engines end first."""
    both = ("--best-of", "3", "--prm", str(run), "--out", str(run.parent / "found.json"))
    command = effrl("eval", str(run), "data.eval=tasks:chain?split=test&size=8", *both)
    assert command.end(START_S) == 0, command.output()
    assert "picks one of 3" in command.output() and "Traceback" not in command.output()
    [found] = json.loads((run.parent / "found.json").read_text())["sets"].values()
    prompts = found["prompts"]
    assert [len(prompt["rollouts"]) for prompt in prompts] == [3] * 8

    picks = [max(prompt["rollouts"], key=lambda rollout: rollout["prm"])["outcome"] for prompt in prompts]
    metrics = found["metrics"]
    assert metrics["best@3"]["mean"] == pytest.approx(sum(picks) / 8)
    assert metrics["best@3"]["mean"] <= metrics["pass@3"]["mean"] and "weighted@3" in metrics

    paths = (run / "checkpoints" / "step_4" / "prm" / "hf", TINY)
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
