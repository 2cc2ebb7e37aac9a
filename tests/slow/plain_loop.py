"""GRPO in one plain torch loop, without any of effrl's services: the curve that a run must reproduce."""

from pathlib import Path

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from effrl.config.load import load
from effrl.data.reader import read
from effrl.models import TINY
from effrl.reward.verifiers import math
from effrl.select.uniform import UniformSelector
from effrl.types import Prompt


class PlainLoop:
    """The quickstart's algorithm on transformers alone: generate, grade, one AdamW step."""

    def __init__(self, seed: int, model: Path = TINY, *overrides: str) -> None:
        torch.manual_seed(seed)
        self.config = load("quickstart", [f"run.seed={seed}", *overrides])
        self.tokenizer = AutoTokenizer.from_pretrained(TINY)
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        learn = self.config.learn
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=learn.lr, betas=learn.betas, weight_decay=0.0)
        rows = list(read(self.config.data.train, self.config.data.form))
        self.labels = {row.prompt.id: row.label for row in rows}
        self.selector = UniformSelector([row.prompt for row in rows], seed)
        assert self.config.data.eval is not None
        self.held_out = list(read(self.config.data.eval, self.config.data.form))[: self.config.eval.prompts]

    def sample(self, prompts: list[Prompt], count: int) -> tuple[torch.Tensor, torch.Tensor, int]:
        """Ids [prompts x count, L], attention to the left-padded prompts, and where the completions start."""
        encoded = [self.tokenizer(prompt.content).input_ids for prompt in prompts for _ in range(count)]
        start = max(map(len, encoded))
        ids = torch.tensor([[0] * (start - len(row)) + row for row in encoded])
        attention = (ids != 0).long()
        with torch.no_grad():
            out = self.model.generate(
                input_ids=ids, attention_mask=attention, max_new_tokens=self.config.rollout.max_tokens,
                do_sample=True, temperature=1.0, top_k=0, top_p=1.0, pad_token_id=0, eos_token_id=1,
            )  # fmt: skip
        return out, attention, start

    def grade(self, ids: torch.Tensor, start: int, labels: list[str | None]) -> np.ndarray:
        texts = self.tokenizer.batch_decode(ids[:, start:], skip_special_tokens=True)
        return np.array([math(text, label, {}).outcome for text, label in zip(texts, labels, strict=True)])

    def accuracy(self) -> float:
        """Mean outcome on the held-out prompts: avg@k."""
        count = self.config.eval.per_prompt
        ids, _, start = self.sample([row.prompt for row in self.held_out], count)
        return float(self.grade(ids, start, [row.label for row in self.held_out for _ in range(count)]).mean())

    def step(self) -> None:
        size, count = self.config.rollout.prompts, self.config.rollout.per_prompt
        prompts = list(self.selector.select(size))
        ids, attention, start = self.sample(prompts, count)
        rewards = self.grade(ids, start, [self.labels[prompt.id] for prompt in prompts for _ in range(count)])
        groups = rewards.reshape(size, count)
        spread = groups.std(axis=1, ddof=1, keepdims=True)
        advantages = torch.tensor(((groups - groups.mean(axis=1, keepdims=True)) / (spread + 1e-6)).ravel())
        if (spread > 0).any():  # the mean is over all that was sampled, groups without signal included
            self.learn(ids, attention, start, advantages.float())

    def learn(self, ids: torch.Tensor, attention: torch.Tensor, start: int, advantages: torch.Tensor) -> None:
        completions = ids[:, start:]
        ended = torch.cumsum((completions == 1).long(), 1)
        mask = ((ended == 0) | ((completions == 1) & (ended == 1))).float()
        seen = torch.cat([attention, torch.ones_like(completions)], 1)
        logits = self.model(input_ids=ids, attention_mask=seen).logits[:, start - 1 : -1]
        logprobs = torch.log_softmax(logits.float(), -1).gather(-1, completions.unsqueeze(-1)).squeeze(-1)
        (-(advantages.unsqueeze(1) * logprobs * mask).sum() / mask.sum()).backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.learn.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()


def curve(seed: int, steps: int, every: int) -> list[float]:
    """Held-out accuracy at steps 0, ``every``, 2 x ``every``, …"""
    loop = PlainLoop(seed)
    accuracies = [loop.accuracy()]
    for step in range(1, steps + 1):
        loop.step()
        if step % every == 0:
            accuracies.append(loop.accuracy())
    return accuracies
