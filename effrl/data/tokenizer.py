"""The tokenizer of a model: whether its files are whole, which takes no time, and the loading, which takes seconds."""

import json
from importlib import util
from pathlib import Path
from typing import Any

from effrl.errors import UserError, one_line

TOKENIZER = "tokenizer.json"
CONFIG = "tokenizer_config.json"
VOCABULARIES = ("tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json", "*.tiktoken")
"""What tokenizers without a :data:`TOKENIZER` are made from; transformers converts them."""


def check_tokenizer(model: Path, embeddings: int | None) -> None:
    """That a model has a tokenizer of its own, and that its files can be read; mostly without importing transformers.

    Args:
        embeddings: how many tokens the model knows; None where it does not say.

    Raises:
        UserError: a file is missing or damaged, or of another model.
    """
    if "auto_map" in _config(model / CONFIG):  # it may need code of the model's authors: only loading tells
        load_tokenizer(model)
    elif (model / TOKENIZER).is_file():
        _check_fast(model / TOKENIZER, embeddings)
    elif any(file for name in VOCABULARIES for file in model.glob(name)):
        load_tokenizer(model)
    else:
        raise UserError(
            f"{model} has no tokenizer: copy {TOKENIZER} and {CONFIG} of the model that it was made from into it"
        )


def load_tokenizer(model: Path) -> Any:
    """The tokenizer as transformers loads it.

    Raises:
        UserError: it cannot be loaded; or it is code of the model's authors, which is not run.
    """
    from transformers import AutoTokenizer
    from transformers.utils import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what it warns of on the way is in the error, or of no account
    try:
        # Without a word on remote code transformers would ask, and wait for an answer.
        return AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    except Exception as error:  # transformers raises whatever it stumbles over
        raise UserError(f"the tokenizer of {model} cannot be loaded: {_why(error)}") from error
    finally:
        logging.set_verbosity(verbosity)


def same_tokenizer(one: Path, other: Path) -> bool:
    """Whether two models make the same tokens of the same text, as far as their vocabularies say."""
    if one == other:
        return True
    first, second = (load_tokenizer(model).get_vocab() for model in (one, other))
    return bool(first == second)


def _why(error: Exception) -> str:
    if "trust_remote_code" in str(error):
        return f"it is code of the model's authors, which effrl does not run: save it as a {TOKENIZER} of transformers"
    return f"{one_line(error)}: download the model again, or save its tokenizer as a {TOKENIZER} of transformers"


def _config(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{file} cannot be read ({one_line(error)}): download the model again") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} is no JSON object: download the model again")
    return found


def _check_fast(file: Path, embeddings: int | None) -> None:
    if util.find_spec("tokenizers") is None:
        return  # an installation without engines: nothing can load it there, and nothing can train
    from tokenizers import Tokenizer

    try:
        tokens = Tokenizer.from_file(str(file)).get_vocab_size(with_added_tokens=False)
    except Exception as error:  # the library raises no class of its own
        raise UserError(f"{file} cannot be read ({one_line(error)}): download the model again") from error
    if embeddings is not None and tokens > embeddings:
        raise UserError(
            f"{file} has {tokens:,} tokens, and the model {embeddings:,}: it is of another model, copy the model's own"
        )
