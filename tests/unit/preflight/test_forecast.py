"""`effrl plan` for clusters: every formula against numbers worked by hand, and what must hold for any cluster."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from effrl.config.learn import LearnConfig, LoraConfig
from effrl.config.overrides import override
from effrl.config.schema import Config
from effrl.errors import UserError
from effrl.models import find_model
from effrl.preflight.calibration import calibrate
from effrl.preflight.devices import CPU, GPUS, Device, gpu_called
from effrl.preflight.forecast import Scene, forecast
from effrl.preflight.memory import CONTEXT, activations, engine_memory, rank_memory
from effrl.preflight.pools import layout, misfits, nodes_of, shared_out
from effrl.preflight.remedies import better, notes, too_large
from effrl.preflight.seconds import Passes, StepWork, Team, learn_s, learner_passes, publish_s, rollout_s, work_of
from effrl.preflight.shape import SMALLEST, Shape, shape_of, shape_with

SHAPE = Shape(1000, 2, 10, 10, 5, 20, 10, True, {"q_proj": 40.0, "up_proj": 60.0})
"""Output layer 100, body 900; a token's keys and values are 2 x 2 x 5 numbers."""
DEVICE = Device("gpu", 100.0, 200.0, 50.0, 1e4, 10.0, 5.0, 0.01)
WORK = StepWork(2, 8, 6, 4, 5, 8, 1, 20, 20, ahead=False)
"""Eight rollouts of 6 + 4 tokens, of which the longest has 5 sampled ones."""


def config(**sections: Any) -> Config:
    return Config.model_validate({"data": {"train": "rows.jsonl"}, **sections})


def scene(settings: Config, nodes: int, gpus: int, params: float = 7e9, gpu: str = "h100") -> Scene:
    device = gpu_called(gpu) if gpus else CPU
    work = work_of(settings, 128, settings.rollout.max_tokens, bool(gpus))
    return Scene(settings, shape_with(params), layout(settings, nodes, gpus), device, work, {})


# --- the shape


def test_a_made_up_model_has_the_proportions_of_llama_3_8b() -> None:
    """32 layers of 13 x 4,096², and two tables of 128,256 x 4,096: 8.03 billion."""
    parameters = 32 * 13 * 4096**2 + 2 * 128_256 * 4096
    shape = shape_with(parameters)
    assert (shape.layers, shape.width, shape.keys, shape.inner) == pytest.approx((32, 4096, 1024, 14336))
    assert shape.body == pytest.approx(32 * 13 * 4096**2) and shape.parameters == parameters


def test_a_model_that_is_there_is_read_off_its_files() -> None:
    model = find_model("tiny")
    shape = shape_of(model)
    assert (shape.layers, shape.width, shape.queries, shape.keys, shape.inner) == (5, 128, 128, 64, 384)
    assert not shape.tied and shape.body == model.parameters - 2 * model.size("vocab_size") * 128
    assert shape.adapters(LoraConfig(rank=4, targets=("q_proj",))) == 4 * 5 * 256


@pytest.mark.parametrize("params", [0, -7e9, 1e6, 1e20, float("inf"), float("nan")])
def test_a_size_that_no_model_has_is_one_line(params: float) -> None:
    with pytest.raises(UserError, match=r"^--params .* such as 7e9, or leave it out to plan for model\.path$"):
        shape_with(params)


# --- pools


def test_gpus_are_shared_out_by_dhondt() -> None:
    """8 by 3 to 1: after one each, the first takes two (quotients 3/2 and 1 against 1/2), and then three of four."""
    assert shared_out(8, {"rollout": 1, "learner": 1}) == {"rollout": 4, "learner": 4}
    assert shared_out(8, {"rollout": 3, "learner": 1}) == {"rollout": 6, "learner": 2}
    assert shared_out(3, {"rollout": 9, "learner": 1, "prm": 1}) == {"rollout": 1, "learner": 1, "prm": 1}


def test_a_cluster_has_a_bundle_for_each_worker_and_says_how_to_get_it() -> None:
    found = layout(config(), 64, 8)
    assert (found.workers("rollout"), found.workers("learner"), found.workers("prm")) == (256, 256, 0)
    wanted = "cluster.nodes=64 cluster.rollout.per_node=4 cluster.rollout.gpus=1"
    assert found.overrides == f"{wanted} cluster.learner.per_node=4 cluster.learner.gpus=1"
    [line] = misfits(config(), found)
    assert line.endswith(f"set {found.overrides}") and "1 rollout on CPUs" in line


def test_a_config_that_fits_has_no_note() -> None:
    four = {"per_node": 4, "gpus": 1}
    own = config(cluster={"nodes": 64, "rollout": four, "learner": four})
    assert misfits(own, layout(own, 64, 8)) == []


def test_fewer_gpus_on_a_node_than_kinds_of_workers_are_shared_out_over_all_nodes() -> None:
    found = layout(config(), 4, 1)
    assert (found.workers("rollout"), found.workers("learner"), found.overrides) == (2, 2, None)
    assert "nodes of its own" in misfits(config(), found)[0]
    with pytest.raises(UserError, match=r"^1 node\(s\) of 1 GPU\(s\) for rollout and learner: give --gpus-per-node 2"):
        layout(config(), 1, 1)


def test_an_engine_of_several_gpus_is_one_worker() -> None:
    """8 GPUs by 8 to 1, an engine being 4 of 5: 4 and 1 at least, the other 3 go to engines, which cannot use them."""
    spread = config(cluster={"rollout": {"per_node": 2, "gpus": 4}, "learner": {"per_node": 1, "gpus": 1}})
    found = layout(spread, 2, 8)
    assert {kind: (pool.workers, pool.gpus) for kind, pool in found.pools.items()} == {
        "rollout": (2, 4),
        "learner": (2, 1),
    }
    assert found.overrides is not None and "cluster.rollout.per_node=1 cluster.rollout.gpus=4" in found.overrides
    more = layout(spread, 2, 9)
    assert misfits(spread.model_copy(update={"cluster": spread.cluster.model_copy(update={"nodes": 2})}), more) == []
    with pytest.raises(UserError, match=r"^2 node\(s\) of 2 GPU\(s\) for rollout and learner: give --gpus-per-node 5"):
        layout(spread, 2, 2)


def test_workers_that_take_turns_use_one_gpu_of_each_node() -> None:
    one = {"per_node": 1, "gpus": 1}
    turns = config(
        cluster={"colocate": True, "rollout": one, "learner": one}, rollout={"gpu_memory": 0.5}, learn={"zero": 1}
    )
    found = layout(turns, 2, 8)
    assert (found.workers("rollout"), found.workers("learner"), found.colocated) == (2, 2, True)
    assert misfits(turns, found)[-1] == "cluster.colocate uses one of the 8 GPUs of each node"


def test_roles_apart_get_whole_nodes_and_all_of_their_gpus() -> None:
    apart = config(
        cluster={"rollout": {"nodes": 3, "labels": {"pool": "spot"}}, "learner": {"labels": {"pool": "keep"}}}
    )
    found = layout(apart, 8, 8)
    assert {kind: (pool.workers, pool.nodes) for kind, pool in found.pools.items()} == {
        "rollout": (48, 6),
        "learner": (16, 2),
    }
    wanted = "cluster.rollout.nodes=6 cluster.rollout.per_node=8 cluster.rollout.gpus=1"
    assert found.overrides == f"{wanted} cluster.learner.nodes=2 cluster.learner.per_node=8 cluster.learner.gpus=1"
    assert (nodes_of(apart), layout(apart, 4, 1).workers("rollout")) == (4, 3)
    with pytest.raises(UserError, match=r"^1 node\(s\) for rollout and learner, which .* give --nodes 2"):
        layout(apart, 1, 8)


def test_one_role_apart_leaves_the_others_together() -> None:
    apart = config(cluster={"nodes": 2, "rollout": {"nodes": 2}}, process={"kind": "implicit_prm"})
    found = layout(apart, 4, 8)
    assert {kind: pool.workers for kind, pool in found.pools.items()} == {"rollout": 16, "learner": 8, "prm": 8}
    assert found.overrides is not None and found.overrides.startswith("cluster.nodes=2 cluster.rollout.nodes=2 ")


def test_engines_count_as_many_as_may_join() -> None:
    grows = config(cluster={"rollout": {"max": 6, "labels": {"pool": "spot"}}, "learner": {"nodes": 2}})
    assert nodes_of(grows) == 8
    found = layout(grows, 8, 8)
    assert (found.pools["rollout"].nodes, found.workers("rollout"), found.workers("learner")) == (6, 48, 16)
    assert (
        found.overrides is not None
        and "cluster.rollout.per_node=8 cluster.rollout.gpus=1 cluster.rollout.max=48" in found.overrides
    )
    assert misfits(grows, found)[0].startswith("the cluster section does not fit this cluster (it has 6 rollout")


def test_what_a_plan_says_to_set_makes_a_config_that_fits_it() -> None:
    grows = config(cluster={"rollout": {"max": 6, "labels": {"pool": "spot"}}, "learner": {"nodes": 2}})
    found = layout(grows, 8, 8)
    assert found.overrides is not None
    settings = override(grows.model_dump(mode="json"), found.overrides.split())
    own = Config.model_validate(settings)
    assert misfits(own, layout(own, 8, 8)) == [] and nodes_of(own) == 8


def test_without_gpus_a_node_has_what_the_config_gives_it() -> None:
    found = layout(config(cluster={"rollout": {"per_node": 2}}), 3, 0)
    assert (found.workers("rollout"), found.workers("learner"), found.pools["rollout"].gpus) == (6, 3, 0)


# --- memory


@pytest.mark.parametrize(
    ("zero", "weights", "gradients", "optimizer", "backward", "step"),
    [
        (0, 2e9, 4e9, 12e9, 2e9, 12e9),
        (1, 2e9, 4e9, 3e9, 2e9, 3e9),
        (2, 2e9, 1e9, 3e9, 1e9, 3e9),
        (3, 0.5e9, 1e9, 3e9, 1e9 + 2e9, 4e9),
    ],
)
def test_a_rank_of_four(
    zero: int, weights: float, gradients: float, optimizer: float, backward: float, step: float
) -> None:
    """1B parameters in bfloat16: 2 bytes of weights, 4 of gradients, 12 of AdamW; no more than 5e8 gradients wait."""
    shape = replace(SHAPE, parameters=1e9)
    found = rank_memory(shape, LearnConfig.model_validate({"zero": zero}), 4, 100, 2)
    assert (found.weights, found.gradients, found.optimizer) == (weights, gradients, optimizer)
    assert (found.backward, found.step) == (backward, step)
    held = weights + gradients + optimizer
    assert found.peak == held + max(backward + found.activations, step)


def test_activations_of_a_micro_batch() -> None:
    """100 tokens, 2 layers of 11 x 10 + 4 x 20 values; with checkpoints the inputs of 2 layers besides,
    since fewer than four are there to be made anew."""
    logits = 100 * 10 * 8
    assert activations(SHAPE, LearnConfig(), 100, 4) == 100 * 2 * 190 * 4 + logits
    assert activations(SHAPE, LearnConfig(activation_checkpointing=True), 100, 4) == 100 * (20 + 2 * 190) * 4 + logits


def test_adapters_are_all_that_has_a_gradient() -> None:
    """Rank 3 of q_proj: 3 x 40 parameters."""
    learn = LearnConfig(lora=LoraConfig(rank=3, targets=("q_proj",)))
    found = rank_memory(SHAPE, learn, 1, 1, 4)
    assert (found.weights, found.gradients, found.optimizer) == (4000 + 480, 480, 1440)


def test_a_cache_holds_so_many_sequences() -> None:
    """A token takes 2 x 2 layers x 5 x 4 bytes, a sequence of 10 tokens 800."""
    assert engine_memory(SHAPE, 8000.0, 10, 4).sequences == 10
    assert engine_memory(SHAPE, -1.0, 10, 4).sequences == 0


def test_an_engine_has_its_share_of_a_gpu() -> None:
    found = forecast(scene(config(model={"dtype": "bfloat16"}), 1, 2))
    assert found.engine.cache == 80e9 * 0.9 - CONTEXT - 14e9


# --- seconds


def test_sampling_by_hand() -> None:
    """Two engines of 4 rollouts. Prefill: 2 x 900 x 6 tokens at 200 FLOP/s. Five rounds read 1,000 weights, 16 tokens
    attend to 8 others of 80 bytes: 30,240 bytes at 50 a second. 16 tokens of 2,640 FLOPs take less."""
    found = rollout_s(WORK, SHAPE, replace(DEVICE, memory=1e4), 2, 4, 100)
    host = 16 * 1.4e-4 / 3
    assert found == pytest.approx(2 * 900 * 6 / 200 + (5 * 4000 + 16 * 8 * 80) / 50 + host)


def test_a_small_cache_makes_rounds() -> None:
    """Four rollouts of 4 tokens, one at a time: 16 rounds instead of 5."""
    more = rollout_s(WORK, SHAPE, DEVICE, 2, 4, 1) - rollout_s(WORK, SHAPE, DEVICE, 2, 4, 100)
    assert more == pytest.approx(11 * 4000 / 50)


def test_a_cpu_counts_the_seconds_of_all_workers() -> None:
    one, two = (rollout_s(WORK, SHAPE, CPU, engines, 4, 100) for engines in (1, 2))
    assert two > one, "each of them reads all weights"


TEAM = Team(1, 1, 1, 1, 1000, Passes(3, 4), 20)


def test_learning_by_hand() -> None:
    """80 tokens with 3 passes of 2 x 900 and attention of 2 x 2 x 10 x 10; 32 sampled ones with 4 of 2 x 100; values
    are touched 1.8 times a pass, 80 x 2 x 190 x 4 bytes; 32 x 10 logits move 80 bytes each, the optimizer 450 of each
    parameter."""
    flops = 3 * 80 * (1800 + 400) + 4 * 32 * 200
    moved = 3 * 1.8 * 80 * 2 * 190 * 4 + 32 * 10 * 80 + 450 * 1000
    assert learn_s(WORK, SHAPE, DEVICE, TEAM, 4) == pytest.approx(flops / 100 + moved / 50)


@pytest.mark.parametrize(
    ("zero", "nodes", "sent"),
    [
        (0, 1, 2 * 4000 / 10),
        (1, 1, (2 * 4000 + 4000) / 10),
        (1, 2, (2 * 4000 + 4000) / 5),
        (2, 1, (2 * 4000 + 4000) / 10),
        (3, 1, (2 * 4000 + 2 * 2 * 4000) / 10),
    ],
)
def test_what_two_ranks_send_each_other(zero: int, nodes: int, sent: float) -> None:
    """40 tokens each are two passes of 20; gradients are reduced and, under ZeRO-0 and 1, handed out again, in float32;
    half of everything is one's own. Under ZeRO-2 and 3 gradients travel in both passes."""
    two, none = replace(TEAM, ranks=2, nodes=nodes, zero=zero), replace(DEVICE, link=1e30, network=1e30)
    reduced = learn_s(WORK, SHAPE, DEVICE, two, 4) - learn_s(WORK, SHAPE, none, two, 4)
    assert reduced == pytest.approx(sent / 2)


@pytest.mark.parametrize(
    ("sections", "passes"),
    [
        ({}, Passes(3, 4)),
        ({"loss": {"kl": 0.1}}, Passes(4, 5)),
        ({"learn": {"updates": 4}}, Passes(3.75, 4.75)),
        ({"learn": {"activation_checkpointing": True}}, Passes(4, 4)),
        ({"learn": {"lora": {"rank": 4}}}, Passes(2, 3)),
    ],
)
def test_passes_of_a_learner(sections: dict[str, Any], passes: Passes) -> None:
    assert learner_passes(config(**sections)) == passes


def test_publishing_by_hand() -> None:
    """4,000 bytes through a host at 0.01 s each, and between nodes at 5 a second; on one GPU, twice at 50 a second."""
    assert publish_s(SHAPE, DEVICE, 1, 4, False) == pytest.approx(0.1 + 40)
    assert publish_s(SHAPE, DEVICE, 2, 4, False) == pytest.approx(0.1 + 40 + 800)
    assert publish_s(SHAPE, DEVICE, 2, 4, True) == pytest.approx(0.1 + 160)


def test_a_step_that_samples_ahead_takes_the_longer_of_the_two() -> None:
    own = config(model={"dtype": "bfloat16"}, learn={"zero": 3})
    turns, beside = (
        forecast(replace(scene(own, 2, 8), work=replace(scene(own, 2, 8).work, ahead=on))) for on in (0, 1)
    )
    seconds = turns.seconds
    assert turns.step == pytest.approx(sum(seconds.values()))
    assert turns.step - beside.step == pytest.approx(min(seconds["rollout"], seconds["learn"]))


# --- what it says


def test_what_does_not_fit_is_said_with_a_remedy_that_is_enough() -> None:
    own = config(model={"dtype": "bfloat16"})
    found = scene(own, 8, 8)
    [line] = too_large(found, forecast(found))
    assert line.startswith("a rank of the learner does not fit: ") and line.endswith(
        ": set learn.activation_checkpointing=true"
    )
    mended = scene(config(model={"dtype": "bfloat16"}, learn={"activation_checkpointing": True}), 8, 8)
    assert not list(too_large(mended, forecast(mended)))
    lines = notes(found := scene(own, 1, 8, 7e10), forecast(found))
    assert any(line.startswith("an engine does not fit: weights of 130.4 GiB") for line in lines)
    [engine] = [line for line in lines if line.startswith("an engine")]
    assert engine.endswith(": set cluster.rollout.gpus=2, or plan a smaller model")
    spread = config(model={"dtype": "bfloat16"}, cluster={"rollout": {"gpus": 2}})
    wide = scene(spread, 1, 8, 7e10)
    assert not any(line.startswith("an engine") for line in too_large(wide, forecast(wide)))
    assert any("plan more ranks with learn.zero=3, or learn.lora" in line for line in lines)


def test_a_better_change_is_found_and_keeps_what_it_promises() -> None:
    """Long rollouts, sampled beside the learning of others: engines want more of the GPUs."""
    long: dict[str, Any] = {"model": {"dtype": "bfloat16"}, "learn": {"zero": 2}}
    long["rollout"] = {"prompts": 512, "max_tokens": 4096, "max_staleness": 1}
    found = scene(config(**long), 1, 8, 5e8)
    change = better(found, forecast(found))
    assert change is not None
    text, seconds = change
    assert "cluster.rollout.per_node=6" in text and seconds < 0.95 * forecast(found).step
    done = config(**long, cluster={"rollout": {"per_node": 6, "gpus": 1}, "learner": {"per_node": 2, "gpus": 1}})
    assert forecast(scene(done, 1, 8, 5e8)).step == pytest.approx(seconds)
    assert better(scene(done, 1, 8, 5e8), forecast(scene(done, 1, 8, 5e8))) is None


def test_unknown_gpus_are_named_with_those_that_are_known() -> None:
    with pytest.raises(UserError, match=r"^--gpu v100 is not known: choose one of h200, h100, a100, l40s, l4$"):
        gpu_called("v100")
    assert gpu_called("H100") is GPUS["h100"]


# --- calibration


def test_a_run_that_took_twice_as_long_doubles_the_forecast() -> None:
    own = scene(config(), 1, 2, 5e8)
    told = forecast(own).seconds
    row = {f"time/{stage}_s": 2 * told[stage] for stage in ("rollout", "learn", "publish")}
    counts = {"rollout/count": 256, "rollout/tokens": 256 * 1024, "groups/trained": 32}
    row |= {"time/step_s": 2 * sum(told.values()), "time/process_s": 0.0, "time/eval_s": 0.0, **counts}
    found = calibrate(own, [{"step": 1}, {"step": 2, **row}, {"step": 3, **row}])
    assert found.factors == pytest.approx(dict.fromkeys(("rollout", "learn", "publish", "rest"), 2.0))
    assert (found.length, found.steps) == (1.0, 2)
    assert forecast(replace(own, factors=found.factors)).step == pytest.approx(2 * forecast(own).step)
    with pytest.raises(UserError, match=r"^--calibrate needs a run with a step after its first"):
        calibrate(own, [{"step": 1, **row}])


# --- what holds for any cluster

PARAMS = some.floats(SMALLEST, 1e12)
SIZES = some.sampled_from([(0, 8), (1, 8), (2, 4), (3, 2), (3, 8)])


@settings(max_examples=60, deadline=None)
@given(PARAMS, some.integers(1, 64), some.integers(2, 8), some.integers(0, 2), some.integers(0, 8))
def test_more_gpus_never_sample_or_compute_slower(params: float, nodes: int, gpus: int, more: int, wider: int) -> None:
    """What ranks send each other is left out: it grows with them, and small models do get slower."""
    free = replace(GPUS["h100"], link=1e30, network=1e30)
    fewer, most = (
        replace(scene(config(), *size, params), device=free) for size in ((nodes, gpus), (nodes + more, gpus + wider))
    )
    for stage in ("rollout", "learn"):
        assert forecast(most).seconds[stage] <= forecast(fewer).seconds[stage] * (1 + 1e-9)


@settings(max_examples=60, deadline=None)
@given(PARAMS, some.floats(1, 10), some.integers(0, 3), some.integers(1, 64), some.booleans())
def test_more_parameters_never_take_less(params: float, times: float, zero: int, nodes: int, lora: bool) -> None:
    own = config(learn={"zero": zero, "lora": {"rank": 8} if lora else None}, loss={"kl": 0.1})
    small, large = (forecast(scene(own, nodes, 8, size)) for size in (params, params * times))
    assert large.learner.peak >= small.learner.peak * (1 - 1e-9)
    assert large.engine.weights >= small.engine.weights and large.engine.cache <= small.engine.cache
    for stage in ("learn", "publish"):
        assert large.seconds[stage] >= small.seconds[stage] * (1 - 1e-9)


@settings(max_examples=60, deadline=None)
@given(PARAMS, some.integers(1, 512), some.integers(1, 16))
def test_more_ranks_never_hold_more_each(params: float, ranks: int, more: int) -> None:
    for zero in range(4):
        learn = LearnConfig.model_validate({"zero": zero})
        few, many = (rank_memory(shape_with(params), learn, count, 4096, 2) for count in (ranks, ranks + more))
        assert many.peak <= few.peak
