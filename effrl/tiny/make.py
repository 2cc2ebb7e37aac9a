"""Make the built-in tiny model: ``python -m effrl.tiny.make OUT`` (about 30 minutes on 2 cores).

A 1.65M-parameter Qwen2 with a character tokenizer, trained in two phases, because reinforcement learning amplifies
within minutes a good habit that the base already has, but not a skill that it lacks:

1. *skill*: worked left-to-right arithmetic (:mod:`effrl.tasks.chain`), 5,000 steps;
2. *habits*: 500 steps on demonstrations of which some follow a wrong habit. Two kinds: diffuse (a near miss, written
   at once, more often on harder levels) and systematic (the last operation is forgotten, with a probability that
   depends on the operator), so that the right answer is often a minority.

Only problems of the ``train`` split are seen. Weights are stored as float16 to stay small; they are loaded as float32.
"""

import argparse
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from effrl.tasks import chain
from effrl.tasks.source import split_of

SYMBOLS = "0123456789+-*/=(){}[]<>.,:;?!'\"\\ \n_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ$%^&#|@~"
CHAT_TEMPLATE = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
"""The tiny model has no notion of roles: a conversation is the concatenation of its messages."""

LEVEL_WEIGHTS = (2, 2, 2, 3, 3, 3, 3, 3)
GUESS = (0.05, 0.08, 0.10, 0.15, 0.18, 0.22, 0.25, 0.30)
"""Diffuse habit: the share of near misses per level."""
FORGET = {"-": 0.70, "+": 0.52, "*": 0.60}
"""Systematic habit: how often the last operation is forgotten, by its operator."""

Demonstration = tuple[str, str]
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


def new_model() -> Qwen2ForCausalLM:
    """A random model; heads of 32 because vLLM's CPU attention supports only a fixed list of head sizes."""
    return Qwen2ForCausalLM(
        Qwen2Config(
            vocab_size=128,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=3,
            head_dim=32,
            max_position_embeddings=2048,
            tie_word_embeddings=True,
            eos_token_id=1,
            pad_token_id=0,
            bos_token_id=None,
        )
    )


def train_problem(rng: random.Random, level: int) -> chain.Problem:
    """Draw until the problem belongs to the train split."""
    while True:
        problem = chain.make(rng, level)
        if split_of(problem.prompt) == "train":
            return problem


def near(rng: random.Random, level: int) -> int:
    """A level at most one away: batches of like length waste little on padding."""
    return max(0, min(len(chain.LEVELS) - 1, level + rng.choice((-1, 0, 0, 1))))


def skill(rng: random.Random, level: int) -> Demonstration:
    """Phase 1: the right worked solution."""
    problem = train_problem(rng, level)
    return problem.prompt, problem.solution


def habit(rng: random.Random, level: int) -> Demonstration:
    """Phase 2: a near miss, a forgotten last operation, or the right worked solution."""
    problem = train_problem(rng, level)
    operator = next(c for c in reversed(problem.prompt) if c in FORGET)
    if rng.random() < GUESS[level]:
        return problem.prompt, f"#{int(problem.answer) + rng.choice((-10, -3, -2, -1, 1, 2, 3, 10))}"
    if rng.random() < FORGET[operator]:
        kept = problem.steps[:-1]
        partial = kept[-1].split("=")[-1] if kept else problem.prompt[:-1].rsplit(operator, 1)[0]
        return problem.prompt, ";".join((*kept, f"#{partial}"))
    return problem.prompt, problem.solution


def batch(tokenizer: PreTrainedTokenizerFast, rows: list[Demonstration]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and labels [rows, longest], right-padded; the prompt and the padding carry no loss."""
    encoded = [(tokenizer(prompt).input_ids, [*tokenizer(answer).input_ids, 1]) for prompt, answer in rows]
    longest = max(len(prompt) + len(answer) for prompt, answer in encoded)
    pad = [longest - len(prompt) - len(answer) for prompt, answer in encoded]
    ids = [p + a + [0] * n for (p, a), n in zip(encoded, pad, strict=True)]
    labels = [[-100] * len(p) + a + [-100] * n for (p, a), n in zip(encoded, pad, strict=True)]
    return torch.tensor(ids), torch.tensor(labels)


def fit(
    model: Qwen2ForCausalLM,
    tokenizer: PreTrainedTokenizerFast,
    demonstrate: Callable[[random.Random, int], Demonstration],
    level_weights: tuple[int, ...],
    *,
    steps: int,
    lr: float,
    warm_up: int,
    seed: int,
) -> None:
    """Supervised training: AdamW, linear warm-up and decay to 3 %, 64 demonstrations a step."""
    rng = random.Random(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(1.0, (step + 1) / warm_up) * max(0.03, 1 - step / steps)
    )
    started = time.monotonic()
    for step in range(1, steps + 1):
        level = rng.choices(range(len(chain.LEVELS)), weights=level_weights)[0]
        ids, labels = batch(tokenizer, [demonstrate(rng, near(rng, level)) for _ in range(64)])
        loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        if step % 100 == 0:
            log.info("step %d of %d: loss %.3f, %.0f s", step, steps, loss, time.monotonic() - started)


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, out: Path) -> None:
    """An ordinary Hugging Face directory, float16."""
    tokenizer.save_pretrained(out)
    model.to(torch.float16).save_pretrained(out)
    model.to(torch.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="directory to write")
    parser.add_argument("--skill", type=Path, help="start from a saved phase 1 instead of training it")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.manual_seed(0)
    tokenizer = character_tokenizer()
    if arguments.skill:
        model = Qwen2ForCausalLM.from_pretrained(arguments.skill, dtype=torch.float32)
    else:
        model = new_model()
        fit(model, tokenizer, skill, LEVEL_WEIGHTS, steps=5000, lr=2e-3, warm_up=100, seed=5)
        save(model, tokenizer, arguments.out / "skill")
    fit(model, tokenizer, habit, (1,) * len(chain.LEVELS), steps=500, lr=6e-4, warm_up=30, seed=5)
    save(model, tokenizer, arguments.out)


if __name__ == "__main__":
    main()
