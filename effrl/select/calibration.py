"""From a ``select: {kind: calibrated}`` section to selectors over embedded pools."""

from collections.abc import Sequence

from effrl.config.schema import Config
from effrl.config.select import CalibratedSelect, UfoSelect
from effrl.difficulty.calibrated import CalibratedPredictor
from effrl.models import locate
from effrl.seeds import derive
from effrl.select.calibrated import CalibratedSelector, NearTarget
from effrl.select.control import ControlledSelector
from effrl.select.embedded import Note, embedded_pool
from effrl.select.mixed import Make
from effrl.types import Prompt


def calibrated(config: Config, select: CalibratedSelect, note: Note, certainties: bool = False) -> Make:
    """Makes the selector of each pool; each is embedded, and measures prompts of its own."""
    model = locate(select.embeddings or config.model.path)

    def make(prompts: Sequence[Prompt], seed: int, share: float) -> ControlledSelector:
        limit = select.pool and max(1, round(select.pool * share))
        pool = embedded_pool(prompts, limit, model, "layers", seed, note)
        aim = NearTarget(
            reference=max(2, round(select.reference * share)),
            target=select.target,
            temperature=select.temperature,
            keep=select.keep,
            rest=select.rest,
            candidates=select.candidates,
            quota=select.quota,
        )
        zone = CalibratedSelector(pool.prompts, seed, CalibratedPredictor(pool.rows), aim, certainties)
        return ControlledSelector(pool.prompts, derive(seed, "control"), zone, select.control)

    return make


def calibrated_ufo(select: UfoSelect) -> CalibratedSelect:
    """The section that ``select: {kind: ufo, center: calibrated}`` stands for; certainties come besides."""
    return CalibratedSelect(control=select.control, quota=select.quota)
