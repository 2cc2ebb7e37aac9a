"""Peak memory and seconds of the learner's stages on a model of a real one's shape, random weights, nothing downloaded.

``python -m tests.bench.learner_memory SHAPE [learn.field=value …]``, for example ``0.5b zero=2
lora='{rank: 16}' activation_checkpointing=true``; one rank, one JSON line per stage; with ``zero=3`` one more on what a
publish gathers. 0.5b takes about 17 GiB on a CPU
when all weights are trained.
"""

import json
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from transformers import AutoModelForCausalLM, Qwen2Config

from effrl.config.learn import LearnConfig
from effrl.config.loss import ClippedLoss
from effrl.learn.packing import MicroBatch, cut, size_of
from effrl.loss.policy import policy_loss
from effrl.loss.tokens import Tokens
from effrl.sequences import Portion, TrainingSequence
from effrl.tiny.make import character_tokenizer

SHAPES: dict[str, dict[str, Any]] = {
    "0.5b": {  # Qwen2.5-0.5B: 494M parameters
        "vocab_size": 151936,
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 24,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "100m": {  # 102M parameters, more than three buckets of a publish
        "vocab_size": 32000,
        "hidden_size": 768,
        "intermediate_size": 2304,
        "num_hidden_layers": 11,
        "num_attention_heads": 12,
        "num_key_value_heads": 4,
    },
    "10m": {
        "vocab_size": 60000,
        "hidden_size": 128,
        "intermediate_size": 512,
        "num_hidden_layers": 8,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
SEQUENCES, PROMPT, SAMPLED = 8, 16, 48
MICRO_BATCH_TOKENS = 256
STEPS = 2


def main(shape: str, *settings: str) -> None:
    """Two optimizer steps, a publish and a checkpoint."""
    fields = {name: yaml.safe_load(value) for name, _, value in (setting.partition("=") for setting in settings)}
    learn = LearnConfig.model_validate({"micro_batch_tokens": MICRO_BATCH_TOKENS, **fields})
    os.environ.update(RANK="0", WORLD_SIZE="1", LOCAL_RANK="0", LOCAL_SIZE="1", MASTER_ADDR="127.0.0.1")
    os.environ.setdefault("MASTER_PORT", "29517")
    with tempfile.TemporaryDirectory() as directory:
        model, checkpoint = Path(directory) / "model", Path(directory) / "checkpoint"
        make(shape, model)
        rank = stage("start", lambda: start(model, learn))
        for number in range(STEPS):
            stage(f"step {number + 1}", lambda: step(rank, learn, SHAPES[shape]["vocab_size"]))
        stage("publish", lambda: publish(rank))
        if learn.zero == 3:
            print(json.dumps(gathered(rank)), flush=True)
        stage("checkpoint", lambda: rank.save(checkpoint))
        stage("export", lambda: rank.export(checkpoint / "hf"))


def make(shape: str, directory: Path) -> None:
    torch.manual_seed(0)
    config = Qwen2Config(**SHAPES[shape], tie_word_embeddings=True, max_position_embeddings=2048)
    AutoModelForCausalLM.from_config(config).save_pretrained(directory)
    character_tokenizer().save_pretrained(directory)


def start(model: Path, learn: LearnConfig) -> Any:
    from actors.ranks.rank import DeepSpeedRank  # reads the environment when it is imported

    return DeepSpeedRank(str(model), "bfloat16" if torch.cuda.is_available() else "float32", learn)


def step(rank: Any, learn: LearnConfig, vocabulary: int) -> None:
    rng = np.random.default_rng(0)
    sequences = [
        TrainingSequence(
            rng.integers(0, vocabulary, PROMPT + SAMPLED).astype(np.int32),
            PROMPT,
            np.full(SAMPLED, -np.log(vocabulary), np.float32),
            np.full(SAMPLED, sign, np.float32),
        )
        for sign in np.resize([1.0, -1.0], SEQUENCES)
    ]
    loss = ClippedLoss()

    def sums(batch: MicroBatch) -> dict[str, torch.Tensor]:
        logprobs, _ = rank.score(batch)
        arrays = (batch.behaviour, batch.advantages, batch.mask)
        return policy_loss(
            loss, Tokens(logprobs, logprobs.detach(), *(torch.tensor(array, device=rank.device) for array in arrays))
        )

    [batches] = cut(sequences, 1, learn.micro_batch_tokens)
    rank.set_learning_rate(1e-6)
    rank.accumulate(batches, sums, size_of(Portion(sequences), loss, SAMPLED).denominator)
    assert rank.step() > 0


def publish(rank: Any) -> None:
    from actors.snapshot import pack

    pack(dict(rank.parameters.published()))


def gathered(rank: Any) -> dict[str, float]:
    """What a publish holds whole at most, in MiB, of what ZeRO-3 keeps in shards; each bucket has 64 MiB here."""
    parameters = rank.parameters
    parameters.bucket = 64 * 2**20
    sharded = [part for weight in parameters.weights for part in weight.parts if not part.ds_persist]
    most = 0
    for _ in parameters.published():
        most = max(most, sum(part.numel() * part.element_size() for part in sharded))
    sizes = [part.ds_numel * part.element_size() for part in sharded]
    found = {"gathered_at_most": most, "bucket": parameters.bucket, "largest": max(sizes), "all": sum(sizes)}
    return {name: round(size / 2**20, 1) for name, size in found.items()}


def stage(name: str, work: Callable[[], Any]) -> Any:
    """Do it, and print what it took; ``peak`` is of the whole process up to now."""
    began = time.monotonic()
    result = work()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    device = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None
    row = {"stage": name, "seconds": round(time.monotonic() - began, 1), "peak_gib": round(peak, 2), "gpu_gib": device}
    print(json.dumps(row), flush=True)
    return result


if __name__ == "__main__":
    main(*sys.argv[1:])
