"""Stops in a real engine: what ends a completion is part of it, token for token."""

from pathlib import Path
from typing import Any

import pytest
from by_hand import WAIT_S, ready, start_workers, stop

from actors.driver.sampler import Sampler
from actors.rollout.sampling import SampleRequest
from effrl.models import TINY
from effrl.types import Prompt, Rollout

pytestmark = pytest.mark.ray
PROMPT = Prompt("sum", "12+34=")


async def sampled(workers: dict[str, Any], *stops: int | str) -> list[Rollout]:
    [result] = await Sampler(workers, WAIT_S)([SampleRequest(PROMPT, (1, 2, 3, 4), 60, 1.0, stops)])
    return list(result.rollouts)


async def test_stops(local_ray: None, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(TINY)
    [semicolon] = tokenizer(";", add_special_tokens=False)["input_ids"]
    workers = start_workers(_worker(), 1, TINY, tmp_path)
    try:
        await ready(workers)
        free = await sampled(workers)
        assert any(";#" in rollout.text for rollout in free), "the built-in model works in steps"
        for stops, ended in (((";#",), ";#"), ((semicolon,), ";")):
            for rollout, without in zip(await sampled(workers, *stops), free, strict=True):
                end = without.text.find(ended) + len(ended)
                expected = without.text[:end] if ended in without.text else without.text
                assert rollout.text == expected
                assert rollout.finish_reason == ("stop" if ended in without.text else without.finish_reason)
                length = len(rollout.token_ids)
                assert rollout.token_ids.tolist() == without.token_ids.tolist()[:length], "one token per character"
                if ended in without.text:
                    assert length == end, "the stop's own tokens are part of it, and nothing after them"
                assert rollout.logprobs.shape == (length,)
    finally:
        stop(workers)


def _worker() -> type:
    from actors.rollout.actor import RolloutWorker

    return RolloutWorker
