"""Scoring a whole data set through Ray Data: a pool of actors, each with a model of its own."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.data
from ray.data.exceptions import ExecutionTimeoutError
from ray.exceptions import RayError

from actors.machine import usable_cores
from actors.wait import last_line
from effrl.config.template import ChatArgument
from effrl.data.render import Renderer
from effrl.data.tokenizer import load_tokenizer
from effrl.errors import DeadlineError, Malformed, RunError, UserError
from effrl.learn.packing import layout, pad, unweighted
from effrl.select.ufo.cache import ScoredPrompt
from effrl.select.ufo.target import target_ids
from effrl.select.ufo.zone import certainty
from effrl.types import Continuation, Message

ROWS = 256
"""Rows of a block: what a worker takes at a time, and what is lost of it when it is stopped."""
STALLED_S = 1800.0
"""No block for so long, in seconds, ends the scoring; a model may be loading."""

PoolBatch = dict[str, Any]
"""Columns of a block as arrays."""


@dataclass(frozen=True, slots=True)
class RowToScore:
    """One row to score."""

    content: str | tuple[Message, ...]
    target: str


@dataclass(frozen=True, slots=True)
class PoolToScore:
    """How the work is shared out."""

    model: str
    """Directory of the model."""
    prefix: str
    context: int
    """Longest sequence, in tokens."""
    batch_tokens: int
    """Tokens of one forward pass, padding included."""
    workers: int
    """They share the cores of a machine among themselves."""
    gpus: float = 0
    """Of each worker."""
    chat_template_kwargs: Mapping[str, ChatArgument] = field(default_factory=dict)
    """What the chat template is given besides the messages."""


class TargetScorer:
    """The class that Ray Data makes actors of: one forward pass for each row, in float32."""

    def __init__(self, pool: PoolToScore) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        from actors.ranks.model import Scorer

        torch.set_num_threads(max(1, usable_cores() // pool.workers))
        self.pool = pool
        self.device = torch.device("cuda" if pool.gpus else "cpu")
        self.renderer = Renderer(load_tokenizer(Path(pool.model)), pool.chat_template_kwargs)
        language_model = AutoModelForCausalLM.from_pretrained(pool.model, dtype=torch.float32)
        self.scorer = Scorer(language_model).to(self.device).eval().requires_grad_(False)

    def __call__(self, batch: PoolBatch) -> PoolBatch:
        """From columns ``row``, ``content`` (JSON) and ``target`` to ``row``, ``certainty``, ``tokens``, ``problem``.

        A row that does not fit has a certainty of NaN; one that cannot be scored has a problem.
        """
        texts, problems = self._tokenised(batch)
        found = np.full(len(texts), np.nan)
        places = [place for place, text in enumerate(texts) if text and len(text.ids) <= self.pool.context]
        lengths = [len(texts[place].ids) for place in places]  # type: ignore[union-attr]  # those without are left out
        [share] = layout(lengths, 1, self.pool.batch_tokens)
        for rows in share:
            chosen = [places[row] for row in rows]
            for place, logprobs in zip(chosen, self._logprobs([texts[place] for place in chosen]), strict=True):
                try:
                    found[place] = certainty(logprobs)
                except ValueError as error:
                    problems[place] = str(error)
        tokens = np.array([text.tokens if text else 0 for text in texts])
        return {"row": batch["row"], "certainty": found, "tokens": tokens, "problem": np.array(problems)}

    def _tokenised(self, batch: PoolBatch) -> tuple[list[Continuation | None], list[str]]:
        texts: list[Continuation | None] = []
        problems: list[str] = []
        for content, target in zip(batch["content"], batch["target"], strict=True):
            try:
                texts.append(target_ids(self.renderer, json.loads(content), self.pool.prefix, str(target)))
                problems.append("")
            except (ValueError, Malformed) as error:
                texts.append(None)
                problems.append(str(error))
        return texts, problems

    def _logprobs(self, texts: Sequence[Any]) -> list[list[float]]:
        """Log-probs of each target's tokens; only they ever have logits, and a slice of them at a time."""
        import torch

        batch = pad([unweighted(text.ids, text.start) for text in texts])
        ids, attention = (torch.tensor(array, dtype=torch.long) for array in (batch.ids, batch.attention))
        wanted = torch.tensor(batch.mask)
        with torch.inference_mode():
            rows = self.scorer(*(tensor.to(self.device) for tensor in (ids, attention, wanted)))[0].cpu()
        return [row[mask > 0].tolist() for row, mask in zip(rows, wanted, strict=True)]


def score(questions: Sequence[RowToScore], pool: PoolToScore) -> Iterator[dict[int, ScoredPrompt]]:
    """What is found of each row, by its index, block by block in the order in which they are done.

    A Ray must run. Waits for the pool's workers; unblocked by the next block, at the latest after ``STALLED_S``.

    Raises:
        UserError: there are more workers than the cluster can hold, or a row cannot be scored.
        RunError: a worker failed.
        DeadlineError: no worker has finished a block for ``STALLED_S``.
    """
    _check_room(pool)
    _quiet()
    items = [
        {"row": row, "content": json.dumps(question.content), "target": question.target}
        for row, question in enumerate(questions)
    ]
    blocks = ray.data.from_items(items, override_num_blocks=ceil(len(items) / ROWS))
    scored = blocks.map_batches(
        TargetScorer,
        batch_size=None,  # a block at a time
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(size=pool.workers),
        fn_constructor_args=[pool],
        num_cpus=1,
        num_gpus=pool.gpus or None,
        max_restarts=0,  # one that runs out of memory would do so again; what was scored is kept, so start again
    )
    try:
        for batch in scored.iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=0):
            yield _found(batch)
    except ExecutionTimeoutError as error:
        raise DeadlineError(f"waited {STALLED_S:.0f} s in vain for a block of scores") from error
    except RayError as error:
        raise RunError(f"a scoring worker failed: {last_line(error)}") from error


def _found(batch: PoolBatch) -> dict[int, ScoredPrompt]:
    if problems := [problem for problem in batch["problem"] if problem]:
        raise UserError(f"{len(problems)} of {len(batch['problem'])} targets cannot be scored: {problems[0]}")
    columns = zip(batch["row"], batch["certainty"], batch["tokens"], strict=True)
    return {
        int(row): ScoredPrompt(None if np.isnan(value) else float(value), int(tokens)) for row, value, tokens in columns
    }


def _check_room(pool: PoolToScore) -> None:
    """Or Ray would wait for CPUs that never come."""
    offered = ray.cluster_resources()
    for name, wanted in (("CPU", pool.workers), ("GPU", pool.workers * pool.gpus)):
        if wanted > offered.get(name, 0):
            raise UserError(
                f"--workers {pool.workers} need {wanted:g} {name}s, and there are {offered.get(name, 0):g}: lower it"
            )


def _quiet() -> None:
    """The command has a progress bar of its own, and tells errors in one line."""
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = STALLED_S
