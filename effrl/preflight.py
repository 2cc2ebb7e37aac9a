"""What can be found wrong before anything is started: data, labels, model and lengths, in seconds."""

import os
from dataclasses import dataclass
from pathlib import Path

from effrl import plugins
from effrl.advantage.build import advantages
from effrl.config import Config, Source
from effrl.data.reader import Survey, read, size_of, survey
from effrl.data.render import render
from effrl.data.template import Form
from effrl.errors import UserError
from effrl.kinds import CurriculumSelect, PluginLabel, PluginSelect, VoteLabel
from effrl.models import config_of, context_of, has_chat_template, locate, parameters_of
from effrl.select.curriculum import difficulty_of

_TEMPLATE_BYTES = 512
"""Room for what a chat template adds, when lengths are bounded without tokenising."""


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a run will work on."""

    model: Path
    parameters: int
    context: int
    """Longest prompt plus completion, in tokens."""
    train: Survey
    held_out: Survey | None


def check(config: Config) -> Preflight:
    """Look at everything a config names.

    Raises:
        UserError: one line about the first thing that is wrong, and what to do.
    """
    advantages(config.advantage)  # of your own: is it there?
    model = locate(config.model.path)
    context = _context(config, model)
    if config.rollout.max_tokens >= context:
        raise UserError(
            f"rollout.max_tokens ({config.rollout.max_tokens}) leaves no room for a prompt in the model's context of"
            f" {context} tokens: lower it"
        )
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
    held_out = _survey_held_out(config)
    surveys = {"data.train": train, "data.eval": held_out}
    _check_conversations(config, model, surveys)
    _check_lengths(config, model, context, surveys)
    return Preflight(model, parameters_of(model), context, train, held_out)


def _check_plugins(config: Config) -> None:
    plugins.search([os.getcwd()])
    for field, section in (("select.kind", config.select), ("label.kind", config.label)):
        if isinstance(section, PluginSelect | PluginLabel):
            plugins.load(field, section.kind)


def _check_curriculum(config: Config) -> None:
    if isinstance(config.select, CurriculumSelect):
        for row in read(config.data.train, config.data.form):
            difficulty_of(row.prompt, config.select.column)


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


def _survey_held_out(config: Config) -> Survey | None:
    if config.data.eval is None:
        return None
    held_out = survey(config.data.eval, config.data.form)
    if held_out.labelled < held_out.rows:
        raise UserError(
            f"{held_out.rows - held_out.labelled} of {held_out.rows} rows of data.eval have no label, and cannot be"
            ' scored: remove them, or name the key of labels, for example data.eval="file.jsonl?label=answer"'
        )
    return held_out


def _check_stops(config: Config, model: Path) -> None:
    """The engine refuses token ids outside of the vocabulary, but only when the first prompt is sampled."""
    size = config_of(model).get("vocab_size")
    unknown = [stop for stop in config.rollout.stop if isinstance(stop, int) and size is not None and stop >= size]
    if unknown:
        raise UserError(
            f"rollout.stop: {unknown[0]} is no token id, the model's vocabulary has {size} tokens: write an id below"
            " that, or a text"
        )


def _check_conversations(config: Config, model: Path, surveys: dict[str, Survey | None]) -> None:
    for name, found in surveys.items():
        if found is not None and found.conversations and not has_chat_template(model):
            raise UserError(
                f"{found.conversations} of {found.rows} prompts of {name} are messages, but model.path="
                f"{config.model.path} has no chat template: use another model, or write prompts as plain text"
                " (data.template=plain or question, no data.system)"
            )


def _check_lengths(config: Config, model: Path, context: int, surveys: dict[str, Survey | None]) -> None:
    """A token takes at least one byte, so only sources with a prompt of too many bytes need the tokenizer."""
    limit = context - config.rollout.max_tokens
    sources = {"data.train": config.data.train, "data.eval": config.data.eval}
    for name, found in surveys.items():
        source = sources[name]
        if found is not None and source is not None and found.longest_bytes + _TEMPLATE_BYTES > limit:
            _tokenise_longest(name, source, config.data.form, model, limit, config.rollout.max_tokens, context)


def _tokenise_longest(
    name: str, source: Source, form: Form, model: Path, limit: int, max_tokens: int, context: int
) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    for row in read(source, form):
        if size_of(row.prompt) + _TEMPLATE_BYTES <= limit:
            continue
        length = len(render(tokenizer, row.prompt.content))
        if length > limit:
            raise UserError(
                f"{name}: prompt {row.prompt.id} has {length} tokens; with rollout.max_tokens={max_tokens} the context"
                f" of {context} leaves {limit}: shorten or remove it, or lower rollout.max_tokens"
            )
