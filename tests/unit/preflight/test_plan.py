"""The plan's numbers by hand, and against what the libraries allocate."""

from typing import Any

import pytest
from typer.testing import CliRunner

from deploy.cli import app
from effrl.config import load
from effrl.models import TINY, find_model
from effrl.preflight.check import check
from effrl.preflight.plan import Plan, plan

PARAMETERS = find_model("tiny").parameters
POOL = 480
SMALLER = (f"data.train=tasks:chain?size={POOL}", "data.eval=tasks:chain?split=dev&size=8")
"""A plan reads all of its data, and is the same for fewer of these problems."""


def planned(*overrides: str) -> Plan:
    config = load.load("quickstart", (*SMALLER, *overrides))
    return plan(config, check(config))


def test_batches_of_the_quickstart() -> None:
    """32 prompts x 8; the longest prompt and 64 tokens make fewer than 128, so a pass of a CPU takes 8 at least."""
    found = planned()
    batches = found.batches
    assert (batches.sequences, batches.refill, batches.tokens, batches.labels) == (256, 128, 16384, 48)
    assert (batches.updates, batches.sequences_per_update) == (1, 256)
    assert 16 <= batches.forward_passes <= 32
    assert planned("loss.kl=0.1").batches.sequences_per_update == 256 + 128, "the KL term is over refills too"
    assert planned("loss.kl=0.1", "loss.over=trained").batches.sequences_per_update == 256
    assert (found.rollouts, found.labels, found.evaluations) == (5120, 960, 5)
    assert [pool.gpus for pool in found.pools] == [0]


def test_updates_share_the_groups_and_ranks_the_passes() -> None:
    found = planned("learn.updates=5", "cluster.learner.per_node=2", "cluster.nodes=2", "learn.micro_batch_tokens=1")
    assert found.batches.sequences_per_update == 7 * 8, "the largest of five parts of 32 groups"
    assert (found.ranks, found.rollout_workers) == (4, 2)
    assert found.batches.forward_passes == 14, "one sequence in each pass, a quarter of 56 on each rank"


@pytest.mark.parametrize(
    ("overrides", "per_step", "in_all"),
    [
        (["label.kind=vote"], None, None),
        (["label.kind=random", "label.budget.per_step=0.1", "rollout.refill=0"], 4, 80),
        (["label.budget.total=100"], 48, 100),
        (["select={kind: ufo, prefix: ''}"], 48, POOL),
        (["select={kind: ufo, prefix: ''}", "label.budget.total=350"], 48, 350),
    ],
)
def test_labels(overrides: list[str], per_step: int | None, in_all: int | None) -> None:
    found = planned(*overrides)
    assert (found.batches.labels, found.labels) == (per_step, in_all)


def test_replay_shares_a_step_between_fresh_and_older_groups() -> None:
    """20 steps of 32: two roll out all, the others 12 and replay 20; passes are still those of 32 groups."""
    found = planned("replay={fresh: 0.4, capacity: 100}", "rollout.refill=0")
    batches = found.batches
    assert (batches.fresh, batches.replayed, batches.sequences, batches.labels) == (12, 20, 96, 12)
    assert (batches.sequences_per_update, batches.forward_passes) == (256, planned().batches.forward_passes)
    assert (found.rollouts, found.labels) == ((2 * 32 + 18 * 12) * 8, 2 * 32 + 18 * 12)
    assert found.memory.replay == 100 * 8 * 64 * 8, "groups, rollouts, tokens, bytes"
    assert (planned().batches.fresh, planned().batches.replayed, planned().memory.replay) == (32, 0, 0)


def test_references_are_rolled_out_and_their_labels_bought() -> None:
    """20 steps of 32 prompts, in 10 rounds of two, of which the first two measure nothing; votes cost nothing."""
    dots = ("select.kind=dots", "select.reference=6")
    assert planned(*dots).rollouts == 20 * 32 * 8 + 8 * 6 * 8
    assert planned(*dots).labels == 20 * 48 + 8 * 6
    assert planned(*dots, "select.warmup=20").rollouts == 20 * 32 * 8, "a run that ends in its warm-up"
    assert planned(*dots, "label.kind=vote").labels is None


def test_a_look_at_the_base_rolls_every_prompt_out() -> None:
    assert planned("select.kind=adarft").rollouts == (20 * 32 + POOL) * 8
    assert planned("select.kind=adarft", "label.kind=vote").rollouts == (20 * 32 + POOL) * 8
    assert planned("select={kind: adarft, difficulty: level}").rollouts == 20 * 32 * 8


def test_evaluations_count_the_base_and_the_last_step() -> None:
    assert planned("run.steps=12", "eval.every=5").evaluations == 4, "steps 0, 5, 10 and 12"


@pytest.mark.parametrize(
    ("overrides", "weights", "gradients", "optimizer"),
    [
        ([], 4, 4, 12),
        (["learn.zero=1", "cluster.learner.per_node=2"], 4, 4, 6),
        (["learn.zero=2", "cluster.learner.per_node=2"], 4, 2, 6),
        (["learn.zero=3", "cluster.learner.per_node=2"], 2, 2, 6),
        (["model.dtype=bfloat16"], 2, 4, 12),
    ],
)
def test_bytes_per_parameter(overrides: list[str], weights: float, gradients: float, optimizer: float) -> None:
    memory = planned(*overrides).memory
    found = (memory.weights, memory.gradients, memory.optimizer)
    assert [size / PARAMETERS for size in found] == pytest.approx([weights, gradients, optimizer], abs=1e-4)


def test_adapters_are_all_that_is_trained() -> None:
    """Per layer: q and o are 128 -> 128, k and v 128 -> 64, the three of the MLP join 128 and 384."""
    adapters = 5 * 4 * (2 * 256 + 2 * 192 + 3 * 512)
    memory = planned("learn.lora.rank=4").memory
    assert memory.gradients == 4 * adapters and memory.optimizer == 12 * adapters
    assert memory.weights == 4 * (PARAMETERS + adapters)


def test_adapters_are_as_many_as_peft_makes() -> None:
    pytest.importorskip("peft")
    from transformers import AutoModelForCausalLM

    from actors.ranks.lora import add_adapters
    from effrl.config.learn import LoraConfig

    model = AutoModelForCausalLM.from_pretrained(TINY)
    add_adapters(model, LoraConfig(rank=4, targets=("q_proj", "down_proj")))
    made = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    memory = planned("learn.lora={rank: 4, targets: [q_proj, down_proj]}").memory
    assert memory.gradients == 4 * made


def test_a_reference_and_the_key_value_cache() -> None:
    memory = planned("loss.kl=0.1", "rollout.kv_cache_gb=2").memory
    assert memory.reference == memory.weights == memory.publish == 4 * PARAMETERS
    assert memory.kv_cache_tokens == 2 * 2**30 // (2 * 5 * 2 * 32 * 4), "keys and values, layers, heads, width, bytes"
    assert planned("cluster.rollout.gpus=1").memory.kv_cache_tokens is None


def test_checkpointing_trades_memory_for_time() -> None:
    assert planned("learn.activation_checkpointing=true").memory.activations < planned().memory.activations


def test_a_dry_run_prints_the_plan_and_writes_nothing(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["train", "quickstart", "run.steps=7", "--dry-run"])
    assert result.exit_code == 0 and "1,792 before refills" in result.output and "a learner rank" in result.output
    assert list(tmp_path.iterdir()) == [] and "replay" not in result.output
    result = CliRunner().invoke(app, ["train", "quickstart", "replay.fresh=0.5", "--dry-run"])
    assert "each step after the first 2" in result.output and "16 fresh, and up to 16 replayed" in result.output


def test_a_prm_has_two_models_and_an_optimizer() -> None:
    """Of 1M parameters in float32: PRM and reference 8, gradients 4, moments and master copy 12 bytes each; and what
    one micro-batch keeps, its gradients included, as the learner's does."""
    with_prm, learner = planned("process.kind=implicit_prm").memory, planned().memory
    model = learner.weights
    assert with_prm.prm == 2 * model + model + 3 * model + learner.activations + model and learner.prm == 0
    assert with_prm.checkpoints - learner.checkpoints == 3 * (2 * model + 3 * model)
    policy = planned("process={kind: implicit_prm, reference: policy, learn: {zero: 0}}").memory
    assert policy.prm == with_prm.prm - model


EASY = 48
STAGED = "stages=[{name: easy, steps: 4, pool: easy}, {name: self, steps: 9, rounds: 2, pool: {kind: pseudo, %s}}]"


@pytest.mark.parametrize(
    ("pool", "overrides", "labels"),
    [
        ("deferred: drop", [], EASY),
        ("deferred: buy", ["label={buy: random, rest: drop, budget: {per_step: 0.1}}"], 4 * 4 + 2 * (EASY + 9 * 4)),
        ("deferred: buy", ["label={buy: random, rest: drop, budget: {per_step: 1}}"], POOL),
        (
            "deferred: buy",
            ["label={buy: random, rest: drop, charge: per_visit, budget: {per_step: 1}}"],
            22 * 32 + 2 * EASY,
        ),
        ("deferred: drop", ["label.kind=vote"], EASY),
    ],
)
def test_stages_buy_no_label_of_a_prompt_twice(pool: str, overrides: list[str], labels: int) -> None:
    found = planned("rollout.refill=0", "easy={by: random}", STAGED % pool, *overrides)
    assert (found.labels, found.steps) == (labels, 22)


@pytest.mark.parametrize(("deferred", "labels"), [("drop", 4 * 4), ("buy", 4 * 4 + 2 * 9 * 4)])
def test_gold_that_is_owned_costs_nothing(deferred: str, labels: int) -> None:
    """And all that is not may be labelled by the model, the easy prompts too."""
    pool = f"{{kind: pseudo, gold: owned, deferred: {deferred}, samples: 2}}"
    found = planned(
        "rollout.refill=0",
        "label={buy: random, rest: drop, budget: {per_step: 0.1}}",
        f"stages=[{{name: buy, steps: 4}}, {{name: self, steps: 9, rounds: 2, pool: {pool}}}]",
    )
    assert (found.labels, found.rollouts) == (labels, 22 * 32 * 8 + 2 * POOL * (2 + 1))
