"""What a run will do and need, worked out before anything is started: ``effrl train RECIPE --dry-run``.

Memory is that of tensors, from the model's shapes (:mod:`effrl.preflight.memory`); libraries come on top, about half a
GiB of a rank and two of an engine.
"""

from dataclasses import dataclass
from itertools import accumulate
from math import ceil

from effrl.config.cluster import NodePool
from effrl.config.learn import LearnConfig
from effrl.config.schema import Config
from effrl.preflight.check import Preflight
from effrl.preflight.memory import ADAM_BYTES, BYTES, prm_memory, rank_memory
from effrl.preflight.shape import Shape, shape_of
from effrl.preflight.stages import PlannedStage, planned

_STORED_TOKEN_BYTES = 8
"""Of a token that may be replayed: its id and its log-prob."""


@dataclass(frozen=True, slots=True)
class Batches:
    """What one step works on, with replay after its warm-up; upper bounds where lengths are not known yet."""

    fresh: int
    """Groups that are rolled out."""
    replayed: int
    """Groups of earlier steps that are learned from besides, at most."""
    sequences: int
    """Rollouts of the first draw."""
    refill: int
    """Rollouts that may replace groups without signal, about."""
    tokens: int
    """Sampled tokens of the first draw, at most."""
    updates: int
    """Optimizer steps."""
    sequences_per_update: int
    """On all ranks, at most."""
    forward_passes: int
    """Of one rank for one update, if every sequence is as long as it may be."""
    labels: int | None
    """Bought per step, at most; None where none are bought."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of tensors."""

    learner: int
    """Of one learner rank, at its peak."""
    weights: int
    gradients: int
    optimizer: int
    reference: int
    prm: int
    """Of one rank of an implicit PRM, whole; 0 without one."""
    activations: int
    """Of one micro-batch, logits included."""
    engine_weights: int
    kv_cache_tokens: int | None
    """What the key-value cache of one engine holds, in tokens; None on a GPU, which gives what is left."""
    publish: int
    """Of one publication."""
    replay: int
    """Tokens and log-probs of the groups that may be replayed, if every rollout is as long as it may be."""
    checkpoints: int
    """On disk, all that are kept."""

    @property
    def copies(self) -> int:
        """Of gradients and of AdamW's temporaries, that a learner rank holds at its peak besides."""
        return self.learner - self.weights - self.gradients - self.optimizer - self.reference - self.activations


@dataclass(frozen=True, slots=True)
class Plan:
    """All of it, with the run's totals."""

    batches: Batches
    memory: Memory
    rollout_workers: int
    ranks: int
    pools: tuple[NodePool, ...]
    """Where they are."""
    stages: tuple[PlannedStage, ...]
    """What the run goes through; one where it has no stages."""
    steps: int
    """Of all of them, at most."""
    rollouts: int
    """Of the whole run, pools that the model labels and what a selector measures included, without refills."""
    labels: int | None
    """Of the whole run, at most."""
    evaluations: int


def plan(config: Config, found: Preflight) -> Plan:
    """Work out the plan of a run that passed its preflight check."""
    cluster, stages = config.cluster, planned(config, found.train.rows)
    last = stages[-1].config
    ends = list(accumulate(stage.config.run.steps for stage in stages))
    return Plan(
        batches=_batches(last, found, last.fresh_at(last.run.steps)),
        memory=_memory(config, found),
        rollout_workers=cluster.rollout_workers,
        ranks=cluster.ranks,
        pools=config.pools(),
        stages=tuple(stages),
        steps=ends[-1],
        rollouts=sum(stage.asked + _rollouts(stage.config, found) for stage in stages),
        labels=_labels_of(stages, found, config.label.budget.total),
        evaluations=1 + len({*range(config.eval.every, ends[-1] + 1, config.eval.every), *ends}),
    )


def _labels_of(stages: list[PlannedStage], found: Preflight, budget: int | None) -> int | None:
    """Labels of the whole run, at most; None where none are bought."""
    bought = [(stage, labels) for stage in stages if (labels := _labels_in(stage, found)) is not None]
    if not bought:
        return None
    in_all = sum(labels for _, labels in bought)
    return min(in_all, _owned([stage for stage, _ in bought]) or in_all, budget or in_all)


def _owned(stages: list[PlannedStage]) -> int | None:
    """Prompts whose label these may buy, none twice; None where each visit is paid for, or the run has no stages."""
    pools = [stage.labelled for stage in stages if stage.labelled and not stage.config.label.pays_per_visit]
    if len(pools) < len(stages):
        return None
    return max(easy for easy, _ in pools) + max(rest for _, rest in pools)


def _labels_in(stage: PlannedStage, found: Preflight) -> int | None:
    """Labels of a stage, at most and without a limit; None where none are bought."""
    own = _all_labels(stage.config, found)
    if not stage.asked:
        return own
    decides = stage.labelled is not None and stage.labelled[1] > 0
    return stage.gold + (own or 0 if decides else 0)


def _rollouts(config: Config, found: Preflight) -> int:
    """Of a stage, what its selector measures included, without refills."""
    return (sum(_fresh(config)) + _measured(config, found)) * config.rollout.per_prompt


def _measured(config: Config, found: Preflight) -> int:
    """Prompts of a stage that its selector measures, at most."""
    pool = found.train.labelled if config.label.buys_all else found.train.rows
    return config.select.measured(config.rollout.prompts, config.run.steps, pool)


def _fresh(config: Config) -> list[int]:
    """Prompts that each step of a stage rolls out."""
    return [config.fresh_at(step) for step in range(1, config.run.steps + 1)]


def _all_labels(config: Config, found: Preflight) -> int | None:
    """Labels of a whole stage, at most and without a limit; None where none are bought."""
    if config.select.buys_labels:
        return found.train.labelled  # all of them before the first step, and none twice
    labels = [_labels(config, count) for count in _fresh(config)]
    paid = _measured(config, found) if config.label.buys_all else 0
    return None if None in labels else sum(count or 0 for count in labels) + paid


def _batches(config: Config, found: Preflight, fresh: int) -> Batches:
    rollout, learn = config.rollout, config.learn
    sequences = fresh * rollout.per_prompt
    passing = rollout.prompts * (1 + rollout.refill if config.loss.scores_silent else 1)
    per_update = ceil(passing / learn.updates) * rollout.per_prompt
    longest = min(found.context, found.train.longest_bytes + rollout.max_tokens)  # a token takes at least one byte
    in_one_pass = max(1, config.pass_tokens // longest)
    return Batches(
        fresh=fresh,
        replayed=rollout.prompts - fresh,
        sequences=sequences,
        refill=int(sequences * rollout.refill),
        tokens=sequences * rollout.max_tokens,
        updates=learn.updates,
        sequences_per_update=per_update,
        forward_passes=ceil(ceil(per_update / config.cluster.ranks) / in_one_pass),
        labels=_labels(config, fresh),
    )


def _labels(config: Config, groups: int) -> int | None:
    """Bought for a first draw of so many groups, and its refills, at most."""
    if not config.label.buys:
        return None
    share = config.label.share_per_step
    return ceil(groups * (1 + config.rollout.refill) if share is None else share * groups)


def _memory(config: Config, found: Preflight) -> Memory:
    size, learn, shape = BYTES[config.model.dtype], config.learn, shape_of(found.model)
    reference = 1.0 if config.loss.kl else 0.0
    rank = rank_memory(shape, learn, config.cluster.ranks, config.pass_tokens, size, reference)
    weights, replay = found.model.parameters * size, _replay(config)
    return Memory(
        learner=int(rank.peak),
        prm=_prm(config, found),
        weights=int(rank.weights),
        gradients=int(rank.gradients),
        optimizer=int(rank.optimizer),
        reference=int(rank.reference),
        activations=int(rank.activations),
        engine_weights=weights,
        kv_cache_tokens=_kv_cache_tokens(shape, config, size),
        publish=weights,
        replay=replay,
        checkpoints=(config.run.keep + 1) * (_state(shape, learn, size) + _prm_state(config, found) + replay),
    )


def _prm(config: Config, found: Preflight) -> int:
    """Of a rank of the PRM at its peak, its reference and one micro-batch included."""
    if (prm := config.prm) is None:
        return 0
    shape, ranks, size = shape_of(found.judge or found.model), config.cluster.prm_ranks, BYTES[config.model.dtype]
    return int(prm_memory(shape, prm.reference, prm.learn, ranks, config.prm_pass_tokens, size).peak)


def _prm_state(config: Config, found: Preflight) -> int:
    """What a PRM writes into a checkpoint."""
    if config.prm is None:
        return 0
    return _state(shape_of(found.judge or found.model), config.prm.learn, BYTES[config.model.dtype])


def _state(shape: Shape, learn: LearnConfig, size: int) -> int:
    """In a checkpoint: weights, without those that adapters leave frozen, the optimizer, and an ordinary model."""
    adapters, weights = shape.adapters(learn.lora), shape.parameters * size
    return int(weights + (0 if adapters else weights) + (adapters or shape.parameters) * ADAM_BYTES)


def _replay(config: Config) -> int:
    if config.replay is None:
        return 0
    return config.replay.capacity * config.rollout.per_prompt * config.rollout.max_tokens * _STORED_TOKEN_BYTES


def _kv_cache_tokens(shape: Shape, config: Config, size: int) -> int | None:
    if config.cluster.rollout.gpus:
        return None
    return int(config.rollout.kv_cache_gb * 2**30 / shape.kv_bytes(size))
