"""Who judges solutions: the implicit PRM of a run, and what can be found wrong with it before anything is started."""

from dataclasses import dataclass, replace
from pathlib import Path

from effrl.config.load import load
from effrl.config.process import ImplicitPrm
from effrl.config.schema import Config
from effrl.data.tokenizer import same_tokenizer
from effrl.errors import UserError
from effrl.models import locate, read_model
from effrl.preflight.check import Measurable
from effrl.run.trained import Trained, find


@dataclass(frozen=True, slots=True)
class Judge:
    """What it takes to score solutions as a run's PRM does."""

    name: str
    """For people: ``runs/demo, step 20 (the newest)``."""
    prm: Path
    """Directory of the model."""
    reference: Path
    """Directory of the model that it is compared with."""
    process: ImplicitPrm
    """Of the run: how log-ratios become rewards; and where the steps of what is sampled end."""
    temperature: float
    """At which the run sampled: log-probs are of logits divided by it."""
    dtype: str


def find_judge(path: Path, evaluated: Config, found: Measurable) -> Judge:
    """The PRM of a run, or of one of its checkpoints, as a judge of what another model samples.

    It is that of the checkpoint that an evaluation of the run would take.

    Args:
        path: the run, or the checkpoint.
        evaluated: the evaluation's config; its ``process.separator`` counts where it is set, else that of the run.
        found: what is evaluated.

    Raises:
        UserError: there is no such run, it has no PRM, a file is damaged, its PRM reads other tokens than the model
            that is evaluated writes, or it was made for shorter texts.
    """
    judge = judge_of(path)
    for model in (judge.prm, judge.reference):
        _check_context(model, found.context)
    if not same_tokenizer(judge.prm, found.model.path):
        raise UserError(
            f"the PRM of --prm {path} has another tokenizer than {found.model.path}, whose tokens it is to judge:"
            " evaluate a model of its family, such as the one that its run trained"
        )
    return replace(judge, process=judge.process.model_copy(update=_separator(evaluated)))


def judge_of(path: Path) -> Judge:
    """The PRM of a run, or of one of its checkpoints, as a judge of texts that it has the context for.

    Raises:
        UserError: there is no such run, it has no PRM, or a file is damaged.
    """
    trained = find(path)
    if trained is None:
        raise UserError(f"--prm {path} is neither a run nor a checkpoint: give runs/NAME, or one of its checkpoints")
    if not trained.run.config.is_file():
        raise UserError(f"--prm {path}: {trained.run.config} is missing, which says what its rewards mean: restore it")
    config = load(str(trained.run.config))
    prm = trained.prm()
    if config.prm is None or prm is None:
        raise UserError(f"--prm {path} has no implicit PRM: name a run that was trained with process.kind=implicit_prm")
    reference = _reference(trained, config, config.prm)
    return Judge(trained.name, prm, reference, config.prm, config.rollout.temperature, config.model.dtype)


def _separator(evaluated: Config) -> dict[str, str]:
    """Where an evaluation says how its solutions are written."""
    process = evaluated.prm
    return {"separator": process.separator} if process and "separator" in process.model_fields_set else {}


def _reference(trained: Trained, config: Config, process: ImplicitPrm) -> Path:
    """What the PRM is read against: the model that the run began with, or the policy that it was trained beside."""
    if process.reference == "policy":
        return trained.model
    try:
        return locate(config.model.path)
    except UserError as error:
        raise UserError(
            f"the PRM of {trained.name} is read against the model that the run began with: {error}"
        ) from error


def _check_context(model: Path, context: int) -> None:
    made_for = read_model(model).config.get("max_position_embeddings")
    if made_for is not None and made_for < context:
        raise UserError(
            f"{model} was made for {made_for} tokens, and the model that is evaluated has a context of {context}:"
            f" set model.context={made_for}"
        )
