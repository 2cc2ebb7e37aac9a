"""What can be found wrong before anything is started: data, labels, model and lengths, in seconds."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from effrl import plugins
from effrl.advantage.build import advantages
from effrl.config.data import Source
from effrl.config.label import GoldLabel, PluginLabel, VoteLabel
from effrl.config.schema import Config
from effrl.config.select import CurriculumSelect, DotsSelect, PluginSelect, UfoSelect
from effrl.config.template import Form
from effrl.data.reader import Survey, read, size_of, survey
from effrl.data.render import render
from effrl.errors import UserError
from effrl.models import config_of, context_of, has_chat_template, locate, parameters_of
from effrl.select.curriculum import difficulty_of
from effrl.select.dots.build import check_dots
from effrl.select.ufo.zone import kept

_TEMPLATE_BYTES = 512
"""Room for what a chat template adds, when lengths are bounded without tokenising."""


@dataclass(frozen=True, slots=True)
class Measurable:
    """What an evaluation will work on."""

    model: Path
    parameters: int
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
    model = locate(config.model.path)
    context = _context(config, model)
    limit = _Limit("rollout.max_tokens", config.rollout.max_tokens, context)
    _check_room(limit)
    _check_plugins(config)
    _check_stops(config, model)
    train = survey(config.data.train, config.data.form)
    if train.without_labels and not isinstance(config.label, VoteLabel):
        where = "data.train" if train.labelled == 0 else f"{train.without_labels[0]} in data.train"
        raise UserError(
            f"label.kind={config.label.kind} buys labels, but no row of {where} has one: name their key, for example"
            ' data.train="file.jsonl?label=answer"'
        )
    _check_curriculum(config)
    _check_zone(config, train)
    if isinstance(config.select, DotsSelect):
        check_dots(config, config.select, train.labelled if isinstance(config.label, GoldLabel) else train.rows)
    _check_prompts(config, model, limit, "data.train", config.data.train, train)
    held_out = _check_held_out(config, model, context)
    return Preflight(model, parameters_of(model), context, held_out, train)


def check_evaluation(config: Config) -> Measurable:
    """Look at what an evaluation needs of a config; raises as :func:`check` does."""
    model = locate(config.model.path)
    context = _context(config, model)
    _check_stops(config, model)
    if not config.data.held_out:
        raise UserError("there is nothing to evaluate on: set data.eval, for example data.eval=rows.jsonl?label=answer")
    return Measurable(model, parameters_of(model), context, _check_held_out(config, model, context))


def _check_room(limit: _Limit) -> None:
    if limit.room <= 0:
        raise UserError(
            f"{limit.field} ({limit.max_tokens}) leaves no room for a prompt in the model's context of {limit.context}"
            " tokens: lower it"
        )


def _check_plugins(config: Config) -> None:
    plugins.search([os.getcwd()])
    advantages(config.advantage)
    for field, section in (("select.kind", config.select), ("label.kind", config.label)):
        if isinstance(section, PluginSelect | PluginLabel):
            plugins.load(field, section.kind)


def _check_curriculum(config: Config) -> None:
    if isinstance(config.select, CurriculumSelect):
        for row in read(config.data.train, config.data.form):
            difficulty_of(row.prompt, config.select.column)


def _check_zone(config: Config, train: Survey) -> None:
    """A zone smaller than a step would be widened in every step: then it is none."""
    if not isinstance(config.select, UfoSelect):
        return
    total = config.label.budget.total if config.select.buys_labels else None
    scored = min(train.labelled if config.select.buys_labels else train.rows, total or train.rows)
    if (size := kept(scored, config.select.ratio)) < config.rollout.prompts:
        raise UserError(
            f"select.ratio={config.select.ratio:g} keeps {size} of the {scored:,} prompts to score, fewer than"
            f" a step draws (rollout.prompts={config.rollout.prompts}): raise select.ratio, or lower rollout.prompts"
        )


def _context(config: Config, model: Path) -> int:
    if config.model.context is None:
        return context_of(model)
    made_for = config_of(model).get("max_position_embeddings")
    if made_for is not None and config.model.context > made_for:
        raise UserError(
            f"model.context ({config.model.context}) is more than the {made_for} tokens that the model was made for:"
            " lower it"
        )
    return config.model.context


def _check_held_out(config: Config, model: Path, context: int) -> dict[str, Survey]:
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


def _check_stops(config: Config, model: Path) -> None:
    """The engine refuses token ids outside of the vocabulary, but only when the first prompt is sampled."""
    size = config_of(model).get("vocab_size")
    unknown = [stop for stop in config.rollout.stop if isinstance(stop, int) and size is not None and stop >= size]
    if unknown:
        raise UserError(
            f"rollout.stop: {unknown[0]} is no token id, the model's vocabulary has {size} tokens: write an id below"
            " that, or a text"
        )


def _check_prompts(config: Config, model: Path, limit: _Limit, name: str, source: Source, found: Survey) -> None:
    """That the model can read the prompts of a source, and has room for them."""
    if found.conversations and not has_chat_template(model):
        raise UserError(
            f"{found.conversations} of {found.rows} prompts of {name} are messages, but model.path="
            f"{config.model.path} has no chat template: use another model, or write prompts as plain text"
            " (data.template=plain or question, no data.system)"
        )
    # A token takes at least one byte, so only a source with a prompt of too many bytes needs the tokenizer.
    if found.longest_bytes + _TEMPLATE_BYTES > limit.room:
        _tokenise_longest(name, source, config.data.form, model, limit)


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
