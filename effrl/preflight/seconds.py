"""Seconds of a step's stages, by the work there is and what a device does of it.

On GPUs they are seconds of wall time; on a CPU they are CPU seconds of all workers together, to be divided by the cores
that share the work. docs/plan.md has the formulas with their sources.
"""

from dataclasses import dataclass

from effrl.config.learn import CPU_PASS_TOKENS, LearnConfig
from effrl.config.process import ImplicitPrm
from effrl.config.schema import Config
from effrl.preflight.devices import Device
from effrl.preflight.memory import kept_values
from effrl.preflight.shape import Shape

STAGES = ("rollout", "process", "learn", "publish", "rest")
MOST_SEQUENCES = 256
"""That an engine samples at a time (actors/rollout/sampling.py)."""
TOKEN_S = 1.4e-4
"""CPU seconds of an engine's process per sampled token, whatever the model: scheduling, sampling and bookkeeping of the
tiny model on docs/speed.md's server. A GPU's host is assumed to do it in a third of that."""
GPU_TOKEN_S = TOKEN_S / 3
TOUCHES = 1.8
"""Times that a pass writes or reads the values that a layer keeps: what a plain torch learner of the tiny model takes
beyond its FLOPs (tests/bench/results/speed/tiny.json)."""
LOGIT_BYTES = 80
"""Read and written of a logit by the softmax, its entropy and its gradient, counted in effrl/loss/head.py; float32."""
STEP_BYTES = 450
"""Per trained parameter of the optimizer's step, fresh memory included: with 102M parameters effrl's learner takes 4.3
CPU seconds besides its passes (tests/bench/results/speed/100m.json)."""
REST_S, REST_PER_ROLLOUT_S = 0.05, 3.3e-4
"""Of reading, scoring, messages and the commit, on docs/speed.md's server."""
PUBLISH_S = 0.1
"""Of a publish of the smallest model: the canary, and messages."""


@dataclass(frozen=True, slots=True)
class StepWork:
    """What a step samples and learns."""

    prompts: float
    rollouts: float
    prompt_tokens: float
    """Mean."""
    sampled_tokens: float
    """Mean of a rollout."""
    longest: float
    """Sampled tokens of the longest rollout."""
    learned: float
    """Rollouts that are learned from."""
    updates: int
    pass_tokens: int
    prm_pass_tokens: int
    ahead: bool
    """Whether the next step is sampled while this one is learned."""

    @property
    def length(self) -> float:
        """Mean of prompt and completion, in tokens."""
        return self.prompt_tokens + self.sampled_tokens


def work_of(config: Config, prompt_tokens: float, sampled_tokens: float, on_gpus: bool) -> StepWork:
    """A step of a config, if every group is learned from, without refills; of a run with stages, its main settings."""
    rollout, most = config.rollout, None if on_gpus else CPU_PASS_TOKENS
    fresh = config.fresh_at(config.run.steps)
    return StepWork(
        prompts=fresh,
        rollouts=fresh * rollout.per_prompt,
        prompt_tokens=prompt_tokens,
        sampled_tokens=sampled_tokens,
        longest=max(sampled_tokens, rollout.max_tokens),
        learned=rollout.prompts * rollout.per_prompt,
        updates=config.learn.updates,
        pass_tokens=_pass_tokens(config.learn, most),
        prm_pass_tokens=_pass_tokens(config.prm.learn if config.prm else config.learn, most),
        ahead=rollout.max_staleness > 0,
    )


def _pass_tokens(learn: LearnConfig, most: int | None) -> int:
    return learn.micro_batch_tokens if most is None else min(most, learn.micro_batch_tokens)


def rollout_s(work: StepWork, shape: Shape, device: Device, engines: int, size: int, fitting: float) -> float:
    """Sampling of one step: prefill, which is bound by FLOP/s; and decoding, which reads all weights for each token of
    the longest rollout, and keys and values for each token of all.

    Args:
        engines: that share the rollouts.
        size: bytes of a weight.
        fitting: sequences that an engine's cache holds.
    """
    sequences = work.rollouts / engines
    at_once = max(1.0, min(sequences, MOST_SEQUENCES, fitting))
    tokens = sequences * work.sampled_tokens
    rounds = max(work.longest, tokens / at_once)
    attended = work.prompt_tokens + work.sampled_tokens / 2
    flops = 2 * (shape.body + shape.head) + 4 * shape.layers * shape.queries * attended
    weights = (shape.body + shape.head) * size
    read = (rounds * weights + tokens * attended * shape.kv_bytes(size)) / device.bandwidth
    prefill = 2 * shape.body * work.prompts / engines * work.prompt_tokens / device.prefill
    host = tokens * (GPU_TOKEN_S if device.is_gpu else TOKEN_S)
    return _all(device, engines) * (prefill + max(read, tokens * flops / device.prefill) + host)


@dataclass(frozen=True, slots=True)
class Passes:
    """What a role does with each token, in forward passes: a backward pass is two."""

    count: float
    head: float
    """Of a sampled token through the output layer, whose logits are made anew for the backward pass."""


def learner_passes(config: Config) -> Passes:
    """Of the learner: a reference, later updates and checkpointed activations each add forward passes."""
    learn = config.learn
    more = (1.0 if config.loss.kl else 0.0) + (learn.updates - 1) / learn.updates
    if config.advantage.value_function is not None:
        more += 1.0
    return _passes(learn.lora is not None, learn.activation_checkpointing, more)


def prm_passes(prm: ImplicitPrm) -> Passes:
    """Of an implicit PRM: as the learner, and its reference."""
    return _passes(prm.learn.lora is not None, prm.learn.activation_checkpointing, 1.0)


def _passes(lora: bool, recomputes: bool, more: float) -> Passes:
    back = 1.0 if lora else 2.0  # a frozen matrix needs no gradient of its own
    return Passes(1 + back + more + (1.0 if recomputes else 0.0), 2 + back + more)


@dataclass(frozen=True, slots=True)
class Team:
    """The ranks of one DeepSpeed group, and what each of its steps is about."""

    ranks: int
    nodes: int
    """Over which they are spread."""
    zero: int
    updates: int
    """Optimizer steps of one step of the run."""
    trained: float
    """Parameters that have a gradient."""
    passes: Passes
    pass_tokens: int


def learn_s(work: StepWork, shape: Shape, device: Device, team: Team, size: int) -> float:
    """Passes over what is learned from, the optimizer's work, and what ranks send each other."""
    return (
        _passes_s(work, shape, device, team, size) + _step_s(device, team) + _reduce_s(work, shape, device, team, size)
    )


def _passes_s(work: StepWork, shape: Shape, device: Device, team: Team, size: int) -> float:
    """Forward and backward passes, by FLOP/s, and by the traffic of what layers keep."""
    sequences = work.learned / team.ranks
    tokens, sampled = sequences * work.length, sequences * work.sampled_tokens
    attention = 2 * shape.layers * shape.queries * work.length
    flops = team.passes.count * tokens * (2 * shape.body + attention) + team.passes.head * sampled * 2 * shape.head
    kept = tokens * shape.layers * kept_values(shape) * size
    moved = team.passes.count * TOUCHES * kept + sampled * shape.vocabulary * LOGIT_BYTES
    seconds = flops / device.matrix + moved / device.bandwidth
    return _all(device, team.ranks) * seconds


def _step_s(device: Device, team: Team) -> float:
    """The optimizer, on its share of the trained parameters."""
    mine = team.trained / team.ranks if team.zero else team.trained
    return _all(device, team.ranks) * team.updates * mine * STEP_BYTES / device.bandwidth


def _reduce_s(work: StepWork, shape: Shape, device: Device, team: Team, size: int) -> float:
    """Gradients in float32 once per update, from ZeRO-2 on in each pass; and weights: after each update under ZeRO-1
    and 2, before each forward and backward pass under ZeRO-3."""
    if team.ranks == 1:
        return 0.0
    passes = max(team.updates, work.learned * work.length / team.ranks / team.pass_tokens)
    gradients = team.trained * 4 * (passes if team.zero >= 2 else 2 * team.updates)
    weights = {0: 0.0, 3: 2 * passes * shape.parameters * size}.get(team.zero, team.updates * team.trained * size)
    wire = device.link if team.nodes == 1 else device.network
    return (team.ranks - 1) / team.ranks * (gradients + weights) / wire


def _all(device: Device, workers: int) -> int:
    """On a CPU seconds are of all workers together."""
    return 1 if device.is_gpu else workers


def publish_s(shape: Shape, device: Device, nodes: int, size: int, colocated: bool) -> float:
    """A version from the learner into every engine: through the hosts and, between nodes, their network; within a GPU
    it is read and written once."""
    weights = shape.parameters * size
    if colocated:
        return PUBLISH_S + 2 * weights / device.bandwidth
    return PUBLISH_S + weights * device.publish + (weights / device.network if nodes > 1 else 0.0)


def rest_s(work: StepWork) -> float:
    """Reading, scoring, labels of a file, messages and the commit; a slow reward or people come on top."""
    return REST_S + REST_PER_ROLLOUT_S * work.rollouts
