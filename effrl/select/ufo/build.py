"""From a ``select: {kind: ufo}`` section to a selector, and what can be seen of it before a run."""

from collections.abc import Sequence

from effrl.config.schema import Config
from effrl.config.select import Target, TargetForm, UfoSelect, target_or_default
from effrl.data.survey import Survey
from effrl.errors import UserError
from effrl.seeds import derive
from effrl.select.control import ControlledSelector
from effrl.select.mixed import Make
from effrl.select.ufo.selector import UfoSelector
from effrl.select.ufo.zone import kept
from effrl.types import Prompt


def check_ufo(config: Config, select: UfoSelect, train: Survey) -> None:
    """See before anything is started that the zone fills a step: a smaller one would be widened in every step.

    Raises:
        UserError: it does not, or nothing says how an answer begins; one line that says what to change.
    """
    ufo_form(config, select, train)
    total = config.label.budget.total if select.buys_labels else None
    scored = min(train.labelled if select.buys_labels else train.rows, total or train.rows)
    if (size := kept(scored, select.ratio)) < config.rollout.prompts:
        raise UserError(
            f"select.ratio={select.ratio:g} keeps {size} of the {scored:,} prompts to score, fewer than a step draws"
            f" (rollout.prompts={config.rollout.prompts}): raise select.ratio, or lower rollout.prompts"
        )


def ufo_form(config: Config, select: UfoSelect, train: Survey) -> TargetForm:
    """What certainties of a run are of, by what its data are: a resume of the same data decides the same.

    Raises:
        UserError: an answer is scored, and nothing says what the policy writes before it.
    """
    target = target_or_default(select.target, train.mostly_worked)
    if (prefix := prefix_of(target, select.prefix, config)) is None:
        raise UserError(
            "neither data.template, data.system nor reward says how an answer begins: set select.prefix to what the"
            " policy writes before it, such as '#', or to '' where it begins with the answer"
        )
    return TargetForm(target, prefix, select.normalise)


def prefix_of(target: Target, given: str | None, config: Config) -> str | None:
    """What stands between prompt and target; nothing before what is no bare answer. None where nothing says."""
    if given is not None:
        return given
    return "" if target in ("full_solution", "own_sample") else config.opening


def told(config: Config, select: UfoSelect, train: Survey) -> str | None:
    """What was chosen of what the section leaves open, for the start of a run."""
    if select.target is not None:
        return None
    return f"select.target={ufo_form(config, select, train).target}: {worked(train.worked, train.labelled)}"


def worked(count: int, labels: int) -> str:
    """For people: ``4,096 of 4,096 labels are worked solutions``."""
    return f"{count:,} of {labels:,} labels are worked solutions"


def ufo(select: UfoSelect) -> Make:
    """Makes the selector of each pool."""

    def make(prompts: Sequence[Prompt], seed: int, share: float) -> ControlledSelector:
        assert select.center != "calibrated", "that is another selector (effrl.select.calibration)"
        zone = UfoSelector(prompts, seed, select.ratio, select.center, select.rescore_every, select.quota)
        return ControlledSelector(prompts, derive(seed, "control"), zone, select.control)

    return make
