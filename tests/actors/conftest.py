"""Models that are made on the spot, and learners that go from test to test."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from by_hand import Kept

from actors.learner.group import LearnerGroup

FAILED = pytest.StashKey[bool]()
KEPT = pytest.StashKey[Kept]()


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


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def all_kept(
    local_ray: None, models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Kept]:
    kept = request.config.stash[KEPT] = Kept(models, tmp_path_factory.mktemp("run"))
    yield kept
    kept.stop()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """After the last test of this folder they end: an idle engine takes 3 % of a core from all that follow."""
    leaves = nextitem is None or Path(__file__).parent not in nextitem.path.parents
    if leaves and (kept := item.config.stash.get(KEPT, None)):
        kept.stop()


@pytest.fixture
def kept(all_kept: Kept, request: pytest.FixtureRequest) -> Iterator[Kept]:
    """Actors of the tests before; none of them outlives a test that fails."""
    yield all_kept
    if request.node.stash.get(FAILED, True):
        all_kept.stop()


@pytest.fixture
def one_rank(kept: Kept) -> LearnerGroup:
    """A learner of one rank, to become another one, of the tied model where no other is named."""
    return asyncio.run(kept.learner(1))


@pytest.fixture
def two_ranks(kept: Kept) -> LearnerGroup:
    return asyncio.run(kept.learner(2))


@pytest.fixture
def learners(one_rank: LearnerGroup, two_ranks: LearnerGroup) -> dict[int, LearnerGroup]:
    """By the number of ranks."""
    return {1: one_rank, 2: two_ranks}
