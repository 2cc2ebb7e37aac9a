"""The drill on a real model, in one process: each kind of parameter that an engine ignores is caught, and named."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fake_actor import Method
from transformers import AutoModelForCausalLM

from actors.driver.drill import Drill
from actors.driver.weights import WeightSync
from actors.learner.actor import LearnerRank
from actors.ranks.model import Scorer
from actors.ranks.parameters import Parameters
from actors.snapshot import Manifest
from effrl.errors import WeightsNotServedError
from effrl.learn.canary import Tolerance, largest, tolerance
from effrl.learn.packing import pad, unweighted
from effrl.models import locate
from effrl.types import Canary, Float32, Receipt

PROMPTS = [np.random.default_rng(n).integers(3, 90, 7).astype(np.int32) for n in range(8)]


class OneRank:
    """DeepSpeed's rank without DeepSpeed: a model that is scored."""

    def __init__(self, model: Any) -> None:
        self.model, self.parameters = Scorer(model), Parameters(model, rank=0, scale=1.0)

    def score(self, batch: Any) -> Any:
        arrays = (batch.ids, batch.attention, batch.mask)
        return self.model(*(torch.tensor(array, dtype=torch.long) for array in arrays))

    def mean_over_ranks(self, value: float) -> float:
        return value


class Rank(LearnerRank):
    """The learner's own code, in this process."""

    def __init__(self, model: Any) -> None:
        self.engine: Any = OneRank(model)


class Group:
    """A learner's group of one rank."""

    def __init__(self, rank: Any) -> None:
        self.rank = rank

    async def first(self, method: str, *arguments: Any) -> Any:
        return getattr(self.rank, method)(*arguments)

    async def all(self, method: str, *arguments: Any) -> list[Any]:
        return [await self.first(method, *arguments)]


class Engine:
    """Serves what it loads, in another precision than the learner's; ``ignores`` says which tensors stay old."""

    def __init__(self, model: Any) -> None:
        self.model, self.ignores = model, lambda name: False
        self.scorer = Scorer(model)
        self.logprobs = Method(self._logprobs)

    @torch.no_grad()
    def load(self, weights: Iterator[tuple[str, torch.Tensor]]) -> None:
        own = dict(self.model.named_parameters())
        for name, tensor in weights:
            if not self.ignores(name):
                own[name].copy_(tensor)

    @torch.no_grad()
    def _logprobs(self, canary: Canary) -> Float32:
        batch = pad([unweighted(ids, start) for ids, start in zip(canary.ids, canary.prompt_lengths, strict=True)])
        arrays = (batch.ids, batch.attention, batch.mask)
        logprobs, *_ = self.scorer(*(torch.tensor(array, dtype=torch.long) for array in arrays))
        return np.asarray(logprobs[torch.tensor(batch.mask) > 0].float().numpy(), np.float32)


class Direct:
    """A transport within this process."""

    wait_s = 5.0

    def __init__(self, learner: Any, engine: Any) -> None:
        self.learner, self.engine, self.workers, self.publishes = learner, engine, {"rollout-0": engine}, 0

    async def deliver(self, version: int) -> tuple[list[Receipt], Manifest]:
        self.publishes += 1
        self.engine.load(self.learner.rank.engine.parameters.published())
        return [Receipt("rollout-0", version, Manifest({}).checksum)], Manifest({})


KINDS = [
    "model.embed_tokens.weight",
    *(f"model.layers.self_attn.{part}_proj.{kind}" for part in "qkv" for kind in ("weight", "bias")),
    "model.layers.self_attn.o_proj.weight",
    *(f"model.layers.mlp.{part}_proj.weight" for part in ("gate", "up", "down")),
    "model.layers.input_layernorm.weight",
    "model.layers.post_attention_layernorm.weight",
    "model.norm.weight",
]


def kind_of(name: str) -> str:
    return ".".join(part for part in name.split(".") if not part.isdigit())


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def pair(request: pytest.FixtureRequest) -> tuple[WeightSync, Direct]:
    """The tiny model as a learner and as an engine, which computes in another precision."""
    torch.set_num_threads(1)
    learned, served = {"float32": ("float32", "float64"), "bfloat16": ("bfloat16", "float32")}[request.param]
    models = [AutoModelForCausalLM.from_pretrained(locate("tiny"), dtype=dtype) for dtype in (learned, served)]
    transport = Direct(Group(Rank(models[0])), Engine(models[1]))
    return WeightSync(transport, tolerance(request.param)), transport  # type: ignore[arg-type]


@pytest.fixture
def drill(pair: tuple[WeightSync, Direct]) -> Iterator[Callable[[Callable[[str], bool]], Any]]:
    """Run a drill with an engine that ignores some tensors; afterwards it is sound again."""
    sync, transport = pair
    transport.publishes = 0
    transport.engine.ignores = lambda name: False
    transport.engine.load(transport.learner.rank.engine.parameters.published())

    def run(ignores: Callable[[str], bool]) -> Any:
        transport.engine.ignores = ignores
        return Drill(sync, 0, PROMPTS).run()

    yield run


async def test_a_sound_engine_proves_every_kind_in_two_publishes(
    drill: Callable[..., Any], pair: tuple[WeightSync, Direct]
) -> None:
    _, transport = pair
    weights = transport.learner.rank.engine.parameters
    before = {name: tensor.clone() for name, tensor in weights.published()}
    assert await drill(lambda name: False) == (len(KINDS), [])
    assert transport.publishes == 2
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights.published()), "to the bit"
    assert weights.perturbed == {}


@pytest.mark.parametrize("kind", KINDS)
async def test_a_kind_that_stays_old_is_named(drill: Callable[..., Any], kind: str) -> None:
    """It alone, however little it moves beside the others."""
    with pytest.raises(WeightsNotServedError, match=f"rollout-0 does not serve a perturbed {kind}: "):
        await drill(lambda name: kind_of(name) == kind)


@pytest.mark.parametrize("part", ["mlp.down_proj.weight", "self_attn.o_proj.weight"])
async def test_one_layer_that_stays_old_is_enough(drill: Callable[..., Any], part: str) -> None:
    with pytest.raises(WeightsNotServedError, match=f"a perturbed model.layers.{part}: "):
        await drill(lambda name: name == f"model.layers.2.{part}")


async def test_several_kinds_are_named_and_no_others(drill: Callable[..., Any]) -> None:
    with pytest.raises(WeightsNotServedError) as error:
        await drill(lambda name: "mlp" in name)
    named = {kind for kind in KINDS if kind in str(error.value)}
    assert named == {kind for kind in KINDS if "mlp" in kind}


async def test_a_publish_that_does_nothing_is_seen_at_once(
    drill: Callable[..., Any], pair: tuple[WeightSync, Direct]
) -> None:
    with pytest.raises(WeightsNotServedError) as error:
        await drill(lambda name: True)
    assert all(kind in str(error.value) for kind in KINDS)
    assert pair[1].publishes == 1


async def test_the_true_weights_must_come_back(drill: Callable[..., Any], pair: tuple[WeightSync, Direct]) -> None:
    """An engine that takes the first publish and no other."""
    transport = pair[1]
    with pytest.raises(WeightsNotServedError, match="does not serve version 0 after the drill: its log-probs differ"):
        await drill(lambda name: transport.publishes > 1)


async def test_weights_that_differ_as_loaded_are_one_line_with_the_remedy(
    drill: Callable[..., Any], pair: tuple[WeightSync, Direct]
) -> None:
    transport = pair[1]
    with torch.no_grad():
        dict(transport.engine.model.named_parameters())["model.norm.weight"].mul_(2.0)
    with pytest.raises(WeightsNotServedError, match=r"as loaded: .* raise run\.sync_tolerance") as error:
        await drill(lambda name: False)
    assert "\n" not in str(error.value) and transport.publishes == 0


class Numbers:
    """A learner of three numbers, and their engine; ``loud`` drowns ``quiet``, and ``dead`` does nothing."""

    def __init__(self) -> None:
        self.now = self.base = {"loud": 0.0, "quiet": 0.0, "dead": 0.0}
        self.engine, self.parameters, self.served = self, self, self.now
        self.logprobs_of_engine = Method(lambda canary: self._logprobs(self.served))

    def _logprobs(self, numbers: dict[str, float]) -> Float32:
        moved = numbers["loud"] or numbers["quiet"]
        return np.array([-1.0, -2.0 + moved, -3.0 - 2 * moved], np.float32)

    def logprobs(self, canary: Canary) -> Float32:
        return self._logprobs(self.now)

    def parameter_kinds(self) -> list[str]:
        return ["quiet", "loud", "dead"]

    def perturb(self, kind: str, canary: Canary, before: Float32, tolerance: Tolerance) -> Float32 | None:
        perturbed = {**self.now, kind: 1.0 if kind == "loud" else 0.5}
        if tolerance.distance(self._logprobs(perturbed), before) < tolerance.drill * tolerance.nats:
            return None
        self.now = perturbed
        return self._logprobs(perturbed)

    def logprobs_without(self, kind: str, canary: Canary) -> Float32:
        return self._logprobs({**self.now, kind: 0.0})

    def undo_perturb(self) -> None:
        self.now = self.base

    def published(self) -> dict[str, float]:
        return self.now

    def load(self, numbers: dict[str, float]) -> None:
        self.served = numbers


def numbers_alone(numbers: Any) -> tuple[WeightSync, Direct]:
    transport = Direct(Group(numbers), numbers)
    transport.workers = {"rollout-0": SimpleNamespace(logprobs=numbers.logprobs_of_engine)}
    return WeightSync(transport, Tolerance(1e-4, largest, drill=30)), transport  # type: ignore[arg-type]


async def test_a_kind_that_another_hides_is_published_alone_and_one_that_moves_nothing_is_unproven() -> None:
    sync, transport = numbers_alone(Numbers())
    assert await Drill(sync, 0, PROMPTS).run() == (3, ["dead"])
    assert transport.publishes == 3, "all at once, quiet alone, and the true weights"


class Rough(Numbers):
    """Two numbers of one strength; where both are perturbed, the engine is off by more than is tolerated."""

    def _logprobs(self, numbers: dict[str, float]) -> Float32:
        return np.array([-1.0 - numbers["loud"], -2.0 + numbers["quiet"], -3.0], np.float32)

    def load(self, numbers: dict[str, float]) -> None:
        rounded = 1e-3 if numbers["loud"] and numbers["quiet"] else 0.0
        self.served = {**numbers, "loud": numbers["loud"] + rounded}


async def test_where_all_at_once_amplify_rounding_too_much_smaller_publishes_prove_them() -> None:
    sync, transport = numbers_alone(Rough())
    assert await Drill(sync, 0, PROMPTS).run() == (3, ["dead"])
    assert transport.publishes == 4, "both, each alone, and the true weights"
