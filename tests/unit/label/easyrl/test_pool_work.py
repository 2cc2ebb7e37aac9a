"""A round over a pool, and one that was killed."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from looked import Killed, ToldPolicy, is_reflection, pool_config, prompts

from effrl.config.stages import PseudoPool
from effrl.errors import RunError
from effrl.label.easyrl import pool_work
from effrl.label.easyrl.items import TOO_LONG, LabelledPool, Precision
from effrl.label.easyrl.looks import LookFile
from effrl.label.easyrl.pool_work import PoolWork, seeds_of
from effrl.label.easyrl.tiers import NOT_TRUSTED, UNCERTAIN
from effrl.types import Group, Prompt

POOL = prompts(*(f"sure{n}" for n in range(4)), *(f"torn{n}" for n in range(10)))
ANCHOR = prompts("easy0", "easy1", "easy2", "torn-easy")
NLL = {f"torn{n}": (n + 1) / 10 for n in range(10)} | {"torn-easy": 0.05}


def answers(name: str, n: int, seed: int) -> str:
    return f"{name}/{n % 2}" if name.startswith("torn") else f"right {name}"


def policy(**fields: object) -> ToldPolicy:
    return replace(ToldPolicy(answers, {name: f"right {name}" for name in NLL}, NLL), **fields)


class Labels:
    """Judges by labels of the anchor alone, ``right NAME``; whoever asks about another prompt is refused."""

    def __init__(self, wrong: Sequence[str] = (), unknown: Sequence[str] = ()) -> None:
        self.wrong, self.unknown = wrong, unknown

    async def __call__(self, completions: Sequence[tuple[Prompt, str]]) -> list[bool | None]:
        assert {prompt.id for prompt, _ in completions} <= {prompt.id for prompt in ANCHOR}
        return [self._right(prompt.id, text) for prompt, text in completions]

    def _right(self, name: str, text: str) -> bool | None:
        return None if name in self.unknown else text == f"so right {name}" and name not in self.wrong


class Told:
    def __init__(self) -> None:
        self.heard: list[tuple[str, int, int]] = []

    def __call__(self, what: str, done: int, total: int) -> None:
        self.heard.append((what, done, total))


def work(path: Path, asks: ToldPolicy, told: Told | None = None, seed: int = 0, **fields: object) -> PoolWork:
    config: PseudoPool = pool_config(**fields)
    return PoolWork(asks, config, LookFile(path / "looks.jsonl", "v1"), "self/1", seed, told or Told())


async def label(path: Path, asks: ToldPolicy, judge: Labels | None = None, **fields: object) -> LabelledPool:
    return await work(path, asks, **fields)(POOL, ANCHOR, judge or Labels())


async def test_a_round_labels_what_is_consistent_and_what_it_is_sure_of(tmp_path: Path) -> None:
    """Properties 2 and 4: ten uncertainties of 0.1 to 1 have their quantile of 0.3 at 0.37; the anchor's is not in."""
    found = await label(tmp_path, policy())
    assert {name: entry.tier for name, entry in found.labels.items()} == {
        **{f"sure{n}": "consistent" for n in range(4)},
        **{f"torn{n}": "reflected" for n in range(3)},
    }
    assert found.labels["torn1"].answer == "right torn1"
    assert found.labels["torn1"].uncertainty == pytest.approx(0.2)
    assert found.deferred == {f"torn{n}": UNCERTAIN for n in range(3, 10)}
    assert (found.stage, found.policy) == ("self/1", "v1")


async def test_labels_and_deferred_prompts_are_disjoint_and_cover_the_pool(tmp_path: Path) -> None:
    """Property 2."""
    found = await label(tmp_path, policy(too_long=frozenset({"torn0"})))
    assert not found.labels.keys() & found.deferred.keys()
    assert found.labels.keys() | found.deferred.keys() == {prompt.id for prompt in POOL}
    assert found.deferred["torn0"] == TOO_LONG


async def test_what_it_cost_and_found_is_measured(tmp_path: Path) -> None:
    found = await label(tmp_path, policy(too_long=frozenset({"torn9"})))
    metrics = dict(found.metrics)
    assert metrics.pop("prepare/threshold") == pytest.approx(0.34, abs=1e-6), "of nine: 0.1 to 0.9"
    assert metrics == {
        "prepare/pool": 14,
        "prepare/consistent_share": 4 / 14,
        "prepare/selected": 7,
        "prepare/consistent": 4,
        "prepare/reflected": 3,
        "prepare/deferred": 7,
        "prepare/unanswered": 0,
        "prepare/too_long": 1,
        "prepare/rollouts": 18 * 4 + 10,
        "prepare/tokens": 2 * (18 * 4 + 10),
        "prepare/anchor_consistent": 1.0,
        "prepare/anchor_reflected": 1.0,
        "prepare/anchor_selected": 1.0,
        "prepare/consistent_trusted": 1.0,
    }


async def test_reflections_that_end_without_an_answer_are_counted(tmp_path: Path) -> None:
    """Those of the anchor too, and none that did not fit."""
    found = await label(tmp_path, policy(reflects={"torn0": "right torn0"}, too_long=frozenset({"torn9"})))
    assert found.metrics["prepare/unanswered"] == 9


async def test_a_model_that_is_always_right_labels_everything_in_one_round(tmp_path: Path) -> None:
    """Property 8."""
    found = await label(tmp_path, policy(answers=lambda name, n, seed: f"right {name}"))
    assert found.deferred == {} and found.metrics["prepare/consistent_share"] == 1
    assert {entry.tier for entry in found.labels.values()} == {"consistent"}
    assert "prepare/threshold" not in found.metrics


@pytest.mark.parametrize("uncertainty", ["reflection_nll", "answer_entropy"])
async def test_killed_anywhere_it_asks_for_the_rest_alone_and_decides_the_same(
    uncertainty: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 8: quantiles are of the whole file, whenever its lines came."""
    monkeypatch.setattr(pool_work, "CHUNK", 3)
    fields = {"uncertainty": uncertainty, "quantile": 0.9}
    whole = policy(answers=split, lives=100)
    expected = await label(tmp_path / "whole", whole, **fields)
    calls = 100 - whole.lives
    assert calls > 6, "batches of both sorts"
    for lives in range(calls):
        killed, resumed = policy(answers=split, lives=lives), policy(answers=split)
        with pytest.raises(Killed):
            await label(tmp_path / str(lives), killed, **fields)
        assert await label(tmp_path / str(lives), resumed, **fields) == expected
        assert sorted(map(_key, [*killed.asked, *resumed.asked])) == sorted(map(_key, whole.asked))


def split(name: str, n: int, seed: int) -> str:
    """Some prompts are split three to one, the others in two halves."""
    return f"{n == 0}" if name in ("torn1", "torn4", "torn5") else answers(name, n, seed)


def _key(asked: tuple[Prompt, tuple[int, ...]]) -> tuple[str, str, tuple[int, ...]]:
    return asked[0].id, asked[0].text, asked[1]


async def test_a_second_call_asks_nothing(tmp_path: Path) -> None:
    first = await label(tmp_path, policy())
    again = policy()
    assert await label(tmp_path, again) == first
    assert again.asked == []


async def test_progress_begins_where_an_earlier_attempt_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_work, "CHUNK", 8)
    with pytest.raises(Killed):
        await label(tmp_path, policy(lives=1))
    told = Told()
    await work(tmp_path, policy(), told)(POOL, ANCHOR, Labels())
    assert told.heard == [
        *(("answers", done, 18) for done in (8, 16, 18)),
        *(("reflections", done, 11) for done in (0, 8, 11)),
    ]


async def test_full_batches_are_asked_at_a_time(tmp_path: Path) -> None:
    asks = policy(lives=2)
    await label(tmp_path, asks)
    assert asks.lives == 0, "one batch of answers, one of reflections"


async def test_the_passes_over_a_prompt_have_different_seeds_and_the_same_ones_again(tmp_path: Path) -> None:
    """Property 9."""
    asks, again, other = policy(), policy(), policy()
    found = await label(tmp_path / "a", asks)
    assert await label(tmp_path / "b", again) == found
    assert asks.asked == again.asked
    used = [seed for _, seeds in asks.asked for seed in seeds]
    assert len(set(used)) == len(used) == 18 * 4 + 11
    await label(tmp_path / "c", other, seed=1)
    assert not set(used) & {seed for _, seeds in other.asked for seed in seeds}


def test_every_round_draws_other_answers() -> None:
    assert not {*seeds_of(0, "self/1", "answers", "p", 4)} & {*seeds_of(0, "self/2", "answers", "p", 4)}


async def test_labels_of_the_pool_can_be_poisoned(tmp_path: Path) -> None:
    """Property 10 and invariant 2: nothing of a row but its text is shown, and the judge is asked about the anchor."""
    asks, poisoned = policy(), policy()
    found = await label(tmp_path / "a", asks)
    pool = [replace(prompt, meta={"answer": "POISON", "label": "POISON"}) for prompt in POOL]
    assert await work(tmp_path / "b", poisoned)(pool, ANCHOR, Labels()) == found
    assert [_key(entry) for entry in poisoned.asked] == [_key(entry) for entry in asks.asked]
    assert "POISON" not in (tmp_path / "b" / "looks.jsonl").read_text()


async def test_reflections_show_the_answers_that_the_model_gave(tmp_path: Path) -> None:
    asks = policy()
    await label(tmp_path, asks)
    shown = {prompt.id: prompt.text for prompt in asks.reflections}
    assert shown.keys() == NLL.keys(), "what is consistent is not asked once more"
    assert all(f"- {name}/0\n- {name}/1\n" in text for name, text in shown.items())


async def test_without_reflection_nobody_is_asked_once_more(tmp_path: Path) -> None:
    asks = policy()
    found = await label(tmp_path, asks, reflection=None)
    assert not any(is_reflection(prompt) for prompt, _ in asks.asked)
    assert {entry.tier for entry in found.labels.values()} == {"consistent"}
    assert "prepare/threshold" not in found.metrics


async def test_with_the_entropy_a_reflection_that_would_not_be_trusted_is_not_paid_for(tmp_path: Path) -> None:
    asks = policy(answers=split)
    found = await label(tmp_path, asks, uncertainty="answer_entropy", quantile=0.5)
    assert {prompt.id for prompt in asks.reflections} == {"torn1", "torn4", "torn5"}
    assert found.labels["torn1"].uncertainty == pytest.approx(0.5623, abs=5e-5)
    assert {name for name, entry in found.labels.items() if entry.tier == "reflected"} == {"torn1", "torn4", "torn5"}


@pytest.mark.parametrize(
    ("needs", "wrong", "unknown", "trusted"),
    [
        (None, ("easy0", "easy1", "easy2"), (), True),
        (0.6, ("easy0",), (), True),
        (0.7, ("easy0",), (), False),
        (1.0, ("easy0",), ("easy0",), True),  # what nobody knows speaks neither for nor against
        (0.0, (), ("easy0", "easy1", "easy2"), False),  # nothing speaks for them
    ],
)
async def test_consistent_answers_wait_if_the_anchor_s_are_too_often_wrong(
    needs: float | None, wrong: tuple[str, ...], unknown: tuple[str, ...], trusted: bool, tmp_path: Path
) -> None:
    found = await label(tmp_path, policy(), Labels(wrong, unknown), consistent_needs=needs)
    waiting = [name for name, reason in found.deferred.items() if reason == NOT_TRUSTED]
    assert waiting == ([] if trusted else [f"sure{n}" for n in range(4)])
    assert found.metrics["prepare/consistent_trusted"] == trusted
    assert "torn0" in found.labels, "the other tier has its own rule"


async def test_the_anchor_s_precision_is_that_of_the_tiers_that_are_selected(tmp_path: Path) -> None:
    found = await label(tmp_path / "a", policy(), Labels(("easy0", "easy1")))
    assert found.anchor == Precision(2, 4)
    found = await label(tmp_path / "b", policy(), Labels(("easy0", "easy1")), consistent_needs=0.9)
    assert found.anchor == Precision(1, 1)
    assert found.metrics["prepare/anchor_consistent"] == pytest.approx(1 / 3)


class Forgetful(ToldPolicy):
    """Loses a prompt of each batch that has several, and mixes up the others."""

    async def sample(
        self, prompts: Sequence[Prompt], seeds: Sequence[Sequence[int]], max_tokens: int | None
    ) -> list[Group]:
        groups = await super().sample(prompts, seeds, max_tokens)
        return groups[:0:-1] or groups


async def test_groups_belong_to_prompts_by_id_and_what_is_missing_is_said(tmp_path: Path) -> None:
    """Pitfall 4 of the notes."""
    with pytest.raises(RunError, match="self/1: 1 of 18 prompts got no answer: resume the run"):
        await label(tmp_path, Forgetful(answers))
    with pytest.raises(RunError, match="self/1: 1 of 11 prompts got no answer: resume the run"):
        await label(tmp_path, Forgetful(answers))
    assert (await label(tmp_path, policy())).labels["sure2"].answer == "right sure2"
