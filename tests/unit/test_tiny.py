"""The built-in models are small and what they are said to be; demonstrations keep to their family, split and shares."""

import random

import pytest

from effrl.models import BUILT_IN, read_model
from effrl.tasks.source import FAMILIES, split_of
from effrl.tiny import demonstrations
from effrl.tiny.demonstrations import MIXTURES, SKILL, Mixture, demonstrate, near_miss, train_problem

ARCHITECTURES = {"tiny": "Qwen2ForCausalLM", "tiny-sound": "Qwen2ForCausalLM", "tiny-llama": "LlamaForCausalLM"}


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


@pytest.mark.parametrize(("family", "answer"), [("chain", "12"), ("strings", "abca"), ("knights", "101")])
def test_a_near_miss_is_wrong(family: str, answer: str) -> None:
    rng = random.Random(2)
    assert all(near_miss(rng, family, answer) != answer for _ in range(100))


def test_skill_is_shown_without_slips() -> None:
    assert SKILL.diffuse == (0.0, 0.0) and set(SKILL.right) == {0.5}
