"""From a ``select: {kind: dots}`` section to selectors with predictors over embedded pools."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from effrl.config.schema import Config
from effrl.config.select import DotsSelect
from effrl.difficulty.embedding import POOLING
from effrl.errors import UserError
from effrl.models import ModelFacts, find_model, fingerprint, locate
from effrl.seeds import derive
from effrl.select.control import ControlledSelector
from effrl.select.dots.selector import DotsSelector, Predictor
from effrl.select.embedded import Note, embedded_pool
from effrl.select.mixed import Make
from effrl.types import Float32, Prompt

if TYPE_CHECKING:
    from effrl.difficulty.network import DifficultyNetwork


def check_dots(select: DotsSelect, prompts: int, policy: ModelFacts) -> None:
    """See before anything is started that references, embeddings and predictor fit.

    Args:
        select: the section.
        prompts: how many there are to choose from.
        policy: the model that embeds where ``select.embeddings`` names no other.

    Raises:
        UserError: more references than prompts, no such model, or a predictor of other embeddings.
    """
    pool = min(prompts, select.pool or prompts)
    if select.reference is not None and select.reference > pool:
        raise UserError(
            f"select.reference ({select.reference}) is more than the {pool} prompts to choose from: lower it"
        )
    model = find_model(select.embeddings) if select.embeddings else policy
    dimension = model.config.get("hidden_size")
    if select.predictor is not None and dimension is not None:
        _saved(select.predictor, model.path, dimension)


def dots(config: Config, select: DotsSelect, note: Note) -> Make:
    """Makes the selector of each pool; each is embedded, and has a predictor of its own."""
    model = locate(select.embeddings or config.model.path)

    def make(prompts: Sequence[Prompt], seed: int, share: float) -> ControlledSelector:
        limit = select.pool and max(1, round(select.pool * share))
        pool = embedded_pool(prompts, limit, model, POOLING, seed, note)
        zone = DotsSelector(
            pool.prompts,
            seed,
            _predictor(select, model, pool.rows, seed, config.rollout.per_prompt),
            reference=max(2, round(select.references(config.rollout.prompts) * share)),
            steps=select.steps,
            target=select.target,
            temperature=select.temperature,
            warmup=select.uniform_rounds,
            keep=select.keep,
            recent=select.recent,
            tries=config.rollout.per_prompt,
            quota=select.quota,
        )
        return ControlledSelector(pool.prompts, derive(seed, "control"), zone, select.control)

    return make


def _predictor(select: DotsSelect, model: Path, rows: Float32, seed: int, tries: int) -> Predictor:
    """A saved network, or one that is fitted at the beginning of each round."""
    from effrl.difficulty.online import Refitting
    from effrl.difficulty.predictor import DifficultyPredictor

    if select.predictor is None:
        return Refitting(rows, select, derive(seed, "fit"), tries)
    saved = DifficultyPredictor(_saved(select.predictor, model, rows.shape[1]), rows, select.posthoc, tries)
    return lambda rounds: saved


def _saved(path: Path, model: Path, dimension: int) -> "DifficultyNetwork":
    from effrl.difficulty.saved import load

    network, _ = load(path, fingerprint(model), POOLING, dimension)
    return network
