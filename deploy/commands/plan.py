"""Shows what a run will do and need."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploy.commands.notes import tell_notes
from effrl.config import load
from effrl.config.cluster import NodePool
from effrl.config.schema import Config
from effrl.preflight.check import check
from effrl.preflight.plan import Plan, plan
from effrl.preflight.stages import PlannedStage


def show_plan(recipe_or_file: str, overrides: list[str], console: Console) -> None:
    """Check a config and print its plan; nothing is started or written.

    Raises:
        UserError: something is wrong with the config, the data or the model.
    """
    config = load.load(recipe_or_file, overrides)
    checked = check(config)
    found = plan(config, checked)
    tell_notes(checked.notes, console)
    for title, rows in (
        (_steps(config), _step(found)),
        ("the run", _run(config, found)),
        ("memory, without libraries", _memory(config, found)),
    ):
        table = Table(title=Text(title, "bold"), title_justify="left", show_header=False, box=None, pad_edge=False)
        table.add_column(min_width=24)
        for row in rows:
            table.add_row(*row)
        console.print(table)


def _steps(config: Config) -> str:
    """Which steps the first table is about."""
    warmup = config.replay.warmup if config.replay else 0
    return f"each step after the first {warmup:,}, which roll out all prompts" if warmup else "each step"


def _step(found: Plan) -> list[tuple[str, str]]:
    batches = found.batches
    labels = "none bought" if batches.labels is None else f"at most {batches.labels:,}"
    replayed = [("groups", f"{batches.fresh:,} fresh, and up to {batches.replayed:,} replayed")]
    return [
        *(replayed if batches.replayed else []),
        ("rollouts", f"{batches.sequences:,}, and up to about {batches.refill:,} to replace groups without signal"),
        ("sampled tokens", f"at most {batches.tokens:,} before refills"),
        ("labels", labels),
        ("optimizer steps", f"{batches.updates}, of up to {batches.sequences_per_update:,} sequences on all ranks"),
        ("passes of a rank", f"about {batches.forward_passes:,} for each optimizer step"),
    ]


def _run(config: Config, found: Plan) -> list[tuple[str, str]]:
    judges = f", {config.cluster.prm_ranks} PRM rank(s)" if config.prm else ""
    workers = f"{found.rollout_workers} rollout worker(s), {found.ranks} learner rank(s){judges}"
    labels = "none bought" if found.labels is None else f"at most {found.labels:,}"
    return [
        ("workers", f"{workers} · {_where(found.pools)} · ZeRO-{config.learn.zero}"),
        ("steps", f"{'at most ' if config.stages else ''}{found.steps:,} · {found.evaluations} evaluations"),
        *(_stage(stage) for stage in found.stages if config.stages),
        ("rollouts", f"{found.rollouts:,} before refills"),
        ("labels", labels),
    ]


def _where(pools: Sequence[NodePool]) -> str:
    """``1 node(s), CPU``, or ``rollout: 4 node(s) with pool=spot, CPU; learner: 1 node(s), 8 GPU(s) each``."""
    places = [f"{pool.where}, {f'{pool.gpus} GPU(s) each' if pool.gpus else 'CPU'}" for pool in pools]
    named = [f"{' and '.join(pool.roles)}: {place}" for pool, place in zip(pools, places, strict=True)]
    return "; ".join(named if len(pools) > 1 else places)


def _stage(stage: PlannedStage) -> tuple[str, str]:
    asked = f", after at most {stage.asked:,} rollouts to label it" if stage.asked else ""
    return f"  {stage.name}", f"{stage.config.run.steps:,} steps, {stage.pool:,} prompts{asked}"


def _memory(config: Config, found: Plan) -> list[tuple[str, str]]:
    memory = found.memory
    parts = {
        "weights": memory.weights,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "reference": memory.reference,
        "activations and logits": memory.activations,
        "copies in passing": memory.copies,
    }
    told = ", ".join(f"{name} {_bytes(size)}" for name, size in parts.items() if size)
    tokens = memory.kv_cache_tokens
    cache = "what the GPU has left" if tokens is None else f"{config.rollout.kv_cache_gb:g} GiB, {tokens:,} tokens"
    stored = [("groups to replay", f"at most {_bytes(memory.replay)}, in each checkpoint too")]
    judge = [("a rank of the PRM", f"about {_bytes(memory.prm)}, reference and micro-batch included")]
    return [
        ("a learner rank", f"about {_bytes(memory.learner)}: {told}"),
        *(judge if memory.prm else []),
        ("a rollout worker", f"weights {_bytes(memory.engine_weights)}, key-value cache {cache}"),
        ("a publication", _bytes(memory.publish)),
        *(stored if memory.replay else []),
        ("checkpoints on disk", f"about {_bytes(memory.checkpoints)}"),
    ]


def _bytes(size: int) -> str:
    for unit, name in ((2**30, "GiB"), (2**20, "MiB")):
        if size >= unit:
            return f"{size / unit:.1f} {name}"
    return f"{size / 2**10:.0f} KiB"
