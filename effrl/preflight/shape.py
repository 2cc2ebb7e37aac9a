"""The sizes of a model that time and memory depend on: of a model that is there, or of one with so many parameters."""

from collections.abc import Mapping
from dataclasses import dataclass

from effrl.config.learn import LoraConfig
from effrl.errors import UserError
from effrl.models import ModelFacts

SMALLEST, LARGEST = 1e8, 1e13
"""Parameters of a shape that is made up."""
HEAD, VOCABULARY = 128, 128_256
"""Of Llama 3 8B (arXiv 2407.21783, table 3): 32 layers of width 4,096, heads of 128, a key-value head to four of them,
an MLP of 3.5 widths, an output layer of its own. What is made up has its proportions: ``k`` layers of width ``128 k``,
and ``k`` need not be whole, so that there are exactly as many parameters as were asked for."""
_LAYER = 13.0
"""Parameters of such a layer in squares of its width: 2 for queries and output, 0.5 for keys and values, 10.5."""


@dataclass(frozen=True, slots=True)
class Shape:
    """Numbers of parameters and widths; of a made-up model they need not be whole."""

    parameters: float
    layers: float
    width: float
    queries: float
    """Width of all heads together."""
    keys: float
    """Width of all key-value heads together."""
    inner: float
    """Width of the MLP."""
    vocabulary: float
    tied: bool
    """Whether embeddings and output layer are one matrix."""
    linear: Mapping[str, float]
    """Inputs plus outputs of the layers' matrices by their last name, summed over all layers."""

    @property
    def head(self) -> float:
        """Parameters of the output layer."""
        return self.vocabulary * self.width

    @property
    def body(self) -> float:
        """Parameters that every token is multiplied with before the output layer."""
        return self.parameters - self.head * (1 if self.tied else 2)

    def adapters(self, lora: LoraConfig | None) -> float:
        """Parameters of LoRA's pairs of matrices; 0 without."""
        if lora is None:
            return 0
        chosen = [both for name, both in self.linear.items() if lora.targets == "all" or name in lora.targets]
        return lora.rank * sum(chosen)

    def trained(self, lora: LoraConfig | None) -> float:
        """Parameters that have a gradient."""
        return self.adapters(lora) or self.parameters

    def kv_bytes(self, size: int) -> float:
        """Of one token's keys and values in all layers, at so many bytes a number."""
        return 2 * self.layers * self.keys * size


def shape_of(model: ModelFacts) -> Shape:
    """The shape of a model that is there, by its files.

    Raises:
        UserError: its config does not say one of the sizes.
    """
    layers, width = model.size("num_hidden_layers"), model.size("hidden_size")
    heads = model.size("num_attention_heads")
    head = model.config.get("head_dim") or width // heads
    vocabulary = model.size("vocab_size")
    linear: dict[str, float] = {}
    for name, shape in model.shapes.items():
        if ".layers." in name and len(shape) == 2:
            last = name.removesuffix(".weight").rpartition(".")[2]
            linear[last] = linear.get(last, 0) + sum(shape)
    tables = [shape for shape in model.shapes.values() if tuple(shape) == (vocabulary, width)]
    return Shape(
        parameters=model.parameters,
        layers=layers,
        width=width,
        queries=heads * head,
        keys=(model.config.get("num_key_value_heads") or heads) * head,
        inner=model.config.get("intermediate_size") or 4 * width,
        vocabulary=vocabulary,
        tied=len(tables) < 2,
        linear=linear,
    )


def shape_with(parameters: float) -> Shape:
    """A model of so many parameters in the proportions of Llama 3 8B.

    Raises:
        UserError: there is no sensible model of that size.
    """
    if not SMALLEST <= parameters <= LARGEST:
        raise UserError(
            f"--params {parameters:g} is no size that a shape can be made up for: give {SMALLEST:.0e} to"
            f" {LARGEST:.0e}, such as 7e9, or leave it out to plan for model.path"
        )
    layers = _layers(parameters)
    width = HEAD * layers
    sizes = {"q_proj": 2.0, "o_proj": 2.0, "k_proj": 1.25, "v_proj": 1.25}
    sizes |= dict.fromkeys(("gate_proj", "up_proj", "down_proj"), 4.5)
    linear = {name: both * width * layers for name, both in sizes.items()}
    return Shape(parameters, layers, width, width, width / 4, 3.5 * width, VOCABULARY, False, linear)


def _layers(parameters: float) -> float:
    """The root of ``2 · vocabulary · 128 k + 13 (128 k)² k = parameters``, by halving."""
    low, high = 0.0, float((parameters / (_LAYER * HEAD**2)) ** (1 / 3))
    for _ in range(100):
        middle = (low + high) / 2
        held = 2 * VOCABULARY * HEAD * middle + _LAYER * HEAD**2 * middle**3
        low, high = (middle, high) if held < parameters else (low, middle)
    return high
