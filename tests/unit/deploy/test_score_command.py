"""``effrl score`` as a user types it: what is refused before a worker starts, and what a worker computes."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pyarrow import parquet

from actors.data.scoring import PoolToScore, RowToScore, TargetScorer
from effrl.models import TINY
from effrl.select.ufo.cache import ScoredPrompt
from effrl.select.ufo.target import target_ids
from effrl.select.ufo.zone import certainty

Command = Callable[..., tuple[object, str, str]]
PROMPTS = ["Q(abcd)=", "~T(ab)=", "X(abcdefgh)=", "R(xyz)="]
TARGETS = ["bcda", "b", "abcdefghh", "xy"]


# --- what is refused, in one line, before anything is started


def test_mistakes_are_one_line_each(command_line: Command, tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"prompt": "1+1=", "answer": "2"}\n')
    (tmp_path / "old.jsonl").write_text("{}\n")
    mistakes = {
        ("rows.jsonl", "--model", "tiny"): "no row has a label to score",
        ("rows.jsonl?label=answer&prompt=question", "--model", "tiny"): "question",
        ("missing.jsonl", "--model", "tiny"): "missing.jsonl",
        ("tasks:strings?size=8", "--model", "nowhere/at/all"): "no model directory",
        ("tasks:strings?size=8", "--model", "tiny", "--template", "boxd"): "did you mean 'boxed'",
        ("tasks:strings?size=8", "--model", "tiny", "--out", "scores.csv"): "ends in .jsonl or .parquet",
        ("tasks:strings?size=8", "--model", "tiny", "--out", "no/scores.jsonl"): "there is no directory no",
        ("tasks:strings?size=8", "--model", "tiny", "--out", "old.jsonl"): "old.jsonl exists",
    }
    for arguments, word in mistakes.items():
        code, out, err = command_line("score", "--prefix", "#", *arguments)
        assert (code, out) == (2, ""), arguments
        assert word in err and err.startswith("effrl: ") and err.count("\n") == 1, err


def test_nothing_says_how_an_answer_begins(command_line: Command) -> None:
    code, _, err = command_line("score", "tasks:strings?size=8", "--model", "tiny", "--template", "question")
    assert code == 2 and "set --prefix to what the model writes before it" in err and err.count("\n") == 1


def test_a_cache_of_another_model_is_refused(command_line: Command, tmp_path: Path) -> None:
    key: dict[str, Any] = {"model": "77aa", "target": "final_answer", "prefix": "<answer> ", "template": "plain"}
    key |= {"system": None, "chat_template_kwargs": {}}
    (tmp_path / "scores.jsonl.cache").write_text(json.dumps(key) + "\n")
    code, _, err = command_line("score", "tasks:strings?size=8", "--model", "tiny", "--prefix", "<answer> ")
    assert code == 2 and "was made with model '77aa'" in err and err.count("\n") == 1


# --- what is kept, with workers that know the answer


class Blocks:
    """Stands for Ray and its workers: a block is a row, certain by its place; may be stopped before a row."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[list[str]] = []
        self.stop_before: int | None = None
        monkeypatch.setattr("actors.session.ray_session", nullcontext)
        monkeypatch.setattr("actors.data.scoring.score", self._score)

    def _score(self, questions: Sequence[RowToScore], pool: PoolToScore) -> Iterator[dict[int, ScoredPrompt]]:
        self.asked.append([question.target for question in questions])
        for row, question in enumerate(questions):
            if row == self.stop_before:
                raise KeyboardInterrupt
            number = int(question.target)
            yield {row: ScoredPrompt(None if number == 9 else number / 10, len(question.target))}


@pytest.fixture
def blocks(monkeypatch: pytest.MonkeyPatch) -> Blocks:
    return Blocks(monkeypatch)


def rows(path: Path, count: int = 10) -> None:
    lines = [{"id": f"r{number}", "prompt": f"{number}+0=", "label": str(number)} for number in range(count)]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"prompt": "?"}]))


def test_what_was_scored_before_a_stop_is_kept(command_line: Command, blocks: Blocks, tmp_path: Path) -> None:
    rows(tmp_path / "rows.jsonl")
    command = ("score", "rows.jsonl", "--model", "tiny", "--prefix", "#", "--ratio", "0.35")
    blocks.stop_before = 4
    code, out, err = command_line(*command)
    assert code == 130 and "4 rows are in scores.jsonl.cache" in out and not (tmp_path / "scores.jsonl").exists()
    blocks.stop_before = None
    code, out, err = command_line(*command)
    assert (code, err) == (0, "") and "4 known from scores.jsonl.cache" in out
    assert blocks.asked[1] == ["4", "5", "6", "7", "8", "9"]
    assert "9 rows scored, certainty 0.400" in out and "3 in the zone [0.300, 0.500]" in out
    assert "left out: 1 without a label, 1 longer than the context" in out
    found = [json.loads(line) for line in (tmp_path / "scores.jsonl").read_text().splitlines()]
    assert [row["id"] for row in found] == [f"r{number}" for number in range(9)]
    assert [row["id"] for row in found if row["selected"]] == ["r3", "r4", "r5"]
    score = pytest.approx(0.84)
    assert found[0] == {"id": "r0", "certainty": 0.0, "score": score, "selected": False, "target_tokens": 1}


def test_only_what_is_new_is_scored(command_line: Command, blocks: Blocks, tmp_path: Path) -> None:
    rows(tmp_path / "rows.jsonl", 5)
    command = ("score", "rows.jsonl", "--model", "tiny", "--prefix", "#", "--out", "s.parquet")
    assert command_line(*command)[0] == 0
    assert command_line(*command, "--center", "median")[0] == 0
    assert len(blocks.asked) == 1, "another zone of the same scores"
    rows(tmp_path / "rows.jsonl", 7)
    assert command_line(*command)[0] == 0
    assert blocks.asked[1:] == [["5", "6"]]
    table = parquet.read_table(tmp_path / "s.parquet").to_pydict()
    assert table["id"] == [f"r{number}" for number in range(7)] and table["target_tokens"] == [1] * 7


# --- what a worker computes


def worker(batch_tokens: int = 10_000, context: int = 100) -> TargetScorer:
    return TargetScorer(PoolToScore(str(TINY), "#", context, batch_tokens, workers=1))


def asked(places: list[int]) -> dict[str, Any]:
    return {
        "row": np.array(places),
        "content": np.array([json.dumps(PROMPTS[place]) for place in places]),
        "target": np.array([TARGETS[place] for place in places]),
    }


def by_hand(scorer: TargetScorer, prompt: str, target: str) -> float:
    """One token after the other, each with a forward pass of its own over what stands before it."""
    text = target_ids(scorer.renderer, prompt, "#", target)
    model, logprobs = scorer.scorer.language_model, []
    for place in range(text.start, len(text.ids)):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor(text.ids[None, :place], dtype=torch.long)).logits[0, -1]
        logprobs.append(float(torch.log_softmax(logits.float(), -1)[int(text.ids[place])]))
    return certainty(logprobs)


def test_certainties_are_those_of_a_loop_over_tokens_whatever_shares_the_batch() -> None:
    scorer = worker()
    expected = [by_hand(scorer, *pair) for pair in zip(PROMPTS, TARGETS, strict=True)]
    together = scorer(asked([0, 1, 2, 3]))
    assert together["certainty"].tolist() == pytest.approx(expected, abs=1e-5)
    assert together["tokens"].tolist() == [4, 1, 9, 2] and not together["problem"].any()
    for order in ([3, 1, 0], [2], [1, 2]):
        assert scorer(asked(order))["certainty"].tolist() == pytest.approx([expected[n] for n in order], abs=1e-5)
    alone = worker(batch_tokens=1)(asked([0, 1, 2, 3]))
    assert alone["certainty"].tolist() == pytest.approx(expected, abs=1e-5)


def test_changing_the_last_token_changes_its_own_term_only() -> None:
    scorer = worker()
    text, other = (target_ids(scorer.renderer, PROMPTS[0], "#", target) for target in ("bcda", "bcdb"))
    [one], [two] = scorer._logprobs([text]), scorer._logprobs([other])
    assert one[:-1] == pytest.approx(two[:-1], abs=1e-5) and abs(one[-1] - two[-1]) > 1e-3


def test_one_forward_per_row_and_none_for_what_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = worker(batch_tokens=30, context=18)
    rows: list[int] = []
    run = scorer.scorer.forward

    def counted(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        rows.append(len(tensors[0]))
        return run(*tensors)

    monkeypatch.setattr(scorer.scorer, "forward", counted)
    found = scorer(asked([0, 1, 2, 3]))
    assert sum(rows) == 3 and len(rows) > 1
    assert np.isnan(found["certainty"]).tolist() == [False, False, True, False]


def test_a_target_that_cannot_be_scored_is_a_problem_of_its_row() -> None:
    batch = asked([0, 1])
    batch["target"][1] = "\u4e00"
    found = worker()(batch)
    assert found["problem"][0] == "" and "has no token for" in found["problem"][1]
