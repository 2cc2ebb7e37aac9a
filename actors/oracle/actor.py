"""The oracle actor: the only process that holds labels, and the ledger of every label that leaves it."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from actors.oracle.grading import Grading
from actors.role import Role
from effrl.config.data import Source
from effrl.config.label_base import LabelConfig
from effrl.data.reader import read
from effrl.label.monitor import Watched, metrics
from effrl.label.oracle.address import note_place, open_ledger
from effrl.label.oracle.ledger import Ledger
from effrl.label.oracle.vault import LabelVault
from effrl.questions import Account, Answer, Question, Reply, Standing
from effrl.run.directory import RunDirectory
from effrl.types import Step

SOURCE = "dataset"
"""Who sells, and who answers."""


class OracleActor(Role):
    """Sells training labels against the ledger; held-out labels, and what all others tell, it shows to metrics."""

    def __init__(
        self,
        name: str,
        run_dir: Path,
        version: str,
        train: Source | None,
        held_out: Mapping[str, Source],
        config: LabelConfig,
        grading: Grading,
    ) -> None:
        """``train`` is None where nothing is trained: then nothing is sold, and there is no ledger."""
        super().__init__(name, run_dir, version)
        self.run = RunDirectory(run_dir)
        self.sells = train is not None
        self.vault = LabelVault(read(train) if train else ())
        self.held_out = {name: LabelVault(read(source)) for name, source in held_out.items()}
        self.config = config
        self.grading = grading

    @cached_property
    def ledger(self) -> Ledger:
        return open_ledger(self.run, self.config.ledger)

    def ready(self) -> int:
        """The process that it is, once the ledger is open.

        Raises:
            UserError: it cannot be opened. (A constructor that raises is a dead actor, whose error has lost its kind.)
        """
        if self.sells:
            self.ledger.spent()
        return super().ready()

    def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        """One reply per question, in order: a data set answers at once, or never."""
        ids, total, ledger = [question.prompt.id for question in questions], self.config.budget.total, self.ledger
        note_place(self.run, self.config.ledger)
        seller = self._seller(step)
        return ledger.buy_all(step.stage, step.number, ids, seller, self.vault.buy, SOURCE, budget_total=total)

    def _seller(self, step: Step) -> str:
        """Who sells in a step. A prompt is charged once per seller: with a charge per visit each step has its own."""
        return f"{SOURCE}@{step.number}" if self.config.pays_per_visit else SOURCE

    def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        """What was bought or asked before the step; the ledger alone is asked, not the vault."""
        known = self.ledger.asked(prompt_ids, step.number) | self.ledger.owned(prompt_ids, step.number)
        return [known.get(prompt_id) for prompt_id in prompt_ids]

    def answered(self, after: int, wait_s: float = 0.0) -> tuple[int, list[Answer]]:
        """No answer of a data set comes late."""
        return after, []

    def open(self) -> list[str]:
        """Nothing is open, as below."""
        return []

    def withdraw(self, queries: Sequence[str]) -> None:
        """Nothing is open, since nothing was ever asked to be answered later."""

    def monitor(self, name: str, prompt_ids: Sequence[str]) -> list[str | None]:
        """Labels of an evaluation set's prompts: they are only ever compared with answers for metrics."""
        return self.held_out[name].monitor(prompt_ids)

    def gaps(self, groups: Sequence[Watched]) -> list[float]:
        """The true corrective advantage gap of each group, bought or not; 0 where there is no label."""
        return [0.0 if graded is None else graded.gap for graded in self.grading.grade(self.vault, groups)]

    def watch(self, groups: Sequence[Watched]) -> dict[str, float]:
        """How good the decisions on a step's groups were; nothing of groups without a label."""
        return metrics([graded for graded in self.grading.grade(self.vault, groups) if graded is not None])

    def right_votes(self, name: str, groups: Sequence[Watched]) -> tuple[int, int]:
        """Groups of an evaluation set whose vote is right, and groups with a label."""
        found = [graded for graded in self.grading.grade(self.held_out[name], groups) if graded is not None]
        return sum(graded.vote_right for graded in found), len(found)

    def account(self, step: int) -> Account:
        """How the account stands at the end of a step."""
        return self.ledger.account(step, budget_total=self.config.budget.total)
