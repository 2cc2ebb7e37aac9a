"""The look at everything that a config names, before anything is started."""

from pathlib import Path

import pytest

from effrl import models
from effrl.config import load
from effrl.errors import UserError
from effrl.models import ModelFacts, find_model
from effrl.preflight.check import check
from effrl.preflight.plan import plan


def test_the_files_of_a_model_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a shared disk, or from a hub, each further reading takes time and may find something else."""
    read: list[Path] = []
    read_model = models.read_model

    def counted(directory: Path) -> ModelFacts:
        read.append(directory)
        return read_model(directory)

    monkeypatch.setattr(models, "read_model", counted)
    config = load.load("quickstart", ["select.kind=dots"])
    plan(config, check(config))
    assert read == [models.TINY.resolve()]


def test_gpus_of_an_engine_share_the_attention_heads() -> None:
    """The tiny model has four."""
    with pytest.raises(
        UserError, match=r"has 4 attention heads, which 3 GPUs .*: set cluster.rollout.gpus to one of 1, 2, 4$"
    ):
        check(load.load("quickstart", ["cluster.rollout.gpus=3"]))
    check(load.load("quickstart", ["cluster.rollout.gpus=2"]))


def test_what_a_model_says_of_itself() -> None:
    tiny = find_model("tiny")
    assert (tiny.path, tiny.context, tiny.context_up_to(None), tiny.context_up_to(64)) == (models.TINY, 2048, 2048, 64)
    assert tiny.has_chat_template and tiny.config["vocab_size"] and tiny.parameters > 1e6
    with pytest.raises(UserError, match=r"model.context \(4096\) is more than the 2048 tokens"):
        tiny.context_up_to(4096)
