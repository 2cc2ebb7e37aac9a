"""Rules about the groups of some steps: what they taught, and how their rollouts ended."""

from effrl.advice.rule import AdviceRule, RunRows, mean, share, total, values

FEW, MANY = 5, 10
"""Steps that a rule waits for before it speaks: of what is plain at once, and of what wavers."""
SILENT = 0.9
"""Share of the supervised groups without contrast from which nearly nothing is learned."""
TRUNCATED, UNPARSEABLE = 0.25, 0.5
"""Shares of rollouts that end at the token limit, or without a final answer, and have nothing to teach about either."""
FALLING = 0.9
"""A share that is below this part of what it was is about to mend itself: the policy learns to end, and to answer."""
STALE = 0.25
"""Share of groups that came too late. Rollouts run ahead less where an eighth does (``actors/driver/ahead.py``)."""
LONGER, BETTER = 1.5, 0.02
"""Growth of completions within ``3 * MANY`` steps, and the gain of outcome that is worth it."""


def no_signal(rows: RunRows) -> str | None:
    silent = total(rows, "groups/filtered", "groups/unbalanced")
    supervised = silent + total(rows, "groups/trained")
    if len(values(rows, "groups/rolled")) < FEW or share(silent, supervised) < SILENT:
        return None
    told = "" if (outcome := mean(rows, "reward/outcome_mean")) is None else f" (mean outcome {outcome:.2f})"
    return (
        f"{silent:.0f} of {supervised:.0f} groups of the last {FEW} steps taught nothing, all right or all wrong{told}"
    )


def no_label(rows: RunRows) -> str | None:
    lost = total(rows, "groups/dropped", "groups/failed")
    rolled = total(rows, "groups/rolled")
    if len(values(rows, "groups/rolled")) < FEW or not rolled or lost < rolled:
        return None
    return f"no rollout was scored in the last {FEW} steps: all {rolled:.0f} groups were dropped or failed"


def truncated(rows: RunRows) -> str | None:
    found = values(rows, "rollout/truncated_fraction")
    if len(found) < 2 * MANY:
        return None
    before, now = sum(found[:MANY]) / MANY, sum(found[-MANY:]) / MANY
    if now < TRUNCATED or now < FALLING * before:
        return None
    return f"{now:.0%} of the rollouts of the last {MANY} steps were cut off at the token limit, which counts as wrong"


def unparseable(rows: RunRows) -> str | None:
    shares = [
        share(float(row["reward/status/unparseable"]), total([row], "reward/status/unparseable", "reward/status/ok"))
        for row in rows
        if row.get("reward/status/unparseable") is not None
    ]
    if len(shares) < 2 * MANY:
        return None
    before, now = sum(shares[:MANY]) / MANY, sum(shares[-MANY:]) / MANY
    if now < UNPARSEABLE or now < FALLING * before:
        return None
    return f"{now:.0%} of the rollouts of the last {MANY} steps had no final answer that could be read"


def stale(rows: RunRows) -> str | None:
    late, rolled = total(rows, "groups/stale"), total(rows, "groups/rolled")
    if len(values(rows, "groups/rolled")) < MANY or share(late, rolled) < STALE:
        return None
    return f"{late:.0f} of {rolled:.0f} groups of the last {MANY} steps came too late to learn from"


def longer(rows: RunRows) -> str | None:
    sampled = [row for row in rows if row.get("rollout/count") and row.get("reward/outcome_mean") is not None]
    if len(sampled) < 3 * MANY:
        return None
    before, now = sampled[:MANY], sampled[-MANY:]
    was, length = (share(total(part, "rollout/tokens"), total(part, "rollout/count")) for part in (before, now))
    gain = (total(now, "reward/outcome_mean") - total(before, "reward/outcome_mean")) / MANY
    if length < LONGER * was or gain >= BETTER:
        return None
    return (
        f"completions grew from {was:.0f} to {length:.0f} tokens within {3 * MANY} steps while the mean outcome"
        f" {'fell' if gain < 0 else 'rose'} by {abs(gain):.2f}"
    )


RULES = (
    AdviceRule(
        "no_signal",
        "Groups without signal",
        "Near 0, take easier prompts or look at the reward (effrl reward check); near 1, harder ones; or raise"
        " rollout.per_prompt",
        no_signal,
        FEW,
    ),
    AdviceRule(
        "no_label",
        "No group has a label",
        "`effrl show` says of each group why: raise label.budget, choose another label.rest, or mend the reward",
        no_label,
        FEW,
    ),
    AdviceRule(
        "truncated",
        "Rollouts end at the token limit",
        "Raise rollout.max_tokens, end answers early (rollout.stop), or make length cost something"
        " (reward.terms.overlong)",
        truncated,
        2 * MANY,
    ),
    AdviceRule(
        "unparseable",
        "No final answer is found",
        "Compare completions (effrl show) with what the reward reads (docs/rewards.md): data.template asks for a"
        " format, rollout.stop may cut it off",
        unparseable,
        2 * MANY,
    ),
    AdviceRule(
        "stale",
        "Groups come too late",
        "Allow more versions (rollout.max_staleness, label.max_age), shorten completions (rollout.max_tokens), or add"
        " rollout workers",
        stale,
        MANY,
    ),
    AdviceRule(
        "longer",
        "Completions grow for nothing",
        "Make length cost something (reward.terms.overlong), or have the loss weigh sequences alike (loss.reduce)",
        longer,
        3 * MANY,
    ),
)
