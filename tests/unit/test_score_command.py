"""``effrl score`` as a user types it: what is refused before a worker starts, and what a worker computes."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from actors.scoring import Pool, TargetScorer
from deploy import cli
from effrl.models import TINY
from effrl.select.target import target_ids
from effrl.select.ufo import certainty

Command = Callable[..., tuple[object, str, str]]
PROMPTS = ["Q(abcd)=", "~T(ab)=", "X(abcdefgh)=", "R(xyz)="]
TARGETS = ["bcda", "b", "abcdefghh", "xy"]


@pytest.fixture
def effrl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Exit code, stdout and stderr of a command in an empty directory."""

    def run(*arguments: object) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["effrl", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        captured = capsys.readouterr()
        return end.value.code, captured.out, captured.err

    monkeypatch.chdir(tmp_path)
    return run


# --- what is refused, in one line, before anything is started


def test_mistakes_are_one_line_each(effrl: Command, tmp_path: Path) -> None:
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
        code, out, err = effrl("score", *arguments)
        assert (code, out) == (2, ""), arguments
        assert word in err and err.startswith("effrl: ") and err.count("\n") == 1, err


def test_a_cache_of_another_model_is_refused(effrl: Command, tmp_path: Path) -> None:
    key = {"model": "77aa", "target": "final_answer", "prefix": "<answer> ", "template": "plain", "system": None}
    (tmp_path / "scores.jsonl.cache").write_text(json.dumps(key) + "\n")
    code, _, err = effrl("score", "tasks:strings?size=8", "--model", "tiny")
    assert code == 2 and "was made with model '77aa'" in err and err.count("\n") == 1


# --- what a worker computes


def worker(batch_tokens: int = 10_000, context: int = 100) -> TargetScorer:
    return TargetScorer(Pool(str(TINY), "#", context, batch_tokens, workers=1, threads=1))


def asked(places: list[int]) -> dict[str, Any]:
    return {
        "row": np.array(places),
        "content": np.array([json.dumps(PROMPTS[place]) for place in places]),
        "target": np.array([TARGETS[place] for place in places]),
    }


def by_hand(scorer: TargetScorer, prompt: str, target: str) -> float:
    """One token after the other, each with a forward pass of its own over what stands before it."""
    text = target_ids(scorer.tokenizer, prompt, "#", target)
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
    text, other = (target_ids(scorer.tokenizer, PROMPTS[0], "#", target) for target in ("bcda", "bcdb"))
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
