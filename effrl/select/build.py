"""From a config's ``select`` section to the selector it names, and what can be seen of it before a run."""

from collections.abc import Sequence

import numpy as np

from effrl import plugins
from effrl.columns import difficulty_of
from effrl.config.schema import Config
from effrl.config.select import (
    AdaRftSelect,
    BandSelect,
    CalibratedSelect,
    CuresSelect,
    CurriculumSelect,
    DotsSelect,
    GresoSelect,
    PerplexitySelect,
    PluginSelect,
    TargetForm,
    ThompsonSelect,
    UfoSelect,
    UniformSelect,
)
from effrl.data.survey import Survey
from effrl.errors import UserError
from effrl.models import ModelFacts
from effrl.protocols import Selector
from effrl.select.adarft import LARGEST, AdaRftSelector
from effrl.select.band import BandSelector
from effrl.select.calibration import calibrated, calibrated_ufo
from effrl.select.cures import Allocation, CuresSelector
from effrl.select.curriculum import CurriculumSelector, check_curriculum
from effrl.select.dots.build import check_dots, dots
from effrl.select.embedded import Note
from effrl.select.greso import GresoSelector
from effrl.select.mixed import Make, Pools, mixed, uniform
from effrl.select.perplexity import PerplexitySelector
from effrl.select.thompson import ThompsonSelector
from effrl.select.ufo.build import check_ufo, told, ufo, ufo_form
from effrl.types import Float64, Prompt


def selector(config: Config, pools: Pools, note: Note) -> Selector:
    """The selector of a run, over one pool, or over several with weights; ``note`` gets a line on what took time.

    Raises:
        UserError: a selector of the user's own cannot be loaded, or a prompt lacks the column of a curriculum.
    """
    seed = config.run.seed
    match config.select:
        case UniformSelect():
            return uniform(pools, seed)
        case BandSelect() as band:
            return mixed(pools, seed, _band(band))
        case CurriculumSelect() as curriculum:
            draws = sum(config.fresh_at(step) for step in range(1, config.run.steps + 1))
            return mixed(pools, seed, _curriculum(curriculum, draws))
        case ThompsonSelect() as thompson:
            return mixed(pools, seed, _thompson(thompson))
        case GresoSelect() as greso:
            return mixed(pools, seed, _greso(greso))
        case AdaRftSelect() as adarft:
            return mixed(pools, seed, _adarft(adarft))
        case CuresSelect() as cures:
            return mixed(pools, seed, _cures(cures, config.rollout.per_prompt))
        case PerplexitySelect(candidates=factor):
            last = config.run.steps
            return mixed(pools, seed, _perplexity(factor * config.fresh_at(last), last))
        case UfoSelect(center="calibrated") as section:
            return mixed(pools, seed, calibrated(config, calibrated_ufo(section), note, certainties=True))
        case UfoSelect() as section:
            return mixed(pools, seed, ufo(section))
        case DotsSelect() as section:
            return mixed(pools, seed, dots(config, section, note))
        case CalibratedSelect() as section:
            return mixed(pools, seed, calibrated(config, section, note))
        case PluginSelect(kind=kind):
            prompts = [prompt for _, part in pools for prompt in part]
            made: Selector = plugins.load("select.kind", kind)(prompts, seed)
            return made


def check(config: Config, train: Survey, model: ModelFacts) -> None:
    """See before anything is started that the selector can work with the data and the model that were found.

    Raises:
        UserError: it cannot; one line that says what to change.
    """
    match config.select:
        case CurriculumSelect(column=column):
            check_curriculum(config.data, column)
        case AdaRftSelect(difficulty=column) if column != "base":
            check_curriculum(config.data, column, "select.difficulty")
        case CuresSelect(least=least):
            _check_sizes(config, least)
        case UfoSelect() as select:
            check_ufo(config, select, train)
        case DotsSelect() as select:
            check_dots(select, train.labelled if config.label.buys_all else train.rows, model)


def notes(config: Config, train: Survey) -> tuple[str, ...]:
    """What the selector makes of the data where the config leaves it open, a line each."""
    line = told(config, config.select, train) if isinstance(config.select, UfoSelect) else None
    return (line,) if line else ()


def form_of(config: Config, train: Survey) -> TargetForm:
    """What certainties of a run are of; raises as :func:`effrl.select.ufo.build.ufo_form`.

    A selector of the user's own that asks for certainties gets those of final answers, where all labels are bought, and
    of votes elsewhere.
    """
    if isinstance(config.select, UfoSelect):
        return ufo_form(config, config.select, train)
    return TargetForm("final_answer" if config.label.buys_all else "pseudo_answer", config.opening or "")


def _band(config: BandSelect) -> Make:
    def make(prompts: Sequence[Prompt], seed: int, share: float) -> Selector:
        return BandSelector(prompts, seed, config.low, config.high, config.rest)

    return make


def _curriculum(config: CurriculumSelect, draws: int) -> Make:
    def make(prompts: Sequence[Prompt], seed: int, share: float) -> Selector:
        return CurriculumSelector(prompts, seed, config.column, max(1, round(config.grow * draws * share)))

    return make


def _greso(config: GresoSelect) -> Make:
    def make(prompts: Sequence[Prompt], seed: int, share: float) -> Selector:
        return GresoSelector(prompts, seed, config.p, config.step, config.bounds, config.easy, config.hard)

    return make


def _adarft(config: AdaRftSelect) -> Make:
    def make(prompts: Sequence[Prompt], seed: int, share: float) -> Selector:
        known = None if config.difficulty == "base" else _scaled(prompts, config.difficulty)
        return AdaRftSelector(prompts, seed, config.target, config.sensitivity, config.step, config.no_repeat, known)

    return make


def _scaled(prompts: Sequence[Prompt], column: str) -> Float64:
    """[N] a column of the data, from 0 for the pool's easiest to the largest difficulty for its hardest."""
    told = np.array([difficulty_of(prompt, column, "select.difficulty") for prompt in prompts])
    return np.asarray(LARGEST * (told - told.min()) / max(np.ptp(told), 1e-12))


def _cures(config: CuresSelect, mean: int) -> Make:
    allocation = Allocation(mean, config.least, config.most)

    def make(prompts: Sequence[Prompt], seed: int, share: float) -> Selector:
        return CuresSelector(prompts, seed, config.tau, config.memory, allocation)

    return make


def _perplexity(candidates: float, steps: int) -> Make:
    def make(prompts: Sequence[Prompt], seed: int, share: float) -> Selector:
        return PerplexitySelector(prompts, seed, max(1, round(candidates * share)), steps)

    return make


def _check_sizes(config: Config, least: int) -> None:
    """Groups of unequal sizes must suit the labeller, and leave something to share out."""
    needed, mean = config.label.least_rollouts, config.rollout.per_prompt
    if config.label.equal_groups:
        raise UserError(
            "select.kind=cures gives groups numbers of rollouts of their own, and label.buy.kind=care and"
            " label.rest.kind=gate know groups of rollout.per_prompt: take another selector"
        )
    if not needed <= least <= mean:
        raise UserError(
            f"select.least ({least}) is the smallest group: it must be at most rollout.per_prompt ({mean}), the mean,"
            f" and at least what the labeller needs ({needed})"
        )


def _thompson(config: ThompsonSelect) -> Make:
    def make(prompts: Sequence[Prompt], seed: int, share: float) -> Selector:
        return ThompsonSelector(prompts, seed, config.target, config.prior, config.memory)

    return make
