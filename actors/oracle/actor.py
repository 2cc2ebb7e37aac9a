"""The oracle actor: the only process that holds labels, and the ledger of every label that leaves it."""

import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from actors.oracle.desks import open_desk
from actors.oracle.grading import Grading
from actors.role import Role
from effrl import plugins
from effrl.config.data import Source
from effrl.config.label_base import LabelConfig
from effrl.data.reader import read
from effrl.label.monitor import Watched, metrics
from effrl.label.oracle.address import note_place
from effrl.label.oracle.desk import Desk, LedgerDesk
from effrl.label.oracle.vault import LabelVault
from effrl.questions import Account, Answer, Question, Reply, Standing
from effrl.run.directory import RunDirectory
from effrl.types import Step

POLL_S = 0.2
"""Seconds between two looks for late answers that a step waits for."""


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
        plugins.search(grading.search_path)

    @cached_property
    def desk(self) -> Desk:
        """Where questions go; opened when it is first needed."""
        return open_desk(self.run, self.config, self.vault)

    def ready(self) -> int:
        """The process that it is, once the ledger is open.

        Raises:
            UserError: it cannot be opened, or whoever answers cannot be reached. (A constructor that raises is a dead
                actor, whose error has lost its kind.)
        """
        if self.sells:
            self.desk.open()
        return super().ready()

    def enter(self, config: LabelConfig) -> None:
        """Go by the budget of a stage from now on; ledger and answerers are the run's, and so is an inbox elsewhere."""
        self.config = config
        if isinstance(self.desk, LedgerDesk):
            self.desk.config = config

    def buy(self, step: Step, questions: Sequence[Question]) -> list[Reply]:
        """One reply per question, in order."""
        desk = self.desk
        if not self.config.is_remote:
            note_place(self.run, self.config.ledger)
        return desk.buy(step, questions)

    def owned(self, step: Step, prompt_ids: Sequence[str]) -> list[Standing]:
        """What was bought or asked before the step; the ledger alone is asked, not the vault."""
        return self.desk.owned(step, prompt_ids)

    def answered(self, after: int, wait_s: float = 0.0) -> tuple[int, list[Answer]]:
        """Late answers after a cursor; where there are none yet, those that come within ``wait_s``."""
        deadline = time.time() + wait_s
        if wait_s:
            self.desk.wait_until(deadline)
        while True:
            cursor, found = self.desk.answered(after)
            if found or time.time() >= deadline:
                return cursor, found
            time.sleep(POLL_S)

    def open(self) -> list[str]:
        """The queries that wait for their answer."""
        return self.desk.open()

    def withdraw(self, queries: Sequence[str]) -> None:
        """Take questions back."""
        self.desk.withdraw(queries)

    def monitor(self, name: str, prompt_ids: Sequence[str]) -> list[str | None]:
        """Labels of an evaluation set's prompts: they are only ever compared with answers for metrics."""
        return self.held_out[name].monitor(prompt_ids)

    def gaps(self, groups: Sequence[Watched]) -> list[float]:
        """The true corrective advantage gap of each group, bought or not; 0 where there is no label."""
        return [0.0 if graded is None else graded.gap for graded in self.grading.grade(self.vault, groups)]

    def watch(self, groups: Sequence[Watched]) -> dict[str, float]:
        """How good the decisions on a step's groups were; nothing of groups without a label."""
        return metrics([graded for graded in self.grading.grade(self.vault, groups) if graded is not None])

    def right(self, groups: Sequence[Watched]) -> list[bool | None]:
        """Whether the vote of each group of training prompts is right, bought or not; None where there is no label."""
        return [None if graded is None else graded.vote_right for graded in self.grading.grade(self.vault, groups)]

    def right_votes(self, name: str, groups: Sequence[Watched]) -> tuple[int, int]:
        """Groups of an evaluation set whose vote is right, and groups with a label."""
        found = [graded for graded in self.grading.grade(self.held_out[name], groups) if graded is not None]
        return sum(graded.vote_right for graded in found), len(found)

    def account(self, step: int) -> Account:
        """How the account stands at the end of a step."""
        return self.desk.account(step)
