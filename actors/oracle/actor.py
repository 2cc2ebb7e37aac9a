"""The oracle actor: the only process that holds labels, and the ledger of every label that leaves it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from actors.role import Role
from effrl.config.data import Source
from effrl.config.label import Budget
from effrl.data.reader import read
from effrl.label.oracle.ledger import Ledger
from effrl.label.oracle.vault import LabelVault
from effrl.questions import Answer, Label, Question, Refused, Reply
from effrl.types import Step


class OracleActor(Role):
    """Sells training labels against the ledger, and shows held-out labels to metrics."""

    def __init__(
        self,
        name: str,
        run_dir: Path,
        version: str,
        train: Source | None,
        held_out: Mapping[str, Source],
        budget: Budget,
    ) -> None:
        """``train`` is None where nothing is trained."""
        super().__init__(name, run_dir, version)
        self.vault = LabelVault(read(train) if train else ())
        self.held_out = {name: LabelVault(read(source)) for name, source in held_out.items()}
        self.ledger = Ledger(run_dir / "ledger.sqlite")
        self.budget = budget

    def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        """One reply per question, in order: a data set answers at once, or never."""
        ids = [question.prompt.id for question in questions]
        labels = self.ledger.buy_all(
            step.stage, step.number, ids, "dataset", self.vault.buy, "dataset", budget_total=self.budget.total
        )
        return [Refused("the budget is spent") if label is None else Label(label) for label in labels]

    def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[str | None]:
        """The labels among these that were bought before the step; the ledger alone is asked, not the vault."""
        owned = self.ledger.owned(prompt_ids, step.number)
        return [owned.get(prompt_id) for prompt_id in prompt_ids]

    def answered(self, after: int) -> tuple[int, list[Answer]]:
        """No answer of a data set comes late."""
        return after, []

    def withdraw(self, queries: Sequence[str]) -> None:
        """Nothing is open, since nothing was ever asked to be answered later."""

    def monitor(self, name: str, prompt_ids: Sequence[str]) -> list[str | None]:
        """Labels of an evaluation set's prompts: they are only ever compared with answers for metrics."""
        return self.held_out[name].monitor(prompt_ids)

    def account(self, step: int) -> dict[str, float | None]:
        """Labels bought in a step and in all, and what the budget still allows (None without a limit)."""
        total = self.ledger.bought()
        left = None if self.budget.total is None else self.budget.total - self.ledger.spent()
        return {"label/bought": self.ledger.bought(step), "label/bought_total": total, "label/budget_left": left}
