"""Models and prompts of the speed bench; nothing is downloaded."""

import json
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import effrl
from effrl.errors import UserError

ROOT = Path(effrl.__file__).parents[1]
BUILTIN = ROOT / "effrl" / "tiny" / "models" / "tiny"
SMOLLM2 = ROOT / "smollm2" / "model"
PROMPTS = 2000


@dataclass(frozen=True, slots=True)
class Size:
    """A model, and the work of one step: ``prompts`` x ``per_prompt`` rollouts of at most ``max_tokens``."""

    name: str
    prompts: int
    per_prompt: int
    max_tokens: int
    shape: dict[str, Any] = field(default_factory=dict)
    """Of a random Qwen2 model; without one the model is there already."""
    ready: Path = BUILTIN

    @property
    def context(self) -> int:
        """Room for every prompt and its completion."""
        return 128 + self.max_tokens


def _shape(hidden: int, intermediate: int, layers: int, heads: int, kv_heads: int, **other: Any) -> dict[str, Any]:
    names = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
    sizes = dict(zip(names, (hidden, intermediate, layers, heads, kv_heads), strict=True))
    return {"tie_word_embeddings": False, **sizes, **other}


_SIZES = (
    Size("tiny", 32, 8, 64),
    Size("22.7m", 8, 8, 256, _shape(512, 1408, 8, 8, 2)),
    Size("100m", 2, 4, 16, _shape(768, 2304, 11, 12, 4, vocab_size=32000, tie_word_embeddings=True)),
    Size("smollm2", 4, 8, 64, ready=SMOLLM2),
    Size("494m", 2, 4, 32, _shape(896, 4864, 24, 14, 2, vocab_size=151936, tie_word_embeddings=True)),
)
SIZES = {size.name: size for size in _SIZES}


def model_of(size: Size, directory: Path) -> Path:
    """The directory of the model, made under ``directory`` if it is random.

    Raises :class:`UserError` where the model is one that has to be fetched before.
    """
    if not size.shape:
        if not (size.ready / "config.json").is_file():
            raise UserError(f"{size.name}: no model at {size.ready}: run python examples/smollm2/fetch.py first")
        return size.ready
    import torch
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(BUILTIN)
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    vocabulary = {"vocab_size": -(-len(tokenizer) // 64) * 64}
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**{**vocabulary, **size.shape}, max_position_embeddings=1024, **ends))
    path = directory / "model"
    model.save_pretrained(path)
    tokenizer.save_pretrained(path)
    _name_tokens(path / "tokenizer.json", model.config.vocab_size)
    return path


def _name_tokens(file: Path, vocabulary: int) -> None:
    """Give a text to every token that the model can sample: where all completions were empty, no coin would differ."""
    tokenizer = json.loads(file.read_text())
    named: dict[str, int] = tokenizer["model"]["vocab"]
    first = max(named.values()) + 1
    named |= {f"<{number}>": number for number in range(first, vocabulary)}
    file.write_text(json.dumps(tokenizer))


def write_prompts(path: Path) -> None:
    """The same prompts for every size: sums of 24 random characters, which no model here was trained on."""
    rng = random.Random(0)
    texts = ("".join(rng.choice("0123456789+-") for _ in range(24)) + "=" for _ in range(PROMPTS))
    rows = ({"id": f"p{number}", "prompt": text, "label": "1"} for number, text in enumerate(texts))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
