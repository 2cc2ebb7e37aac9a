"""How noisy the policy gradient is at a fixed policy: RLOO, PRIME with less and more weight on its PRM, and controls.

    python -m tests.bench.prm.variance --rollouts /tmp/prm --family chain --seeds 3-7

It reads what ``tests.bench.prm.sample`` made. A PRM learns online from the first steps of each seed; then it
stays, and the gradients of the groups of the other steps are taken, under the advantages of PRIME without whitening.
The controls have rewards of the same norm in each rollout: random ones, and those of the PRM in another order.
``decision`` is what perfect credit would do: RLOO's advantage at the deciding token and nowhere else.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from actors.ranks.model import Scorer
from effrl.config.schema import Config
from effrl.learn.packing import pad
from effrl.process.rewards import normalised
from effrl.sequences import TokenRewards
from effrl.types import Float32
from tests.bench.prm.advantages import decision_of, outcome_of, process_of, random_like
from tests.bench.prm.decided import problems_of
from tests.bench.prm.model import BETA, ImplicitPrm, Rows, logprobs, rows_of, scored, scorer
from tests.bench.prm.moments import products, with_intervals
from tests.bench.prm.record import RESULTS, config_of, folder_of, parser_of
from tests.bench.prm.recorded import Recorded, read_steps

LEARNED = 7
"""Steps that the PRM learns from."""
LOT = 16
"""Groups of one of its updates."""
BUCKETS = 2**15
"""Of the sketch in which gradients are kept: inner products of them are right to about half a percent of the norms."""
PARTS = ("outcome", "process", "random", "permuted", "decision")


@dataclass(frozen=True, slots=True)
class Sketch:
    """A random projection (count sketch): every coordinate is added to one bucket, or taken from it."""

    bucket: torch.Tensor
    sign: torch.Tensor

    @classmethod
    def of(cls, size: int) -> "Sketch":
        draw = torch.Generator().manual_seed(0)
        bucket = torch.randint(BUCKETS, (size,), generator=draw)
        return cls(bucket, torch.randint(2, (size,), generator=draw) * 2.0 - 1.0)

    def __call__(self, gradient: torch.Tensor) -> Float32:
        return torch.zeros(BUCKETS).index_add_(0, self.bucket, self.sign * gradient).numpy()


def learned(path: str, steps: Sequence[Sequence[Recorded]], lr: float, policy: Scorer) -> ImplicitPrm:
    """A PRM that has seen the groups of these steps once."""
    prm, groups = ImplicitPrm(path, lr), [group for step in steps for group in step]
    for start in range(0, len(groups), LOT):
        lot = groups[start : start + LOT]
        prm.learn(lot, scored(policy, lot), np.concatenate([group.outcomes for group in lot]))
    return prm


def rewards_of(prm: ImplicitPrm, policy: Scorer, groups: Sequence[Recorded]) -> list[Rows]:
    """Rewards of each group's rollouts, normalised over the step as PRIME's are."""
    rows, at = iter(prm.rewards(groups, scored(policy, groups))), range(len(groups))
    raw = {str(n): [TokenRewards(next(rows)) for _ in groups[n].tokens] for n in at}
    found, _ = normalised(raw, BETA)
    return [[row.values for row in found[str(n)]] for n in at]


def gradients(policy: Scorer, group: Recorded, parts: Mapping[str, Rows], sketch: Sketch) -> dict[str, Float32]:
    """Sketched gradients of ``sum_it A_it log p_it / K`` for several advantages of one group."""
    batch, weights = pad(rows_of([group])), list(policy.parameters())
    said, mask, found = logprobs(policy, batch), batch.mask > 0, {}
    for name, rows in parts.items():
        slopes = np.zeros_like(batch.mask)
        slopes[mask] = np.concatenate(rows) / len(rows)
        grads = torch.autograd.grad(said, weights, torch.from_numpy(slopes), retain_graph=True)
        found[name] = sketch(torch.cat([grad.ravel() for grad in grads]))
    return found


def measure(steps: Sequence[Sequence[Recorded]], config: Config, family: str, lr: float) -> dict[str, Float32]:
    """Sketched gradients [N, D] of the groups after the first steps, by part."""
    path, seed, known = config.model.path, config.run.seed, problems_of(config)
    policy, draw = scorer(path), np.random.default_rng(seed)
    prm, sketch = learned(path, steps[:LEARNED], lr, policy), Sketch.of(sum(w.numel() for w in policy.parameters()))
    found: dict[str, list[Float32]] = {part: [] for part in PARTS}
    for groups in steps[LEARNED:]:
        for group, rewards in zip(groups, rewards_of(prm, policy, groups), strict=True):
            parts = {
                "outcome": outcome_of(group),
                "process": process_of(group, rewards),
                "random": process_of(group, random_like(rewards, draw)),
                "permuted": process_of(group, [draw.permutation(row) for row in rewards]),
                "decision": decision_of(family, group, known[group.prompt]),
            }
            for name, gradient in gradients(policy, group, parts, sketch).items():
                found[name].append(gradient)
    return {name: np.stack(rows) for name, rows in found.items()}


def estimators(parts: Mapping[str, Float32]) -> dict[str, Float32]:
    """Gradients are linear in advantages: PRIME's with any weight are RLOO's and so much of the PRM's."""
    mixed = {
        f"{name}_{weight}": parts["outcome"] + np.float32(weight) * parts[part]
        for name, part in (("prime", "process"), ("random", "random"), ("permuted", "permuted"))
        for weight in (0.5, 1.0)
    }
    return {"rloo": parts["outcome"], **mixed, "decision": parts["decision"]}


def kept(rollouts: Path, family: str, seed: int, lr: float) -> dict[str, Float32]:
    """The gradients of a seed, measured once."""
    folder = folder_of(rollouts, family, seed, fixed=True)
    path = folder / f"gradients_{lr:g}.npz"
    if not path.exists():
        np.savez(path, **measure(read_steps(folder), config_of(family, seed), family, lr))
        print(path, flush=True)
    with np.load(path) as file:
        return dict(file)


def main() -> None:
    parser = parser_of(__doc__, RESULTS / "variance")
    parser.add_argument("--rollouts", type=Path, required=True, help="what tests.bench.prm.sample made")
    parser.add_argument("--lr", type=float, default=4e-4, help="of the PRMs")
    wish = parser.parse_args()
    seeds = [kept(wish.rollouts, wish.family, seed, wish.lr) for seed in wish.seeds]
    sizes = [len(parts["outcome"]) for parts in seeds]
    pooled = estimators({name: np.concatenate([parts[name] for parts in seeds]) for name in PARTS})
    found = with_intervals(products(pooled, "rloo"), "rloo", sizes)
    about = {"family": wish.family, "seeds": wish.seeds, "lr": wish.lr, "groups": sizes}
    wish.out.mkdir(parents=True, exist_ok=True)
    (wish.out / f"{wish.family}.json").write_text(json.dumps({**about, "arms": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
