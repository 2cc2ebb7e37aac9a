"""Whether a model can be trained, and what ends its completions, by what its files say."""

import json
from collections.abc import Sequence
from importlib import util
from pathlib import Path
from typing import Any

from effrl.data.render import Renderer
from effrl.errors import Malformed, UserError
from effrl.models import ModelFacts
from effrl.types import Message


def check_trainable(model: ModelFacts) -> None:
    """That it generates text, its weights are plain, and transformers knows its architecture.

    Raises:
        UserError: it is an encoder or a classifier, it is quantised, or it needs code of its authors.
    """
    made_as = model.config.get("architectures") or []
    if made_as and not any(kind in name for name in made_as for kind in _GENERATES):
        raise UserError(
            f"{model.path} is a {made_as[0]}, which generates no text: use a model whose config.json has a …ForCausalLM"
        )
    quantised = model.config.get("quantization_config")
    if quantised is not None:
        kind = quantised.get("quant_method", "unknown") if isinstance(quantised, dict) else quantised
        raise UserError(f"{model.path} is quantised ({kind}), and training needs plain weights: use the original model")
    if "auto_map" in model.config and not _is_known(str(model.config.get("model_type"))):
        raise UserError(
            f"{model.path} needs code of its authors (auto_map in its config.json), which effrl does not run: use a"
            " model whose architecture transformers has"
        )


_GENERATES = ("CausalLM", "LMHead", "ConditionalGeneration")
"""What the names of architectures with an output layer over the vocabulary have in common."""


def _is_known(model_type: str) -> bool:
    """Whether transformers has an architecture of this name; it is not imported for that."""
    library = util.find_spec("transformers")
    if library is None or library.origin is None:
        return True
    return (Path(library.origin).parent / "models" / model_type.replace("-", "_")).is_dir()


def note_on_endless(model: ModelFacts, stops: Sequence[int | str]) -> list[str]:
    """A note where nothing but the limit of tokens ends a completion."""
    if stops or end_ids(model) or _end_name(model) is not None:
        return []
    return [
        "neither generation_config.json nor tokenizer_config.json names an end-of-sequence token: only"
        " rollout.max_tokens ends a completion; set rollout.stop"
    ]


def note_on_turns(model: ModelFacts, renderer: Renderer, stops: Sequence[int | str]) -> list[str]:
    """A note where the token that ends the assistant's turn, as the chat template writes it, ends no completion."""
    closing = _closing(renderer)
    if closing is None:
        return []
    number = renderer.tokenizer.convert_tokens_to_ids(closing)
    if number in end_ids(model) or closing == _end_name(model) or stops:
        return []
    return [
        f"the chat template ends a turn with {closing}, which ends no completion of this model: set"
        f" rollout.stop=[{number}] if the policy writes it"
    ]


def end_ids(model: ModelFacts) -> set[int]:
    """The tokens that end a completion besides the tokenizer's own, as the engine finds them."""
    generation = model.path / "generation_config.json"
    found = _json(generation).get("eos_token_id") if generation.is_file() else model.config.get("eos_token_id")
    listed = found if isinstance(found, list) else [found]
    return {number for number in listed if isinstance(number, int)}


def _end_name(model: ModelFacts) -> str | None:
    """The tokenizer's own end-of-sequence token."""
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        found = _json(model.path / name).get("eos_token")
        if found:
            return str(found["content"] if isinstance(found, dict) else found)
    return None


def _closing(renderer: Renderer) -> str | None:
    """The special token that a chat template writes after what the assistant says."""
    said = "The answer of the assistant"
    turns = (Message(role="user", content="A question"), Message(role="assistant", content=said))
    try:
        _, found, rest = renderer.text(turns)[0].partition(said)
    except (Malformed, UserError):
        return None
    names = [str(token) for token in renderer.tokenizer.added_tokens_decoder.values() if token.special]
    return next((name for name in names if found and rest.lstrip().startswith(name)), None)


def _json(file: Path) -> dict[str, Any]:
    """What a file holds; nothing where it is not there or damaged, which others tell."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
