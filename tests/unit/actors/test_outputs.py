"""How an output of vLLM becomes a rollout."""

from types import SimpleNamespace
from typing import Any

import pytest

from actors.rollout.outputs import rollout


def finished(reason: str | None) -> Any:
    """What vLLM returns of a request that sampled two tokens under version 3."""
    return SimpleNamespace(
        outputs=[
            SimpleNamespace(
                token_ids=[5, 6],
                logprobs=[{5: SimpleNamespace(logprob=-0.5)}, {6: SimpleNamespace(logprob=-1.5)}],
                text="46",
                finish_reason=reason,
                weight_versions=[SimpleNamespace(version="3")],
            )
        ]
    )


@pytest.mark.parametrize("reason", ["stop", "length"])
def test_a_completion_is_kept_as_it_was_sampled(reason: str) -> None:
    made = rollout(finished(reason), version=4)
    assert (made.token_ids.tolist(), made.logprobs.tolist(), made.text) == ([5, 6], [-0.5, -1.5], "46")
    assert (made.finish_reason, made.version_min, made.version_max) == (reason, 3, 3)


@pytest.mark.parametrize("reason", ["error", "abort", "repetition", None])
def test_what_the_engine_did_not_finish_is_no_completion(reason: str | None) -> None:
    """Not a long one either: it would be scored, with 0 for its missing answer."""
    made = rollout(finished(reason), version=4)
    assert made.failed and made.finish_reason == "failed"
    assert (len(made.token_ids), len(made.logprobs), made.text) == (0, 0, "")
    assert (made.version_min, made.version_max) == (4, 4)
