"""What every ``label`` section has, whatever its kind is."""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from effrl.config.oracle import AnyOracle, DatasetOracle
from effrl.config.section import LocalPath, PositiveInt, Section, Share, expanded


def _absolute(address: str) -> str:
    """The same place wherever a resume starts."""
    if "://" not in address:
        return str(Path(expanded(address)).absolute())
    if not address.startswith(("sqlite:////", "http://", "https://")):
        raise ValueError(
            f"{address}: a ledger is an SQLite file or an inbox; write its path, sqlite:////path/to/ledger.sqlite, or"
            " the inbox's http:// or https:// address"
        )
    return address


class Budget(Section):
    total: PositiveInt | None = None
    """Labels that the run may buy in all; no limit by default."""


class StepBudget(Budget):
    per_step: Share = 0.2
    """Labels that a step may buy, as a share of its prompts (CARE's p). A fraction of a label is rounded up; with
    ``kind: random`` fractions add up over the steps instead."""


class LabelConfig(Section):
    """What every labeller has, and what other parts need to know of it."""

    budget: Budget = Budget()
    oracle: AnyOracle = DatasetOracle()
    """Who answers."""
    ledger: Annotated[str, AfterValidator(_absolute)] | None = None
    """File for what was bought, on a local disk of the driver's machine; ``ledger.sqlite`` in the run directory by
    default. Needed where the run directory is on a network drive, on which SQLite cannot write safely. With
    ``oracle.kind: human`` it may be the address of an inbox that runs elsewhere and owns the ledger."""
    reuse: tuple[LocalPath, ...] = ()
    """Runs, or ledgers, whose labels this run has for nothing where its prompts have the same ids."""
    max_age: Annotated[int, Field(ge=0)] = 8
    """Policy versions that a group may wait for its label and still be learned from; an older one is stale, and its
    label is owned."""
    wait_s: Annotated[float, Field(ge=0)] = 0
    """Longest time that a step waits for the labels that it asked for before it parks their groups: for the algorithm
    as the papers have it, where people or services answer fast."""
    opinions: PositiveInt = 1
    """People who must answer a question before the majority of them is its label; a tie asks one more."""
    monitor: bool = True
    """Whether each step's decisions are compared with the labels of its groups, bought or not, as far as the data have
    any. That is for reports alone: nothing that trains sees it. It costs the verifier's time for groups that were not
    bought."""

    @property
    def buys(self) -> bool:
        """Whether true labels are bought at all: then the data must have some."""
        return True

    @property
    def buys_all(self) -> bool:
        """Whether the label of every group is bought: then prompts without one are no use."""
        return False

    @property
    def votes(self) -> bool:
        """Whether groups may be supervised by the majority of their own answers: then the reward must tell answers."""
        return False

    @property
    def reads_clusters(self) -> bool:
        """Whether the labeller looks at which answers are the same in value; else their texts alone are compared."""
        return self.votes

    @property
    def caution(self) -> str | None:
        """What must be said of a run before anybody believes its results."""
        return None

    @property
    def scales(self) -> bool:
        """Whether its rewards are scaled already: then no advantage may divide them by a group's deviation."""
        return False

    @property
    def least_rollouts(self) -> int:
        """Rollouts without which a group has no chance with it."""
        return 0

    @property
    def equal_groups(self) -> bool:
        """Whether all groups must have ``rollout.per_prompt`` rollouts."""
        return False

    @property
    def pays_per_visit(self) -> bool:
        """Whether a label is charged in every step that wants it, and not just the first time."""
        return False

    @property
    def is_remote(self) -> bool:
        """Whether an inbox that runs elsewhere owns the ledger."""
        return self.ledger is not None and self.ledger.startswith("http")

    @property
    def ledger_file(self) -> Path | None:
        """The file that ``ledger`` names; None where it is in the run directory, or behind an inbox."""
        return None if self.ledger is None or self.is_remote else Path(self.ledger.removeprefix("sqlite:///"))

    @property
    def share_per_step(self) -> float | None:
        """Labels that a step may buy, as a share of its prompts; None where only the total is limited."""
        return self.budget.per_step if isinstance(self.budget, StepBudget) else None

    @model_validator(mode="after")
    def _people_alone_vote(self) -> "LabelConfig":
        if self.opinions > 1 and not self.oracle.asks_people:
            raise ValueError(
                f"label.opinions ({self.opinions}) counts people: set label.oracle.kind=human, or leave it out"
            )
        if self.is_remote and not self.oracle.asks_people:
            raise ValueError(
                f"label.ledger ({self.ledger}) is an inbox, and the labels are not people's: write a path, or set"
                " label.oracle.kind=human"
            )
        if self.is_remote and self.reuse:
            raise ValueError(
                f"label.reuse brings labels into a ledger of the run's own, and label.ledger ({self.ledger}) is an"
                " inbox elsewhere: leave one of them out"
            )
        return self
