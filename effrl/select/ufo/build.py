"""From a ``select: {kind: ufo}`` section to a selector, and what can be seen of it before a run."""

from collections.abc import Sequence

from effrl.config.schema import Config
from effrl.config.select import UfoSelect
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
        UserError: it does not; one line that says what to change.
    """
    total = config.label.budget.total if select.buys_labels else None
    scored = min(train.labelled if select.buys_labels else train.rows, total or train.rows)
    if (size := kept(scored, select.ratio)) < config.rollout.prompts:
        raise UserError(
            f"select.ratio={select.ratio:g} keeps {size} of the {scored:,} prompts to score, fewer than a step draws"
            f" (rollout.prompts={config.rollout.prompts}): raise select.ratio, or lower rollout.prompts"
        )


def ufo(select: UfoSelect) -> Make:
    """Makes the selector of each pool."""

    def make(prompts: Sequence[Prompt], seed: int, share: float) -> ControlledSelector:
        zone = UfoSelector(prompts, seed, select.ratio, select.center, select.rescore_every, select.quota)
        return ControlledSelector(prompts, derive(seed, "control"), zone, select.control)

    return make
