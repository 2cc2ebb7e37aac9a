"""What every ``label`` section has, whatever its kind is."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator

from effrl.config.section import PositiveInt, Section, Share, expanded


def _absolute(address: str) -> str:
    """The same file wherever a resume starts."""
    if "://" not in address:
        return str(Path(expanded(address)).absolute())
    if not address.startswith("sqlite:////"):
        raise ValueError(f"{address}: a ledger is an SQLite file; write its path, or sqlite:////path/to/ledger.sqlite")
    return address


class Budget(Section):
    total: PositiveInt | None = None
    """Labels that the run may buy in all; no limit by default."""


class DatasetOracle(Section):
    kind: Literal["dataset"] = "dataset"
    """Labels come from the data source's own label column."""


class StepBudget(Budget):
    per_step: Share = 0.2
    """Labels that a step may buy, as a share of its prompts (CARE's p). A fraction of a label is rounded up; with
    ``kind: random`` fractions add up over the steps instead."""


class LabelConfig(Section):
    """What every labeller has, and what other parts need to know of it."""

    budget: Budget = Budget()
    oracle: DatasetOracle = DatasetOracle()
    ledger: Annotated[str, AfterValidator(_absolute)] | None = None
    """File for what was bought, on a local disk of the driver's machine; ``ledger.sqlite`` in the run directory by
    default. Needed where the run directory is on a network drive, on which SQLite cannot write safely."""
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
    def pays_per_visit(self) -> bool:
        """Whether a label is charged in every step that wants it, and not just the first time."""
        return False

    @property
    def share_per_step(self) -> float | None:
        """Labels that a step may buy, as a share of its prompts; None where only the total is limited."""
        return self.budget.per_step if isinstance(self.budget, StepBudget) else None
