"""Make the built-in tiny models: ``python -m effrl.tiny.make OUT``.

Small models with a character tokenizer, trained in two phases, because reinforcement learning amplifies within minutes
a good habit that the base already has, but not a skill that it lacks:

1. *skill*: worked solutions of all families under both readings of every kind (:mod:`effrl.tasks`);
2. *habits*: a mixture of right solutions, near misses and misreadings (:mod:`effrl.tiny.demonstrations`).

``tiny`` and ``tiny-sound`` share a skill phase and a Qwen2 shape; ``tiny-llama`` is of another architecture, with
untied embeddings, for controls; ``tiny-ladder`` climbs ladders alone, and checks nothing. Only problems of the
``train`` split are seen. Weights are stored as float16 to stay small; they are loaded as float32.
"""

import argparse
import logging
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from effrl.tiny import demonstrations
from effrl.tiny.demonstrations import MIXTURES, Demonstration, Mixture, demonstrate

SYMBOLS = "0123456789+-*/=(){}[]<>.,:;?!'\"\\ \n_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$%^&#|@~"
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""The tiny model has no notion of roles: a conversation is the concatenation of its messages."""

SHAPE = {
    "vocab_size": 128,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 5,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 32,  # vLLM's CPU attention supports only a fixed list of head sizes
    "max_position_embeddings": 2048,
    "eos_token_id": 1,
    "pad_token_id": 0,
    "bos_token_id": None,
}


@dataclass(frozen=True, slots=True)
class Base:
    """How a model is made."""

    architecture: str
    mixture: str
    """Key of :data:`effrl.tiny.demonstrations.MIXTURES`."""
    families: tuple[str, ...] = ("chain", "brackets", "strings", "knights")
    """What it is shown."""
    share: float = 1.0
    """Of the steps of each phase: one family takes fewer than four."""
    batch: int = 64
    """Demonstrations of each step."""
    skill: tuple[tuple[Mixture, int, float], ...] = (
        (demonstrations.SKILL, 4000, 2e-3),
        (demonstrations.CHECKING, 1500, 1e-3),
    )
    """Mixture, steps and learning rate of each phase before habits: first work problems, then check answers too."""

    def phases(self, name: str) -> Iterator[tuple[str, Mixture, int, float]]:
        """Directory, mixture, steps and learning rate of each; of one shape and shown the same, models share skills."""
        shown = self.architecture if len(self.families) > 1 else f"{self.architecture}-{self.families[0]}"
        for number, (mixture, steps, lr) in enumerate(self.skill, start=1):
            yield f"skill-{shown}-{number}", mixture, int(steps * self.share), lr
        yield name, MIXTURES[self.mixture], int(HABIT_STEPS * self.share), HABIT_LR


MODELS = {
    "tiny": Base("qwen2", "misled"),
    "tiny-sound": Base("qwen2", "sound"),
    "tiny-llama": Base("llama", "misled", ("strings",), 0.3),
    "tiny-ladder": Base(
        "qwen2",
        "torn",
        families=("ladder",),
        share=0.4,
        batch=32,
        skill=((demonstrations.CLIMBING, 4000, 2e-3), (demonstrations.CLIMBING, 2500, 2e-3)),
    ),
}

HABIT_STEPS, HABIT_LR, WARM_UP = 800, 6e-4, 50
_BATCHES_SORTED = 16
"""Demonstrations of so many batches are sorted by length, so that little is padded."""
log = logging.getLogger(__name__)


def character_tokenizer() -> PreTrainedTokenizerFast:
    """One token per character, the three special tokens first."""
    vocabulary = {"<pad>": 0, "<eos>": 1, "<bos>": 2}
    for symbol in SYMBOLS:
        vocabulary.setdefault(symbol, len(vocabulary))
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<pad>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="<eos>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


def new_model(architecture: str = "qwen2") -> PreTrainedModel:
    """A random model of about 1M parameters."""
    torch.manual_seed(0)
    if architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**SHAPE, tie_word_embeddings=False))
    return Qwen2ForCausalLM(Qwen2Config(**SHAPE, tie_word_embeddings=True))


def batches(
    tokenizer: PreTrainedTokenizerFast, families: Sequence[str], mixture: Mixture, size: int, seed: int
) -> Iterator[tuple[torch.Tensor, ...]]:
    """Token ids and labels of ``size`` demonstrations each, without end."""
    rng = random.Random(seed)
    while True:
        rows = [demonstrate(rng, families, mixture) for _ in range(size * _BATCHES_SORTED)]
        rows.sort(key=lambda row: len(row[0]) + len(row[1]))
        cuts = [rows[start : start + size] for start in range(0, len(rows), size)]
        rng.shuffle(cuts)
        yield from (encode(tokenizer, cut) for cut in cuts)


def encode(tokenizer: PreTrainedTokenizerFast, rows: list[Demonstration]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels [rows, longest], right-padded; the prompt and the padding carry no loss."""
    encoded = [(tokenizer(prompt).input_ids, [*tokenizer(answer).input_ids, 1]) for prompt, answer in rows]
    longest = max(len(prompt) + len(answer) for prompt, answer in encoded)
    pad = [longest - len(prompt) - len(answer) for prompt, answer in encoded]
    ids = [p + a + [0] * n for (p, a), n in zip(encoded, pad, strict=True)]
    labels = [[-100] * len(p) + a + [-100] * n for (p, a), n in zip(encoded, pad, strict=True)]
    return torch.tensor(ids), torch.tensor(labels)


def fit(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    base: Base,
    mixture: Mixture,
    *,
    steps: int,
    lr: float,
) -> None:
    """Supervised training: AdamW, linear warm-up and decay to 3 %."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / WARM_UP) * max(0.03, 1 - step / steps)
    )
    started = time.monotonic()
    for step, (ids, labels) in zip(
        range(1, steps + 1), batches(tokenizer, base.families, mixture, base.batch, seed=5), strict=False
    ):
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            log.info("step %d of %d: loss %.3f, %.0f s", step, steps, loss.detach(), time.monotonic() - started)


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """An ordinary Hugging Face directory, float16."""
    tokenizer.save_pretrained(out)
    model.to(torch.float16).save_pretrained(out)
    model.to(torch.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="directory to write; a skill phase that is there already is kept")
    parser.add_argument("models", nargs="*", default=list(MODELS), help=f"of {', '.join(MODELS)}; all by default")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    tokenizer = character_tokenizer()
    for name in arguments.models:
        base = MODELS[name]
        model = new_model(base.architecture)
        for phase, mixture, steps, lr in base.phases(name):
            out = arguments.out / phase
            if not out.exists():
                fit(model, tokenizer, base, mixture, steps=steps, lr=lr)
                save(model, tokenizer, out)
            # Loaded in both cases, so that a phase starts from the same rounded weights however it was interrupted.
            model = type(model).from_pretrained(out, dtype=torch.float32)


if __name__ == "__main__":
    main()
