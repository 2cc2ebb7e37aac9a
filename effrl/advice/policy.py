"""Rules about the policy: whether it still explores, whether engine and learner agree, whether it gets better."""

from effrl.advice.rule import AdviceRule, RunRows, mean
from effrl.process.hacking import OUTCOME, REACH, REWARD, hacked
from effrl.run.metrics import MetricsRow

MANY = 10
"""Steps in a mean."""
MISMATCH = 0.05
"""KL of a token from engine to learner, in nats. It is 1e-12 in float32 and about 1e-3 in bfloat16."""
NARROW, SOLVED = 0.01, 0.7
"""Entropy of a token in nats below which rollouts of a prompt are alike, and the outcome from which they may be."""
KEPT, FALLEN = 2 / 3, 0.05
"""Share of the best held-out accuracy that a run keeps, and the fall that no small set makes by chance. Of the bench's
runs, six fell to 0.69 to 0.85 of their best for two evaluations and came back; none did that fell below."""


def mismatch(rows: RunRows) -> str | None:
    found = mean(rows, "mismatch/kl", least=MANY)
    if found is None or found < MISMATCH:
        return None
    return f"engine and learner disagree by {found:.2g} nats a token (mismatch/kl) in the last {MANY} steps"


def narrow(rows: RunRows) -> str | None:
    entropy, outcome = mean(rows, "policy/entropy", least=MANY), mean(rows, "reward/outcome_mean", least=MANY)
    if entropy is None or outcome is None or entropy >= NARROW or outcome >= SOLVED:
        return None
    return f"the policy hardly explores ({entropy:.1g} nats a token) while its mean outcome is {outcome:.2f}"


def fallen(rows: RunRows) -> str | None:
    """Two evaluations in a row, so that one that wavers says nothing."""
    known = [(float(row["eval/accuracy"]), int(row["step"])) for row in rows if row.get("eval/accuracy") is not None]
    if len(known) < 3 or rows[-1].get("eval/accuracy") is None:
        return None
    (best, step), now = max(known, key=lambda entry: entry[0]), max(known[-2:])[0]
    if now >= KEPT * best or now > best - FALLEN:
        return None
    return f"held-out accuracy fell from {best:.2f} (step {step}) to {known[-1][0]:.2f}"


def terms(rows: RunRows) -> str | None:
    """Read as process rewards that are hacked: they rise clearly while the outcome falls clearly, some steps long."""
    sums = [
        {"step": row["step"], REWARD: sum(found) if (found := _terms(row)) else None, OUTCOME: row.get(OUTCOME)}
        for row in rows
    ]
    if (shown := hacked(sums)) is None:
        return None
    return (
        f"terms of the reward rose from {shown.reward[0]:.2f} to {shown.reward[1]:.2f} while the mean outcome fell from"
        f" {shown.outcome[0]:.2f} to {shown.outcome[1]:.2f}"
    )


def _terms(row: MetricsRow) -> list[float]:
    return [float(value) for name, value in row.items() if name.startswith("reward/terms/") and value is not None]


RULES = (
    AdviceRule(
        "mismatch",
        "Engine and learner disagree",
        "Sample fewer versions ahead (rollout.max_staleness), make fewer updates of a step (learn.updates), or use"
        " float32 (model.dtype)",
        mismatch,
        MANY,
    ),
    AdviceRule(
        "narrow",
        "The policy hardly explores",
        "Go back to an earlier checkpoint with a lower learn.lr or a higher rollout.temperature, or keep it near the"
        " start (loss.kl)",
        narrow,
        MANY,
    ),
    AdviceRule(
        "fallen",
        "Held-out accuracy fell",
        "The best checkpoint is kept: stop, and go on from it with a lower learn.lr, more labels (label.budget), or"
        " loss.kl",
        fallen,
        None,
    ),
    AdviceRule(
        "terms",
        "Terms of the reward pay more than answers",
        "Make them smaller than what an answer is worth (reward.terms)",
        terms,
        REACH,
    ),
)
