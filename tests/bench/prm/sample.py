"""Groups at one policy, the base: what gradients are compared on. In this process alone, without an engine.

python -m tests.bench.prm.sample --family chain --seeds 3-7 --out /tmp/prm
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from effrl.config.schema import Config
from effrl.models import locate
from effrl.reward.verifiers import task_answer
from effrl.seeds import derive, stream
from effrl.tasks.problem import Problem
from effrl.types import Int32
from tests.bench.prm.decided import problems_of
from tests.bench.prm.record import config_of, folder_of, parser_of
from tests.bench.prm.recorded import Recorded, write

STEPS, PROMPTS, AT_ONCE = 12, 64, 16
"""Steps, prompts of each, and prompts that are sampled in one pass."""


class Sampler:
    """The base model of a config, sampled as its rollouts are."""

    def __init__(self, config: Config, family: str) -> None:
        self.config, self.family = config, family
        path = locate(config.model.path)
        self.tokenizer = AutoTokenizer.from_pretrained(path, padding_side="left")
        self.model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()

    def all_groups(self, problems: Sequence[Problem]) -> list[Recorded]:
        """A group for each problem."""
        cuts = range(0, len(problems), AT_ONCE)
        return [group for cut in cuts for group in self._groups(problems[cut : cut + AT_ONCE])]

    def is_learned(self, group: Recorded) -> bool:
        """Whether its mean outcome is inside of the config's band."""
        band = self.config.rollout.filter
        return band is None or band.holds(group.outcomes.tolist())

    def _groups(self, problems: Sequence[Problem]) -> list[Recorded]:
        size = self.config.rollout.per_prompt
        given = self.tokenizer([problem.prompt for problem in problems], padding=True, return_tensors="pt")
        rows = self._sampled(given, size).numpy().astype(np.int32)
        return [self._group(problem, rows[n * size : (n + 1) * size]) for n, problem in enumerate(problems)]

    @torch.no_grad()
    def _sampled(self, given: Any, size: int) -> torch.Tensor:
        """[B * size, T] tokens after the prompts, padded behind their end."""
        limit, temperature = self.config.rollout.max_tokens, self.config.rollout.temperature
        way = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0, "max_new_tokens": limit}
        found: torch.Tensor = self.model.generate(**given, **way, num_return_sequences=size)
        return found[:, given["input_ids"].shape[1] :]

    def _group(self, problem: Problem, rows: Int32) -> Recorded:
        tokens = tuple(self._until_its_end(row) for row in rows)
        texts = tuple(self.tokenizer.decode(row, skip_special_tokens=True) for row in tokens)
        right = [task_answer(text, {"family": self.family}) == problem.answer for text in texts]
        prompt_ids = np.array(self.tokenizer(problem.prompt).input_ids, np.int32)
        return Recorded(problem.prompt, prompt_ids, tokens, texts, np.array(right, np.float32))

    def _until_its_end(self, row: Int32) -> Int32:
        ends = np.flatnonzero(row == self.tokenizer.eos_token_id)
        return row[: ends[0] + 1] if len(ends) else row


def sample(out: Path, family: str, seed: int) -> None:
    """Write the steps of a seed that are not there yet; each has random numbers of its own."""
    config, folder = config_of(family, seed), folder_of(out, family, seed, fixed=True)
    folder.mkdir(parents=True, exist_ok=True)
    sampler, order = Sampler(config, family), list(problems_of(config).values())
    stream(seed, "order").shuffle(order)
    for step in range(1, STEPS + 1):
        path = folder / f"step_{step:04}.npz"
        if not path.exists():
            torch.manual_seed(derive(seed, "sample", step))
            sampled = sampler.all_groups(order[(step - 1) * PROMPTS : step * PROMPTS])
            write(path, [group for group in sampled if sampler.is_learned(group)])
    print(folder, flush=True)


def main() -> None:
    wish = parser_of(__doc__).parse_args()
    for seed in wish.seeds:
        sample(wish.out, wish.family, seed)


if __name__ == "__main__":
    main()
