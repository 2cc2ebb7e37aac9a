"""An implicit PRM of the bench, on the tiny model: what it learns, and gradients under its advantages."""

import json
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer

from effrl.advantage.prime import prime_advantages
from effrl.config.advantage import PrimeAdvantage
from effrl.models import TINY
from effrl.sequences import GroupRewards, TokenRewards
from effrl.tasks.problem import Problem
from effrl.tasks.source import problems
from tests.bench.prm import advantages, offline, variance
from tests.bench.prm.branch import ARMS, measured, solutions
from tests.bench.prm.decided import parting
from tests.bench.prm.drift import Policy
from tests.bench.prm.model import BETA, ImplicitPrm, scored, scorer
from tests.bench.prm.record import RESULTS, config_of
from tests.bench.prm.recorded import Recorded, read_steps, write
from tests.bench.prm.report import page
from tests.bench.prm.sample import Sampler

KINDS = "a"
"""One letter, so that there is one thing to learn."""


def drawn(count: int) -> list[Problem]:
    return list(islice(problems("chain", "train", count, 0, range(1), KINDS), count))


def group(problem: Problem, right: int = 2, wrong: int = 2) -> Recorded:
    """Solutions of a problem in both readings, as its worked texts have them."""
    tokenizer = AutoTokenizer.from_pretrained(TINY)
    texts = (problem.right.text,) * right + (problem.misread.text,) * wrong
    ids = [np.array([*tokenizer(text).input_ids, tokenizer.eos_token_id], np.int32) for text in texts]
    outcomes = np.array([1] * right + [0] * wrong, np.float32)
    return Recorded(
        problem.prompt, np.array(tokenizer(problem.prompt).input_ids, np.int32), tuple(ids), texts, outcomes
    )


@pytest.fixture(scope="module")
def groups() -> list[Recorded]:
    return [group(problem) for problem in drawn(24)]


def test_recorded_groups_are_read_as_they_were_written(groups: list[Recorded], tmp_path: Path) -> None:
    write(tmp_path / "step_0001.npz", groups[:3])
    write(tmp_path / "step_0002.npz", [])
    first, second = read_steps(tmp_path)
    assert second == []
    for one, other in zip(first, groups[:3], strict=True):
        assert (one.prompt, one.texts, one.lengths) == (other.prompt, other.texts, other.lengths)
        assert all(map(np.array_equal, one.tokens, other.tokens))
        assert np.array_equal(one.prompt_ids, other.prompt_ids) and np.array_equal(one.outcomes, other.outcomes)


def test_a_prm_begins_without_rewards_and_then_has_those_of_a_naive_pass(groups: list[Recorded]) -> None:
    reference = scored(scorer("tiny"), groups[:4])
    prm = ImplicitPrm("tiny", 1e-3)
    labels = np.concatenate([one.outcomes for one in groups[:4]])
    before, loss = prm.learn(groups[:4], reference, labels)
    assert max(float(np.abs(row).max()) for row in before) < 1e-6
    assert loss == pytest.approx(np.log(2), abs=1e-6)
    naive = [naive_logprobs(prm, groups[0], tokens) for tokens in groups[0].tokens]
    for row, own, other in zip(prm.rewards(groups[:4], reference), naive, reference, strict=False):
        assert row == pytest.approx(BETA * (own - other), abs=1e-5)


@torch.no_grad()
def naive_logprobs(prm: ImplicitPrm, of: Recorded, tokens: np.ndarray) -> np.ndarray:
    """One rollout at a time, without padding, from whole logits."""
    ids = torch.tensor(np.concatenate([of.prompt_ids, tokens])).long()
    said = prm.model.language_model(ids[None]).logits[0].log_softmax(-1)
    start = len(of.prompt_ids)
    return said[torch.arange(start - 1, len(ids) - 1), ids[start:]].numpy()


def test_online_learns_what_shuffled_labels_do_not_teach(groups: list[Recorded], tmp_path: Path) -> None:
    steps = [groups[start : start + 4] for start in range(0, 24, 4)]
    rows = list(offline.compare(steps, "tiny", 1e-3, 1, tmp_path))
    told = {arm: rows[-1]["arms"][arm]["pairs"]["all"] for arm in offline.PRMS}
    assert told["online"][0] == told["online"][1] == 16
    assert told["frozen"][0] == 16, "it is the online PRM of one step before"
    assert told["shuffled"][0] < 16
    known = {problem.prompt: problem for problem in drawn(24)}
    with np.load(tmp_path / "rewards_0006.npz") as kept:
        found = measured(solutions(steps[-1], dict(kept), known, "chain"), "online")
    assert found["wrong"]["all"]["solutions"] == found["wrong"]["misreading"]["solutions"] == 8
    assert found["wrong"]["all"]["negative"] == 1
    assert found["decisions"]["area"] == 1
    write_result(tmp_path / "results", rows, found)
    assert "| `online` |" in page(tmp_path / "results")


def write_result(folder: Path, rows: list, found: dict) -> None:
    about = {"family": "chain", "seed": 3, "lr": 1e-3, "frozen_after": 5}
    for name, result in (("offline", {"steps": rows}), ("branch", {"arms": dict.fromkeys(ARMS, found)})):
        (folder / name).mkdir(parents=True)
        (folder / name / "chain-3.json").write_text(json.dumps({**about, **result}))


# --- gradients


def test_gradients_are_linear_in_the_weight_of_the_prm(groups: list[Recorded]) -> None:
    """The gradient under PRIME's own advantages is that of the parts, put together."""
    policy, one, draw = scorer("tiny"), groups[0], np.random.default_rng(0)
    rewards = [draw.standard_normal(len(row)).astype(np.float32) for row in one.tokens]
    sketch = variance.Sketch.of(sum(weight.numel() for weight in policy.parameters()))
    tokens = tuple(map(TokenRewards, rewards))
    config = PrimeAdvantage(process=0.5, whiten=False)
    whole = prime_advantages([GroupRewards(one.outcomes, tuple(one.lengths), tokens)], config)[0]
    parts = {"outcome": advantages.outcome_of(one), "process": advantages.process_of(one, rewards)}
    made = variance.gradients(policy, one, {**parts, "whole": [row.astype(np.float32) for row in whole]}, sketch)
    mixed = made["outcome"] + 0.5 * made["process"]
    assert np.linalg.norm(mixed - made["whole"]) < 1e-4 * np.linalg.norm(made["whole"])


def test_a_sketch_keeps_inner_products() -> None:
    draw = torch.Generator().manual_seed(1)
    one, other = (torch.randn(300_000, generator=draw) for _ in range(2))
    sketch = variance.Sketch.of(300_000)
    norms = float(one.norm() * (one + other).norm())
    assert abs(float(sketch(one) @ sketch(one + other)) - float(one @ (one + other))) < 0.02 * norms


def test_controls_have_the_norm_of_the_rewards() -> None:
    rows = [np.array([3.0, 4.0], np.float32), np.zeros(2, np.float32)]
    found = advantages.random_like(rows, np.random.default_rng(0))
    assert [float(np.linalg.norm(row)) for row in found] == pytest.approx([5, 0])
    assert not np.array_equal(found[0], rows[0])


def test_perfect_credit_stands_at_the_decision_alone() -> None:
    problem = drawn(1)[0]
    rows = advantages.decision_of("chain", group(problem, right=1, wrong=1), problem)
    place = parting(problem.right.text, problem.misread.text)
    assert [np.flatnonzero(row).tolist() for row in rows] == [[place], [place]]
    assert [row[place] for row in rows] == [1, -1]


def test_the_tiny_models_tokens_are_characters(groups: list[Recorded]) -> None:
    assert [len(text) + 1 for text in groups[0].texts] == groups[0].lengths


# --- rollouts without an engine


def test_sampled_groups_are_judged_and_end_once() -> None:
    config = config_of("chain", 1)
    sampler = Sampler(config, "chain")
    found = sampler.all_groups(drawn(2))
    assert [len(group.tokens) for group in found] == [8, 8]
    for one, problem in zip(found, drawn(2), strict=True):
        assert [text.rpartition("#")[2] == problem.answer for text in one.texts] == one.outcomes.tolist()
        assert all(sampler.tokenizer.eos_token_id not in row[:-1] for row in one.tokens)
        assert [len(text) + 1 for text in one.texts] == one.lengths


def test_a_policy_learns_to_prefer_the_right_solution(groups: list[Recorded]) -> None:
    config = config_of("chain", 1)
    policy = Policy(Sampler(config, "chain"), config)
    gaps = []
    for _ in range(3):
        right, _, wrong, _ = (row.sum() for row in scored(policy.scorer, groups[:1]))
        gaps.append(right - wrong)
        policy.learn(groups[:1])
    assert gaps == sorted(gaps) and gaps[-1] > gaps[0] + 0.1


def test_the_page_shows_the_results_that_lie_beside_it() -> None:
    root = Path(__file__).parents[3] / RESULTS
    assert (root / "README.md").read_text() == page(root)
