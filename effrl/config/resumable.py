"""Which fields may change when a run goes on, and which two configs differ in."""

from typing import Any

from effrl.config.schema import Config

MAY_CHANGE = (
    "cluster",
    "data.eval",
    "eval",
    "label.budget",
    "label.ledger",
    "learn.activation_checkpointing",
    "learn.micro_batch_tokens",
    "process.learn.activation_checkpointing",
    "process.learn.micro_batch_tokens",
    "process.separator",
    "reward.actors",
    "reward.memory_mb",
    "reward.timeout_s",
    "reward.workers",
    "rollout.gpu_memory",
    "rollout.kv_cache_gb",
    "run.keep",
    "run.save_every",
    "run.sinks",
    "run.steps",
    "run.storage",
    "run.sync_tolerance",
)
"""Fields and whole sections: how long a run is, what it may spend, how it is watched, and what it runs on.

All others say what is learned from what: with another value the rest of a run would not be that of its first part, and
a checkpoint's state may not fit it. (A checkpoint of other learner ranks is refused where it is read.)
"""


def changed_for_good(before: Config, after: Config) -> dict[str, tuple[Any, Any]]:
    """The fields that differ and must not, with both values; of a section of another kind, its kind alone."""
    found = differences(before.model_dump(mode="json"), after.model_dump(mode="json"))
    return {name: values for name, values in found.items() if not f"{name}.".startswith(_MAY_CHANGE)}


_MAY_CHANGE = tuple(f"{field}." for field in MAY_CHANGE)


def differences(before: Any, after: Any, at: str = "") -> dict[str, tuple[Any, Any]]:
    """Where two dumped configs differ, by dotted path."""
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return {} if before == after else {at: (before, after)}
    if before.get("kind") != after.get("kind"):
        return {f"{at}.kind": (before.get("kind"), after.get("kind"))}
    found = dict[str, tuple[Any, Any]]()
    for name in before | after:
        found |= differences(before.get(name), after.get(name), f"{at}.{name}" if at else name)
    return found
