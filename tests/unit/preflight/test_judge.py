"""Whose PRM picks the best of several samples, and what is found wrong with it before anything is started."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from written import run_with_prm

from effrl.config import load
from effrl.errors import UserError
from effrl.models import TINY, read_model
from effrl.preflight.check import Measurable
from effrl.preflight.judge import find_judge

Make = Callable[..., Path]
CONFIG = load.load("quickstart")
"""Of an evaluation that says nothing of steps."""


@pytest.fixture
def make(tmp_path: Path, random_model: Path) -> Make:
    """A run that began with the built-in model; its PRM is a random one, unless another is named."""

    def made(*overrides: str, prm: Path | None = random_model, policy: Path = TINY) -> Path:
        return run_with_prm(tmp_path / "run", policy, prm, *overrides)

    return made


def evaluated(model: Path = TINY, context: int = 256) -> Measurable:
    return Measurable(read_model(model), context, {}, ())


def changed(model: Path, into: Path, file: str, change: Callable[[Any], None]) -> Path:
    """A copy of a model with one of its JSON files changed."""
    shutil.copytree(model, into)
    content = json.loads((into / file).read_text())
    change(content)
    (into / file).write_text(json.dumps(content))
    return into


def test_it_is_the_prm_of_the_run_s_checkpoint_against_the_model_that_the_run_began_with(make: Make) -> None:
    run = make("process={separator: ';', beta: 0.5}", "rollout.temperature=0.7")
    judge = find_judge(run, CONFIG, evaluated())
    assert judge.name == f"{run}, step 10 (the newest)"
    assert (judge.prm, judge.reference) == (run / "checkpoints" / "step_10" / "prm" / "hf", TINY.resolve())
    assert (judge.process.beta, judge.process.separator, judge.temperature, judge.dtype) == (0.5, ";", 0.7, "float32")
    assert find_judge(run / "checkpoints" / "step_10", CONFIG, evaluated()) == replace(judge, name=f"{run}, step 10")


def test_an_evaluation_says_how_its_solutions_are_written(make: Make) -> None:
    """Or it is as the PRM's run says: a recipe's default is no word on it."""
    run = make("process.separator='; '")
    separators = {
        "tasks' own": load.load("quickstart", ["process.separator=;"]),
        "the run's": load.load("quickstart", ["process.beta=0.1"]),
        "nothing": CONFIG,
    }
    found = {name: find_judge(run, config, evaluated()).process.separator for name, config in separators.items()}
    assert found == {"tasks' own": ";", "the run's": "; ", "nothing": "; "}


def test_where_the_policy_was_the_reference_it_is_that_of_the_checkpoint(make: Make) -> None:
    run = make("process.reference=policy")
    assert find_judge(run, CONFIG, evaluated()).reference == run / "checkpoints" / "step_10" / "hf"


def test_what_is_no_run_or_has_no_prm(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--prm nowhere is neither a run nor a checkpoint: give runs/NAME"):
        find_judge(Path("nowhere"), CONFIG, evaluated())
    run = make(prm=None)
    with pytest.raises(UserError, match=r"run has no implicit PRM: name a run .* process\.kind=implicit_prm"):
        find_judge(run, CONFIG, evaluated())
    (run / "config.yaml").unlink()
    with pytest.raises(UserError, match=r"config\.yaml is missing, .*: restore it"):
        find_judge(run / "checkpoints" / "step_10", CONFIG, evaluated())


@pytest.mark.parametrize("file", ["model.safetensors", "config.json"])
def test_a_prm_whose_files_are_damaged(make: Make, file: str) -> None:
    run = make()
    path = run / "checkpoints" / "step_10" / "prm" / "hf" / file
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=rf"prm/hf/{file} is damaged: restore it"):
        find_judge(run, CONFIG, evaluated())
    path.unlink()
    with pytest.raises(UserError, match=rf"prm/hf/{file} is missing: restore it"):
        find_judge(run, CONFIG, evaluated())


def test_a_model_whose_tokens_mean_something_else(make: Make, tmp_path: Path) -> None:
    def swap(content: Any) -> None:
        vocabulary = content["model"]["vocab"]
        vocabulary["1"], vocabulary["2"] = vocabulary["2"], vocabulary["1"]

    other = changed(TINY, tmp_path / "other", "tokenizer.json", swap)
    with pytest.raises(UserError, match=r"has another tokenizer than .*other, whose tokens it is to judge: evaluate"):
        find_judge(make(), CONFIG, evaluated(other))


def test_a_prm_that_was_made_for_shorter_texts(make: Make, tmp_path: Path, random_model: Path) -> None:
    short = changed(random_model, tmp_path / "short", "config.json", lambda c: c.update(max_position_embeddings=128))
    run = make(prm=short)
    with pytest.raises(UserError, match=r"was made for 128 tokens, .* has a context of 129: set model\.context=128"):
        find_judge(run, CONFIG, evaluated(context=129))
    assert find_judge(run, CONFIG, evaluated(context=128)).prm.is_dir()


def test_the_model_that_the_run_began_with_is_gone(make: Make, tmp_path: Path, random_model: Path) -> None:
    begun = tmp_path / "begun"
    shutil.copytree(TINY, begun)
    run = make(policy=begun)
    shutil.rmtree(begun)
    with pytest.raises(UserError, match=r"against the model that the run began with: .*begun is no model directory"):
        find_judge(run, CONFIG, evaluated())
