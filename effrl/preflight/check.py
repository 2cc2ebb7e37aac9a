"""What can be found wrong before anything is started: data, labels, model and lengths, in seconds."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from effrl import plugins
from effrl.config.schema import Config
from effrl.data.survey import Survey, survey
from effrl.data.tokenizer import check_tokenizer, same_tokenizer
from effrl.errors import UserError
from effrl.models import ModelFacts, find_model
from effrl.preflight.model import check_trainable
from effrl.preflight.prompts import Limit, PromptCheck
from effrl.preflight.stages import check_stages, remarks
from effrl.select.build import notes as select_notes


@dataclass(frozen=True, slots=True)
class Measurable:
    """What an evaluation will work on."""

    model: ModelFacts
    context: int
    """Longest prompt plus completion, in tokens."""
    held_out: Mapping[str, Survey]
    """The evaluation sets by name."""
    notes: tuple[str, ...]
    """What the data decided, and what is legal and probably not meant, a line each."""


@dataclass(frozen=True, slots=True)
class Preflight(Measurable):
    """What a run will work on."""

    train: Survey
    judge: ModelFacts | None = None
    """What a PRM starts as, where that is not the policy's model."""


def check(config: Config) -> Preflight:
    """Look at everything a config names.

    Raises:
        UserError: one line about the first thing that is wrong, and what to do.
    """
    model = find_model(config.model.path)
    check_trainable(model)
    context = model.context_up_to(config.model.context)
    limit = Limit("rollout.max_tokens", config.rollout.max_tokens, context)
    _check_room(limit)
    _check_plugins(config)
    _check_stops(config, model)
    _check_parts(config, model)
    check_tokenizer(model.path, model.vocabulary)
    train = survey(config.data.train, config.data.form, config.select.asks_for_work)
    for part in config.parts:
        _check_labels(part, train)
    check_stages(config, train, model)
    prompts = PromptCheck(config, model)
    prompts.check("data.train", config.data.train, train, limit)
    held_out = _check_held_out(config, prompts, context)
    selecting = dict.fromkeys(line for part in config.parts for line in select_notes(part, train))
    notes = (*selecting, *remarks(config, train.rows), *prompts.notes())
    return Preflight(model, context, held_out, notes, train, _judge(config, model))


def check_evaluation(config: Config) -> Measurable:
    """Look at what an evaluation needs of a config; raises as :func:`check` does."""
    model, context = _sampled_model(config)
    if not config.data.held_out:
        raise UserError("there is nothing to evaluate on: set data.eval, for example data.eval=rows.jsonl?label=answer")
    prompts = PromptCheck(config, model)
    return Measurable(model, context, _check_held_out(config, prompts, context), prompts.notes())


def check_sampling(config: Config) -> Measurable:
    """Look at what sampling training prompts needs of a config; they are its only set, ``train``, labels or none."""
    model, context = _sampled_model(config)
    limit = Limit("rollout.max_tokens", config.rollout.max_tokens, context)
    _check_room(limit)
    prompts, train = PromptCheck(config, model), survey(config.data.train, config.data.form)
    prompts.check("data.train", config.data.train, train, limit)
    return Measurable(model, context, {"train": train}, prompts.notes())


def _judge(config: Config, policy: ModelFacts) -> ModelFacts | None:
    """The model that a PRM starts as; it must read the policy's tokens as the policy does."""
    if config.prm is None or config.prm.path is None:
        return None
    model = find_model(config.prm.path)
    check_trainable(model)
    if not same_tokenizer(model.path, policy.path):
        raise UserError(
            f"process.path={config.prm.path} has another tokenizer than model.path={config.model.path}, whose tokens it"
            " is to judge: choose a PRM that was made from that model"
        )
    return model


def _sampled_model(config: Config) -> tuple[ModelFacts, int]:
    """A model that is sampled and not trained, and its context."""
    model = find_model(config.model.path)
    context = model.context_up_to(config.model.context)
    _check_stops(config, model)
    _check_parts(config, model)
    check_tokenizer(model.path, model.vocabulary)
    return model, context


def _check_room(limit: Limit) -> None:
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
    if train.without_labels and config.label.buys and config.label.oracle.reads_data:
        where = "data.train" if train.labelled == 0 else f"{train.without_labels[0]} in data.train"
        raise UserError(
            f"label.kind={config.label.kind} buys labels, but no row of {where} has one: name their key, for example"
            f' data.train="{train.label_hint}"'
        )


def _check_held_out(config: Config, prompts: PromptCheck, context: int) -> dict[str, Survey]:
    """Every evaluation set; their labels must be there, or nothing could be scored."""
    limit = Limit("eval.max_tokens", config.eval_max_tokens, context)
    surveys = {}
    for name, source in config.data.held_out.items():
        _check_room(limit)
        field = config.data.eval_field(name)
        found = surveys[name] = survey(source, config.data.form)
        if found.labelled < found.rows:
            raise UserError(
                f"{found.rows - found.labelled} of {found.rows} rows of {field} have no label, and cannot be scored:"
                f' remove them, or name the key of labels, for example {field}="{found.label_hint}"'
            )
        prompts.check(field, source, found, limit)
    return surveys


def _check_parts(config: Config, model: ModelFacts) -> None:
    gpus = config.cluster.rollout.gpus
    if gpus > 1 and (heads := model.size("num_attention_heads")) % gpus:
        possible = ", ".join(str(number) for number in range(1, heads + 1) if heads % number == 0)
        raise UserError(
            f"{model.path} has {heads} attention heads, which {gpus} GPUs of an engine cannot share equally: set"
            f" cluster.rollout.gpus to one of {possible}"
        )


def _check_stops(config: Config, model: ModelFacts) -> None:
    """The engine refuses token ids outside of the vocabulary, but only when the first prompt is sampled."""
    size = model.vocabulary
    unknown = [stop for stop in config.rollout.stop if isinstance(stop, int) and size is not None and stop >= size]
    if unknown:
        raise UserError(
            f"rollout.stop: {unknown[0]} is no token id, the model's vocabulary has {size} tokens: write an id below"
            " that, or a text"
        )
