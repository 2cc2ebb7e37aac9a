"""Scoring a data set with one forward pass per row, as the command line does it."""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

import effrl
from deploy.commands.score_check import ROLLOUTS, check_scores
from effrl.config import load
from effrl.config.data import DataConfig
from effrl.config.schema import Config
from effrl.config.select import Center, Normalise, Target, target_or_default
from effrl.config.template import ChatArgument
from effrl.data.reader import read
from effrl.data.render import Renderer
from effrl.data.samples import Conversations
from effrl.data.survey import survey
from effrl.data.tokenizer import load_tokenizer
from effrl.errors import Malformed, UserError
from effrl.models import ModelFacts, find_model, fingerprint
from effrl.select.ufo.build import prefix_of, worked
from effrl.select.ufo.cache import ScoreCache, ScoredPrompt, ScoringKey, digest_of
from effrl.select.ufo.picture import draw
from effrl.select.ufo.target import target_of
from effrl.select.ufo.zone import scores, zone
from effrl.types import Message, Prompt

FORMATS = (".jsonl", ".parquet")


@dataclass(frozen=True, slots=True)
class Wish:
    """The command's options."""

    model: str
    ratio: float
    center: Center
    normalise: Normalise
    target: Target | None
    """By default full_solution where most labels are worked out, else final_answer."""
    prefix: str | None
    """By default what template, system prompt or reward say."""
    template: str
    system: str | None
    chat_template_kwargs: str
    """A mapping, as YAML."""
    batch_tokens: int
    workers: int
    gpus: float
    out: Path
    check: int | None
    """Prompts to roll out, to see whether the score tells anything."""
    reward: str | None
    """Kind of the reward that reads their outcomes, and the form of an answer."""
    max_tokens: int
    """Of such a rollout."""


@dataclass(frozen=True, slots=True)
class TargetedRow:
    """A row with a target."""

    prompt: Prompt
    target: str

    @property
    def id(self) -> str:
        return self.prompt.id

    @property
    def content(self) -> str | tuple[Message, ...]:
        return self.prompt.content

    @property
    def digest(self) -> str:
        return digest_of(self.content, self.target)


def score(source: str, wish: Wish, console: Console) -> None:
    """Score the rows of a source, and write what was found of each, and a picture.

    What was scored before is not scored again: it is in a cache beside the output.

    Raises:
        UserError: something is wrong with the data, the model or the output; or the cache is of something else.
        RunError: a worker failed.
    """
    _check_out(wish.out)
    settings = _settings(source, wish)
    config, arguments = settings.data, settings.model.chat_template_kwargs
    target, why = _target(config, wish)
    prefix = prefix_of(target, wish.prefix, settings)
    if prefix is None:
        raise UserError(
            "neither --template, --system nor --reward says how an answer begins: set --prefix to what the model writes"
            " before it, such as '#', or to '' where it begins with the answer"
        )
    model = find_model(wish.model)
    candidates, without = _candidates(config, target)
    _check_model(model, arguments, candidates)
    key = ScoringKey(fingerprint(model.path), target, prefix, config.template, config.system, arguments)
    cache = ScoreCache(cache_of(wish.out), key)
    missing = {candidate.digest: candidate for candidate in candidates if candidate.digest not in cache.known}
    console.print(_headline(source, wish, candidates, missing), highlight=False, soft_wrap=True)
    console.print(f"scored: {target}{why}, {_before(prefix)}", highlight=False, soft_wrap=True, markup=False)
    if missing:
        _score(list(missing.values()), model, key, wish, cache, console)
    _conclude(candidates, without, cache.known, wish, console)
    if wish.check:
        scored = [(row.prompt, entry) for row in candidates if (entry := cache.known[row.digest]).certainty is not None]
        prompts, entries = zip(*scored, strict=True)
        check_scores(settings, prompts, entries, wish.ratio, wish.check, console)


def _settings(source: str, wish: Wish) -> Config:
    """The config that the options amount to."""
    return load.validate(
        {
            "model": {"path": wish.model, "chat_template_kwargs": _mapping(wish.chat_template_kwargs)},
            "data": {"train": source, "eval": source, "template": wish.template, "system": wish.system},
            "rollout": {"max_tokens": wish.max_tokens},
            "eval": {"per_prompt": ROLLOUTS},
            **({"reward": {"kind": wish.reward}} if wish.reward else {}),
        },
        "effrl score",
    )


def _target(config: DataConfig, wish: Wish) -> tuple[Target, str]:
    """What is scored, and why, where nobody said it."""
    if wish.target is not None:
        return wish.target, ""
    found = survey(config.train, config.form, work=True)
    return target_or_default(None, found.mostly_worked), f" ({worked(found.worked, found.labelled)})"


def _before(prefix: str) -> str:
    return f"after {prefix!r}" if prefix else "right after the prompt"


def cache_of(out: Path) -> Path:
    """Where what was scored for an output is kept."""
    return out.with_name(f"{out.name}.cache")


def _check_out(out: Path) -> None:
    if out.suffix not in FORMATS:
        raise UserError(f"--out {out}: give it a name that ends in {' or '.join(FORMATS)}")
    if not out.parent.is_dir():
        raise UserError(f"cannot write {out}: there is no directory {out.parent}")
    if out.exists() and not cache_of(out).exists():
        raise UserError(f"{out} exists, and not from this command: choose another --out, or delete it")


def _candidates(config: DataConfig, kind: Target) -> tuple[list[TargetedRow], int]:
    """Rows with a target, and the number of those without."""
    found, without = [], 0
    for row in read(config.train, config.form):
        target = target_of(kind, row.label, None)
        without += target is None
        if target is not None:
            found.append(TargetedRow(row.prompt, target))
    if not found:
        raise UserError(
            "no row has a label to score: name their key, for example effrl score 'rows.jsonl?label=answer'"
        )
    return found, without


def _mapping(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise UserError(
            f"--chat-template-kwargs {text} is not YAML: write a mapping, such as '{{enable_thinking: false}}'"
        ) from error


def _check_model(model: ModelFacts, arguments: Mapping[str, ChatArgument], candidates: Sequence[TargetedRow]) -> None:
    """Before any worker loads it."""
    messages = sum(not isinstance(candidate.content, str) for candidate in candidates)
    if messages and not model.has_chat_template:
        raise UserError(
            f"{messages:,} prompts are messages, but {model.path} has no chat template: use --template plain"
        )
    renderer = Renderer(load_tokenizer(model.path), arguments)
    if not renderer.tokenizer.is_fast:
        raise UserError(f"{model.path} has no fast tokenizer, and no other tells where tokens are: use another model")
    tried = Conversations()
    for candidate in candidates:
        tried.add(candidate.prompt)
    for prompt in tried.kept:
        try:
            renderer.text(prompt.content)
        except Malformed as problem:
            raise UserError(f"prompt {prompt.id}: {problem}") from problem


def _headline(source: str, wish: Wish, candidates: Sequence[TargetedRow], missing: Mapping[str, TargetedRow]) -> str:
    known = len({candidate.digest for candidate in candidates}) - len(missing)
    before = f" · {known:,} known from {cache_of(wish.out)}" if known else ""
    return f"effrl {effrl.__version__} · score · {source} · {wish.model} · {len(candidates):,} rows{before}"


def _score(
    questions: Sequence[TargetedRow],
    model: ModelFacts,
    key: ScoringKey,
    wish: Wish,
    cache: ScoreCache,
    console: Console,
) -> None:
    """Score what is missing, and keep each block as it comes: who stops here loses no more than what is under way."""
    from actors.data.scoring import PoolToScore, RowToScore
    from actors.data.scoring import score as scored_blocks
    from actors.session import ray_session

    pool = PoolToScore(
        str(model.path),
        key.prefix,
        model.context,
        wish.batch_tokens,
        wish.workers,
        wish.gpus,
        key.chat_template_kwargs,
    )
    columns = (TextColumn("scoring"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with ray_session(), Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(questions))
        try:
            for found in scored_blocks([RowToScore(entry.content, entry.target) for entry in questions], pool):
                cache.add({questions[row].digest: scored for row, scored in found.items()})
                progress.advance(task, len(found))
        except KeyboardInterrupt:
            console.print(f"{len(cache.known):,} rows are in {cache.path}: the same command goes on from there")
            raise


def _conclude(
    candidates: Sequence[TargetedRow], without: int, known: Mapping[str, ScoredPrompt], wish: Wish, console: Console
) -> None:
    """Choose the zone, write everything, and say it."""
    found = [(candidate, known[candidate.digest]) for candidate in candidates]
    scored = [
        (candidate.id, entry.normalised(wish.normalise), entry.tokens)
        for candidate, entry in found
        if entry.certainty is not None
    ]
    if not scored:
        raise UserError(f"every row is longer than the context of {wish.model} with its target: nothing is scored")
    certainties = np.array([certainty for _, certainty, _ in scored])
    chosen = zone(certainties, wish.ratio, wish.center)
    inside = set(chosen)
    rows = [
        {"id": name, "certainty": certainty, "score": value, "selected": place in inside, "target_tokens": tokens}
        for place, ((name, certainty, tokens), value) in enumerate(
            zip(scored, scores(certainties, wish.center).tolist(), strict=True)
        )
    ]
    _write(rows, wish.out)
    picture = wish.out.with_suffix(".png")
    draw(certainties.tolist(), [tokens for *_, tokens in scored], chosen, picture)
    low, high = certainties[chosen].min(), certainties[chosen].max()
    console.print(
        f"{len(rows):,} rows scored, certainty {certainties.mean():.3f} on average · {len(chosen):,} in the zone"
        f" [{low:.3f}, {high:.3f}]",
        highlight=False,
    )
    left_out = {"without a label": without, "longer than the context": len(found) - len(scored)}
    if told := ", ".join(f"{count:,} {what}" for what, count in left_out.items() if count):
        console.print(Text(f"left out: {told}", "yellow"))
    console.print(f"scores  {wish.out}\npicture {picture}", highlight=False, soft_wrap=True)


def _write(rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """The whole file, or none."""
    draft = out.with_name(f".{out.name}.draft")
    try:
        if out.suffix == ".parquet":
            import pyarrow
            from pyarrow import parquet

            parquet.write_table(pyarrow.Table.from_pylist(list(rows)), draft)
        else:
            draft.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
        draft.replace(out)
    except OSError as error:
        with suppress(FileNotFoundError):
            draft.unlink()
        raise UserError(f"cannot write {out} ({error.strerror or error}): choose another --out") from error
