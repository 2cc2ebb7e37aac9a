"""What can be found wrong before anything is started: data, labels, model and lengths, in seconds."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from effrl import plugins
from effrl.config.data import Source
from effrl.config.schema import Config
from effrl.config.template import Form
from effrl.data.reader import Survey, read, size_of, survey
from effrl.data.render import render
from effrl.errors import UserError
from effrl.models import ModelFacts, find_model
from effrl.select.build import check as check_select

_TEMPLATE_BYTES = 512
"""Room for what a chat template adds, when lengths are bounded without tokenising."""


@dataclass(frozen=True, slots=True)
class Measurable:
    """What an evaluation will work on."""

    model: ModelFacts
    context: int
    """Longest prompt plus completion, in tokens."""
    held_out: Mapping[str, Survey]
    """The evaluation sets by name."""


@dataclass(frozen=True, slots=True)
class Preflight(Measurable):
    """What a run will work on."""

    train: Survey


@dataclass(frozen=True, slots=True)
class _Limit:
    """A field that leaves the rest of the context to prompts."""

    field: str
    max_tokens: int
    context: int

    @property
    def room(self) -> int:
        """Longest prompt, in tokens."""
        return self.context - self.max_tokens


def check(config: Config) -> Preflight:
    """Look at everything a config names.

    Raises:
        UserError: one line about the first thing that is wrong, and what to do.
    """
    model = find_model(config.model.path)
    context = model.context_up_to(config.model.context)
    limit = _Limit("rollout.max_tokens", config.rollout.max_tokens, context)
    _check_room(limit)
    _check_plugins(config)
    _check_stops(config, model)
    train = survey(config.data.train, config.data.form)
    _check_labels(config, train)
    check_select(config, train, model)
    _check_prompts(config, model, limit, "data.train", config.data.train, train)
    return Preflight(model, context, _check_held_out(config, model, context), train)


def check_evaluation(config: Config) -> Measurable:
    """Look at what an evaluation needs of a config; raises as :func:`check` does."""
    model = find_model(config.model.path)
    context = model.context_up_to(config.model.context)
    _check_stops(config, model)
    if not config.data.held_out:
        raise UserError("there is nothing to evaluate on: set data.eval, for example data.eval=rows.jsonl?label=answer")
    return Measurable(model, context, _check_held_out(config, model, context))


def _check_room(limit: _Limit) -> None:
    if limit.room <= 0:
        raise UserError(
            f"{limit.field} ({limit.max_tokens}) leaves no room for a prompt in the model's context of {limit.context}"
            " tokens: lower it"
        )


def _check_plugins(config: Config) -> None:
    """That the user's own code can be imported; a reward's is left to its worker, since importing it may hang."""
    plugins.search([os.getcwd()])
    for field, path in config.plugins.items():
        plugins.load(field, path)


def _check_labels(config: Config, train: Survey) -> None:
    if train.without_labels and config.label.buys:
        where = "data.train" if train.labelled == 0 else f"{train.without_labels[0]} in data.train"
        raise UserError(
            f"label.kind={config.label.kind} buys labels, but no row of {where} has one: name their key, for example"
            ' data.train="file.jsonl?label=answer"'
        )


def _check_held_out(config: Config, model: ModelFacts, context: int) -> dict[str, Survey]:
    """Every evaluation set; their labels must be there, or nothing could be scored."""
    limit = _Limit("eval.max_tokens", config.eval_max_tokens, context)
    surveys = {}
    for name, source in config.data.held_out.items():
        _check_room(limit)
        field = config.data.eval_field(name)
        found = surveys[name] = survey(source, config.data.form)
        if found.labelled < found.rows:
            raise UserError(
                f"{found.rows - found.labelled} of {found.rows} rows of {field} have no label, and cannot be scored:"
                f' remove them, or name the key of labels, for example {field}="file.jsonl?label=answer"'
            )
        _check_prompts(config, model, limit, field, source, found)
    return surveys


def _check_stops(config: Config, model: ModelFacts) -> None:
    """The engine refuses token ids outside of the vocabulary, but only when the first prompt is sampled."""
    size = model.config.get("vocab_size")
    unknown = [stop for stop in config.rollout.stop if isinstance(stop, int) and size is not None and stop >= size]
    if unknown:
        raise UserError(
            f"rollout.stop: {unknown[0]} is no token id, the model's vocabulary has {size} tokens: write an id below"
            " that, or a text"
        )


def _check_prompts(config: Config, model: ModelFacts, limit: _Limit, name: str, source: Source, found: Survey) -> None:
    """That the model can read the prompts of a source, and has room for them."""
    if found.conversations and not model.has_chat_template:
        raise UserError(
            f"{found.conversations} of {found.rows} prompts of {name} are messages, but model.path="
            f"{config.model.path} has no chat template: use another model, or write prompts as plain text"
            " (data.template=plain or question, no data.system)"
        )
    # A token takes at least one byte, so only a source with a prompt of too many bytes needs the tokenizer.
    if found.longest_bytes + _TEMPLATE_BYTES > limit.room:
        _tokenise_longest(name, source, config.data.form, model.path, limit)


def _tokenise_longest(name: str, source: Source, form: Form, model: Path, limit: _Limit) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    for row in read(source, form):
        if size_of(row.prompt) + _TEMPLATE_BYTES <= limit.room:
            continue
        length = len(render(tokenizer, row.prompt.content))
        if length > limit.room:
            raise UserError(
                f"{name}: prompt {row.prompt.id} has {length} tokens; with {limit.field}={limit.max_tokens} the context"
                f" of {limit.context} leaves {limit.room}: shorten or remove it, or lower {limit.field}"
            )
