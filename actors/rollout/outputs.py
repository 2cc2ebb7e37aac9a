"""vLLM's outputs as values of the loop; vLLM itself is not imported."""

from typing import TYPE_CHECKING

import numpy as np

from effrl.types import Float32, Int32, Rollout

if TYPE_CHECKING:
    from vllm import RequestOutput
    from vllm.outputs import CompletionOutput


def rollout(output: "RequestOutput | None", version: int) -> Rollout:
    """What :meth:`Engine.sample` sampled; None where it was aborted.

    vLLM also ends requests with ``error``, ``abort`` and ``repetition``. None of them is a completion of the policy, so
    nothing of it may be scored or learned from; ``version`` is then that of the engine.
    """
    if output is None:
        return Rollout.lost(version)
    [completion] = output.outputs
    if completion.finish_reason not in ("stop", "length"):
        return Rollout.lost(version)
    versions = [int(span.version) for span in completion.weight_versions or ()]
    return Rollout(
        token_ids=np.asarray(completion.token_ids, np.int32),
        logprobs=_sampled_logprobs(completion),
        text=completion.text,
        finish_reason=completion.finish_reason,
        version_min=min(versions),
        version_max=max(versions),
    )


def scored_logprobs(output: "RequestOutput", ids: Int32, start: int) -> list[float]:
    """Log-probs of the tokens from ``start`` on of a sequence that :meth:`Engine.score` scored."""
    assert output.prompt_logprobs is not None, "prompt log-probs were asked for"
    rows = output.prompt_logprobs[start:]
    return [row[int(token)].logprob for row, token in zip(rows, ids[start:], strict=True) if row is not None]


def _sampled_logprobs(completion: "CompletionOutput") -> Float32:
    assert completion.logprobs is not None, "log-probs were asked for"
    pairs = zip(completion.token_ids, completion.logprobs, strict=True)
    return np.array([candidates[token].logprob for token, candidates in pairs], np.float32)
