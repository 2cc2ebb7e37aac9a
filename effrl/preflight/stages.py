"""What can be seen of a run's stages before anything is started: how long each is at most, and what is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass

from effrl.config.schema import Config
from effrl.data.survey import Survey
from effrl.label.easyrl.reflection import Reflector
from effrl.models import ModelFacts
from effrl.select.build import check as check_select
from effrl.select.curriculum import check_curriculum
from effrl.stages import TRAIN, stretches

MANY = 20
"""Draws of one prompt in one stage after which somebody may have meant a shorter one."""


@dataclass(frozen=True, slots=True)
class PlannedStage:
    """A stage, or a round of one."""

    name: str
    config: Config
    """Its own, with its length, at most, as ``run.steps``."""
    pool: int
    """Prompts that it draws from, at most."""
    asked: int = 0
    """Rollouts and reflections of prompts that the model labels before, at most."""
    labelled: tuple[int, int] | None = None
    """Easy prompts and others whose label it may buy; None where that is no matter of stages."""
    gold: int = 0
    """Easy prompts whose labels are bought whatever its ``label`` is: the gold of a pool that the model labels."""


def planned(config: Config, prompts: int) -> list[PlannedStage]:
    """The stages of a run over so many prompts; of a run without stages, the run."""
    if not config.stages:
        return [PlannedStage(TRAIN, config, prompts)]
    easy = config.split.count(prompts)
    found = []
    for stretch in stretches(config.stages):
        pool, parts = stretch.stage.pool, (easy, prompts - easy)
        size = pool.largest(*parts)
        own = config.of(stretch.stage, size)
        gold = easy if stretch.stage.learns_labels and pool.splits else 0
        found.append(PlannedStage(stretch.name, own, size, pool.asks(*parts), pool.labelled(*parts), gold))
    return found


def check_stages(config: Config, train: Survey, model: ModelFacts) -> None:
    """See that every stage can work with the data and the model that were found.

    Raises:
        UserError: one cannot; one line that says what to change.
    """
    for part in config.parts:
        check_select(part, train, model)
    if config.split.by == "column" and any(stage.pool.splits for stage in config.stages):
        check_curriculum(config.data, config.split.column, "easy.column")
    for stage in config.stages:
        if stage.learns_labels and stage.learns_labels.reflection:
            Reflector.of(stage.learns_labels.reflection)


def remarks(config: Config, prompts: int) -> Iterator[str]:
    """A line on what is legal and probably not meant: stages for which the run has no steps, and one that draws its
    whole pool many times over."""
    if not config.stages:
        return
    stages = planned(config, prompts)
    total = sum(stage.config.run.steps for stage in stages)
    if total > config.run.steps:
        yield f"run.steps ({config.run.steps}) ends the run before its stages do, which have up to {total} steps"
    for stage in stages:
        laps = stage.config.run.steps * stage.config.rollout.prompts / stage.pool
        if laps > MANY:
            yield f"stage {stage.name} draws each of its {stage.pool:,} prompts about {laps:.0f} times"
