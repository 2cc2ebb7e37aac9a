"""PRMs that learn from the same rollouts in the same order: online, only in the first steps, or from shuffled labels.

    python -m tests.bench.prm.offline --rollouts /tmp/prm --family chain --seeds 3-7

Every group is scored before a PRM learns from it. Beside the PRMs stand two scores that nobody trained: a rollout's
log-prob under the initial model, and its length, the shortest first. Rewards of tokens go beside the rollouts, for
``tests.bench.prm.branch``. A seed whose result is there already is not run again.
"""

import copy
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from effrl.process.metrics import absolute_accuracy, calibration_error
from effrl.types import Float32, Float64
from tests.bench.prm.model import BETA, ImplicitPrm, Rows, scored, scorer
from tests.bench.prm.pairs import area, count
from tests.bench.prm.record import RESULTS, config_of, folder_of, parser_of
from tests.bench.prm.recorded import Recorded, read_steps

FROZEN_AFTER = 5
PRMS = ("online", "frozen", "shuffled")


@dataclass
class Arms:
    """All PRMs of one seed."""

    online: ImplicitPrm
    shuffled: ImplicitPrm
    draw: np.random.Generator
    steps: int = 0
    frozen: ImplicitPrm | None = None
    losses: dict[str, float] = field(default_factory=dict)
    """By arm, of the last step; it is the one before that step's update."""

    def rewards(self, groups: Sequence[Recorded], reference: Rows) -> dict[str, Rows]:
        """By arm, of all rollouts; then the arms learn from them."""
        labels = np.concatenate([group.outcomes for group in groups])
        frozen = self.frozen and self.frozen.rewards(groups, reference)
        online, self.losses["online"] = self.online.learn(groups, reference, labels)
        shuffled, self.losses["shuffled"] = self.shuffled.learn(groups, reference, self.draw.permutation(labels))
        self.steps += 1
        if self.steps == FROZEN_AFTER:
            self.frozen = copy.deepcopy(self.online)
        return {"online": online, "frozen": frozen or online, "shuffled": shuffled}


def compare(
    steps: Sequence[Sequence[Recorded]], path: str, lr: float, seed: int, keep: Path
) -> Iterator[dict[str, Any]]:
    """What each arm is worth on each step's groups, before it has learned from them."""
    initial, arms = scorer(path), Arms(ImplicitPrm(path, lr), ImplicitPrm(path, lr), np.random.default_rng(seed))
    for number, groups in enumerate(steps, start=1):
        if not groups:
            continue
        reference = scored(initial, groups)
        rewards = arms.rewards(groups, reference)
        keep_rewards(keep / f"rewards_{number:04}.npz", {**rewards, "reference": reference})
        scores = {arm: [row.sum(dtype=np.float64) for row in rows] for arm, rows in rewards.items()}
        scores["reference"] = [row.sum(dtype=np.float64) for row in reference]
        scores["length"] = [-float(len(row)) for row in reference]
        yield {
            "step": number,
            "groups": len(groups),
            "losses": dict(arms.losses),
            "arms": {arm: _worth(groups, np.array(found), arm in PRMS) for arm, found in scores.items()},
        }


def keep_rewards(path: Path, arms: dict[str, Rows]) -> None:
    np.savez_compressed(path, **{arm: np.concatenate(rows) for arm, rows in arms.items()})


def _worth(groups: Sequence[Recorded], scores: Float64, is_logit: bool) -> dict[str, Any]:
    outcomes: Float32 = np.concatenate([group.outcomes for group in groups])
    stops = np.cumsum([len(group.tokens) for group in groups])[:-1]
    of_groups = [group.outcomes for group in groups], np.split(scores, stops), [group.lengths for group in groups]
    worth: dict[str, Any] = {"pairs": count(*of_groups), "area": area(outcomes, scores)}
    if is_logit:
        right = outcomes.astype(np.float64)
        worth |= {"absolute": absolute_accuracy(right, scores), "calibration": calibration_error(right, scores)}
    return worth


def run(rollouts: Path, family: str, seed: int, lr: float, out: Path) -> None:
    folder, path = folder_of(rollouts, family, seed), out / f"{family}-{seed}.json"
    if path.exists():
        return
    steps = read_steps(folder)
    found = list(compare(steps, config_of(family, seed).model.path, lr, seed, folder))
    about = {"family": family, "seed": seed, "lr": lr, "beta": BETA, "frozen_after": FROZEN_AFTER}
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**about, "steps": found}) + "\n")
    print(path, flush=True)


def main() -> None:
    parser = parser_of(__doc__, RESULTS / "offline")
    parser.add_argument("--rollouts", type=Path, required=True, help="what tests.bench.prm.record made")
    parser.add_argument("--lr", type=float, default=4e-4, help="of the PRMs")
    wish = parser.parse_args()
    for seed in wish.seeds:
        run(wish.rollouts, wish.family, seed, wish.lr, wish.out)


if __name__ == "__main__":
    main()
