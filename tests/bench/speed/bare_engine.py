"""The floor of sampling and of publishing: vLLM's own engine in a plain process, without Ray and without effrl.

It samples the very lengths that effrl sampled: a request ends at its length and not at an end-of-sequence token.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.speed.processes import run_module
from tests.bench.speed.rows import Clock, Row, read, write
from tests.bench.speed.sizes import Size


def engine_steps(size: Size, model: Path, rollouts: Path, directory: Path) -> list[Row]:
    """Rows of the steps in ``rollouts``, each with ``publish_s``: a file of all weights in memory, and their reload."""
    from actors.environment import COMMON_ENVIRONMENT, CPU_ENVIRONMENT, ENGINE_ENVIRONMENT

    found = directory / "engine.jsonl"
    threads = {"OMP_NUM_THREADS": str(len(os.sched_getaffinity(0)))}
    environment = {**COMMON_ENVIRONMENT, **CPU_ENVIRONMENT, **ENGINE_ENVIRONMENT, **threads}
    run_module("bare_engine", [model, str(size.context), rollouts, found], directory / "engine.log", environment)
    return read(found)


def main(model: str, context: str, rollouts: str, found: str) -> None:
    """In the engine's process."""
    from vllm import EngineArgs, LLMEngine

    arguments = EngineArgs(
        model=model,
        dtype="float32",
        max_model_len=int(context),
        max_num_seqs=256,
        kv_cache_memory_bytes=2**30,
        enforce_eager=True,
        logprobs_mode="processed_logprobs",
        enable_prefix_caching=True,
        enable_chunked_prefill=False,
        disable_log_stats=True,
    )
    engine = LLMEngine.from_engine_args(arguments)
    weights = _weights(model)
    rows = []
    for step in read(Path(rollouts)):
        clock = Clock()
        tokens = _sample(engine, step)
        rows.append({**clock.lap(), "rollouts": len(step), "tokens": tokens})
        _publish(engine, weights)
        rows[-1]["publish_s"] = clock.lap()["wall_s"]
        engine.reset_prefix_cache()
    write(Path(found), rows)


def _sample(engine: Any, step: list[dict[str, Any]]) -> int:
    from vllm import SamplingParams

    for number, rollout in enumerate(step):
        length = {"max_tokens": rollout["tokens"], "ignore_eos": True}
        parameters = SamplingParams(seed=number, temperature=1.0, logprobs=0, **length)
        engine.add_request(str(number), rollout["prompt"], parameters)
    tokens = 0
    while engine.has_unfinished_requests():
        tokens += sum(len(output.outputs[0].token_ids) for output in engine.step() if output.finished)
    return tokens


def _weights(path: str) -> dict[str, Any]:
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(path)
    return {name: weight.detach() for name, weight in model.named_parameters()}  # a tied head is there once


def _publish(engine: Any, weights: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        save_file(weights, Path(directory) / "model.safetensors")
        engine.collective_rpc("reload_weights", kwargs={"weights_path": directory})


if __name__ == "__main__":
    main(*sys.argv[1:])
