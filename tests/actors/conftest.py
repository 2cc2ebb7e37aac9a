"""A local Ray for all tests of actors, and models that are made on the spot."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.cluster import ray_session


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    os.environ["PYTHONPATH"] = str(Path(__file__).parent)  # workers import the tests' own subclasses from here
    with ray_session():
        yield


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Random models of the tiny shape, with a tied and an untied head."""
    import torch
    from transformers import Qwen2ForCausalLM

    from effrl.tiny.make import character_tokenizer, new_model, save

    torch.manual_seed(0)
    tied = new_model()
    config = tied.config.__class__(**{**tied.config.to_dict(), "tie_word_embeddings": False})
    directory = tmp_path_factory.mktemp("models")
    for name, model in {"tied": tied, "untied": Qwen2ForCausalLM(config)}.items():
        save(model, character_tokenizer(), directory / name)
    return {name: directory / name for name in ("tied", "untied")}
