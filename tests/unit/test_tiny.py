"""The built-in models are small and what they are said to be; demonstrations keep to their family, split and shares."""

import random

import numpy as np
import pytest

from effrl.models import BUILT_IN, read_model
from effrl.tasks import ladder
from effrl.tasks.source import FAMILIES, split_of
from effrl.tiny import demonstrations
from effrl.tiny.demonstrations import MIXTURES, SKILL, Mixture, demonstrate, near_miss, train_problem
from effrl.tiny.make import MODELS

ARCHITECTURES = dict.fromkeys(BUILT_IN, "Qwen2ForCausalLM") | {"tiny-llama": "LlamaForCausalLM"}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_model(name: str) -> None:
    directory = BUILT_IN[name]
    assert sum(file.stat().st_size for file in directory.iterdir()) < 5 * 2**20
    model = read_model(directory)
    assert 0.9e6 < model.parameters < 1.1e6
    assert model.config["architectures"] == [ARCHITECTURES[name]]
    assert model.config["tie_word_embeddings"] is (name != "tiny-llama")


@pytest.mark.parametrize("family", FAMILIES)
def test_demonstrations_are_of_the_family_and_of_the_train_split(family: str) -> None:
    rng, module = random.Random(1), FAMILIES[family]
    for prompt, _ in (demonstrate(rng, [family], MIXTURES["misled"]) for _ in range(50)):
        question, *_ = prompt.split("[")  # without the proposed answers
        assert split_of(question) == "train"
        assert any(kind in question for kind in module.KINDS)


def test_habits_have_their_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """One problem again and again: four in five solutions are right, the others misread, and nothing else is shown."""
    problem = train_problem(random.Random(3), "strings")
    monkeypatch.setattr(demonstrations, "train_problem", lambda rng, family: problem)
    mixture, rng = Mixture((0.8,) * 8, (0.0, 0.0), 0.0, 0.0), random.Random(3)
    texts = [demonstrate(rng, ["strings"], mixture)[1] for _ in range(500)]
    assert set(texts) == {problem.right.text, problem.misread.text}
    assert texts.count(problem.right.text) / len(texts) == pytest.approx(0.8, abs=0.06)


@pytest.mark.parametrize(
    ("family", "answer"), [("chain", "12"), ("strings", "abca"), ("knights", "101"), ("ladder", "9")]
)
def test_a_near_miss_is_wrong(family: str, answer: str) -> None:
    rng = random.Random(2)
    assert all(near_miss(rng, family, answer) != answer for _ in range(100))


def test_each_letter_of_a_ladder_is_read_by_its_own_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever became of the others: readings that come together by chance are right together as products say."""
    rng = random.Random(5)
    problem = ladder.make(rng, 3, "q")
    monkeypatch.setattr(demonstrations, "train_problem", lambda rng, family: problem)
    shown = [demonstrate(rng, ["ladder"], MIXTURES["torn"])[1] for _ in range(4000)]
    read = np.array([[decision.right for decision in ladder.decisions(problem.prompt, text)] for text in shown], float)
    kinds = [ladder.KINDS.index(letter) for letter in ladder.letters(problem.prompt)]
    assert read.mean(axis=0) == pytest.approx([MIXTURES["torn"].right[kind] for kind in kinds], abs=0.03)
    assert np.corrcoef(read.T) == pytest.approx(np.eye(4), abs=0.06)
    assert {text for text, right in zip(shown, read.all(axis=1), strict=True) if right} == {problem.right.text}


def test_only_what_is_shown_the_same_shares_its_skill() -> None:
    """Or a model would be made on top of the skill of another."""
    phases = {name: [phase for phase, *_ in base.phases(name)] for name, base in MODELS.items()}
    assert phases["tiny"][:-1] == phases["tiny-sound"][:-1] == ["skill-qwen2-1", "skill-qwen2-2"]
    assert not {*phases["tiny-ladder"]} & {*phases["tiny"]} and phases["tiny-ladder"][-1] == "tiny-ladder"


def test_skill_is_shown_without_slips() -> None:
    assert SKILL.diffuse == (0.0, 0.0) and set(SKILL.right) == {0.5}
