"""A study: a grid of family x arm x seed over one recipe, read from a strict YAML file. Each cell is one training run.

Seeds are paired: ``run.seed`` fixes the order of the data, the sampling and the evaluation, so the arms of a family
differ, for the same seed, in nothing but their overrides.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self, TypeVar

import yaml
from pydantic import AfterValidator, Field, ValidationError, model_validator

from effrl.config.load import load
from effrl.config.schema import Config
from effrl.config.section import Section
from effrl.errors import UserError

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_]+([-.][A-Za-z0-9_]+)*$")]
"""Safe in a file name, and without the ``--`` that separates the names there."""

T = TypeVar("T", str, int)
_RESERVED = ("run", "run.dir", "run.seed")


def _not_reserved(override: str) -> str:
    """Seeds belong to the study: an arm with a seed of its own would not be paired."""
    path = override.partition("=")[0]
    if path in _RESERVED:
        raise ValueError(f"{path} is set by the study for each cell: take {override!r} out")
    return override


def _distinct(seeds: tuple[int, ...]) -> tuple[int, ...]:
    """A seed that is named twice would count as two observations."""
    if len(set(seeds)) < len(seeds):
        raise ValueError("name each seed once")
    return seeds


Override = Annotated[str, AfterValidator(_not_reserved)]
Overrides = tuple[Override, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One training run of a study."""

    family: str
    arm: str
    seed: int

    @property
    def name(self) -> str:
        """Unique within the study: ``chain--grpo--1``."""
        return f"{self.family}--{self.arm}--{self.seed}"


class Curve(Section):
    """Arms that differ in how much of something they get: their final values make a curve."""

    over: str
    """What the axis shows: ``share of labels bought``."""
    series: Annotated[dict[Name, dict[float, Name]], Field(min_length=1)]
    """Name of each line, and its arms by their place on the axis."""
    ends: dict[float, Name] = Field(default_factory=dict)
    """Arms that belong to every line, such as those with nothing and with everything."""

    @property
    def arms(self) -> set[str]:
        """Every arm on the curve."""
        return {arm for line in (*self.series.values(), self.ends) for arm in line.values()}


class Study(Section):
    """What is compared with what."""

    name: Name
    """Folder of the results."""
    purpose: str
    """The question that the study answers; the report begins with it."""
    recipe: str
    """A recipe's name, or a YAML file relative to the working directory."""
    needs: dict[Path, str] = Field(default_factory=dict)
    """Files that do not come with the repository, relative to the working directory, and what makes each of them."""
    overrides: Overrides = ()
    """Dotted overrides of every cell: ``run.steps=100``."""
    families: Annotated[dict[Name, Overrides], Field(min_length=1)]
    """Families of tasks, each with its own overrides, such as data sources and the learning rate tuned for it."""
    arms: Annotated[dict[Name, Overrides], Field(min_length=1)]
    """What is compared, each arm with the overrides that make it; they win over the family's."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1), AfterValidator(_distinct)]
    """Seeds of every arm in every family."""
    fewer: dict[Name, Annotated[tuple[int, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Arms that get some of the seeds only."""
    baseline: str
    """The arm that differences are taken to."""
    ceiling: str | None = None
    """The arm that shows how much can be gained over the baseline; the report gives every arm's share of that."""
    also_after: tuple[int, ...] = ()
    """Steps before the last one after which the arms are compared too: one run is as good as two."""
    metric: Annotated[str, Field(pattern="^eval/")] = "eval/accuracy"
    """The evaluation metric that is compared; higher is better."""

    curve: Curve | None = None
    """Drawn per family, where arms lie on one."""
    savings: Annotated[float, Field(gt=0, le=1)] | None = None
    """The report tells what each arm needs for this share of the baseline's gain."""

    @model_validator(mode="after")
    def _baseline_is_an_arm(self) -> Self:
        if self.baseline not in self.arms:
            raise ValueError(f"baseline {self.baseline!r} is no arm; name one of: {', '.join(self.arms)}")
        if unknown := ({self.ceiling} - {None} | self.fewer.keys()) - self.arms.keys():
            raise ValueError(f"{', '.join(sorted(map(str, unknown)))} is no arm; name one of: {', '.join(self.arms)}")
        if strange := set().union(*self.fewer.values()) - set(self.seeds):
            raise ValueError(f"fewer: {', '.join(map(str, sorted(strange)))} is none of the study's seeds")
        if self.curve and (unknown := self.curve.arms - self.arms.keys()):
            raise ValueError(f"curve: {', '.join(sorted(unknown))} is no arm; name one of: {', '.join(self.arms)}")
        return self

    def check_needs(self) -> None:
        """Look for the files that cells need.

        Raises:
            UserError: some are missing; says what makes them.
        """
        if missing := {path: command for path, command in self.needs.items() if not path.exists()}:
            paths, commands = ", ".join(map(str, missing)), " && ".join(missing.values())
            raise UserError(f"{self.name} is skipped: it needs {paths}, made by {commands}")

    def cells(self) -> list[Cell]:
        """Every cell, all arms of a seed next to each other: an unfinished study has pairs to compare."""
        return [
            Cell(family, arm, seed)
            for family in self.families
            for seed in self.seeds
            for arm in self.arms
            if seed in self.fewer.get(arm, self.seeds)
        ]

    def overrides_of(self, cell: Cell) -> list[str]:
        """Overrides of a cell in the order in which they are applied."""
        return [*self.overrides, *self.families[cell.family], *self.arms[cell.arm], f"run.seed={cell.seed}"]

    def config(self, cell: Cell) -> Config:
        """The config of a cell, without a run directory.

        Raises:
            UserError: the recipe is missing, or an override does not fit it.
        """
        try:
            return load(self.recipe, self.overrides_of(cell))
        except UserError as error:
            raise UserError(f"{cell.name}: {error}") from error

    def select(self, family: str | None = None, arm: str | None = None, seeds: list[int] | None = None) -> list[Cell]:
        """The cells of one family, one arm or some seeds; of all, where nothing is asked for.

        Raises:
            UserError: the study has no such family, arm or seed.
        """
        families = _chosen("family", list(self.families), None if family is None else [family])
        arms = _chosen("arm", list(self.arms), None if arm is None else [arm])
        numbers = _chosen("seed", list(self.seeds), seeds)
        return [cell for cell in self.cells() if cell.family in families and cell.arm in arms and cell.seed in numbers]


def _chosen(what: str, known: list[T], asked: list[T] | None) -> list[T]:
    for name in asked or ():
        if name not in known:
            raise UserError(f"the study has no {what} {name}; it has: {', '.join(map(str, known))}")
    return known if asked is None else asked


def read_study(path: Path) -> Study:
    """Read and check a study.

    Raises:
        UserError: the file is missing or not YAML, or a value does not fit; one line per problem.
    """
    try:
        return Study.model_validate(yaml.safe_load(path.read_text()))
    except ValidationError as error:
        raise UserError(
            "\n".join(_problem(path, problem["loc"], problem["msg"]) for problem in error.errors())
        ) from error
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not YAML, mend it: {' '.join(str(error).split())}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the study {path}: {error}") from error


def _problem(path: Path, location: tuple[int | str, ...], message: str) -> str:
    where = ".".join(map(str, location)) or "study"
    return f"{path}: {where}: {message.removeprefix('Value error, ')}"


def fingerprint(config: Config) -> str:
    """A hash of what a config sets, less the run directory, which does not change what a run computes.

    Defaults are left out: a new field that nobody sets must not make every finished cell another one. A cell keeps the
    version that made it, so that a default which changes is not lost.
    """
    values = config.model_dump(mode="json", exclude_unset=True)
    values.get("run", {}).pop("dir", None)
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]
