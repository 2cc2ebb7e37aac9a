"""RLOO from the base in this process alone, and the groups that it learned from: what ``record`` keeps of a real run.

    python -m tests.bench.prm.drift --family chain --seeds 1-7 --out /tmp/prm

It samples with transformers and takes one optimizer step per batch, on one thread and without an engine.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from actors.ranks.model import Scorer
from effrl.config.schema import Config
from effrl.seeds import derive, stream
from tests.bench.prm.advantages import outcome_of
from tests.bench.prm.decided import problems_of
from tests.bench.prm.model import logprobs, micro_batches, placed, rows_of
from tests.bench.prm.record import config_of, folder_of, parser_of
from tests.bench.prm.recorded import Recorded, write
from tests.bench.prm.sample import Sampler


class Policy:
    """The sampler's model, which learns."""

    def __init__(self, sampler: Sampler, config: Config) -> None:
        self.scorer, self.clip = Scorer(sampler.model).eval(), config.learn.clip_norm
        learn = config.learn
        self.optimizer = torch.optim.AdamW(
            self.scorer.parameters(), lr=learn.lr, betas=learn.betas, weight_decay=learn.weight_decay
        )

    def learn(self, groups: Sequence[Recorded]) -> None:
        """One optimizer step of RLOO, a mean over all sampled tokens."""
        rows, advantages = rows_of(groups), [row for group in groups for row in outcome_of(group)]
        tokens = sum(len(row) for row in advantages)
        self.optimizer.zero_grad()
        for places, batch in micro_batches(rows):
            weights = torch.from_numpy(placed(batch, [advantages[place] for place in places]))
            (-(weights * logprobs(self.scorer, batch)).sum() / tokens).backward()
        torch.nn.utils.clip_grad_norm_(self.scorer.parameters(), self.clip)
        self.optimizer.step()


def drift(out: Path, family: str, seed: int) -> None:
    """Write the steps of a seed; begins anew where some are missing."""
    config, folder = config_of(family, seed), folder_of(out, family, seed)
    if len(list(folder.glob("step_*.npz"))) == config.run.steps:
        return
    folder.mkdir(parents=True, exist_ok=True)
    sampler, order = Sampler(config, family), list(problems_of(config).values())
    stream(seed, "order").shuffle(order)
    policy, count = Policy(sampler, config), config.rollout.prompts
    for step in range(1, config.run.steps + 1):
        torch.manual_seed(derive(seed, "sample", step))
        sampled = sampler.all_groups(order[(step - 1) * count : step * count])
        groups = [group for group in sampled if sampler.is_learned(group)]
        right = float(np.mean([group.outcomes.mean() for group in sampled]))
        print(f"{folder.name} step {step}: {right:.3f} right, {len(groups)} groups", flush=True)
        write(folder / f"step_{step:04}.npz", groups)
        if groups:
            policy.learn(groups)


def main() -> None:
    wish = parser_of(__doc__).parse_args()
    for seed in wish.seeds:
        drift(wish.out, wish.family, seed)


if __name__ == "__main__":
    main()
