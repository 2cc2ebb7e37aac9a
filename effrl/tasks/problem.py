"""What every task family draws: a problem, its worked solution, and the misreading that tempts.

A problem belongs to a *kind*: one symbol of its prompt has a meaning of its own, and a second, tempting one. Only
problems on which the two readings differ are drawn. A model that has picked up the wrong reading of one kind is
therefore wrong *systematically* there, and learning to read one kind well teaches nothing about another.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Worked:
    """Steps in order, and the answer they lead to: ``Worked(("5-7=-2", "-2-3=-5"), "-5")``."""

    steps: tuple[str, ...]
    answer: str

    @property
    def text(self) -> str:
        """As the tiny models write it: ``5-7=-2;-2-3=-5;#-5``."""
        return ";".join((*self.steps, f"#{self.answer}"))


@dataclass(frozen=True, slots=True)
class Problem:
    """One generated problem: ``Problem("7a5-3=", "a", 2, Worked(…, "-5"), Worked(…, "-1"))``."""

    prompt: str
    kind: str
    """The symbol that tells the problem's rule; each has a right and a tempting meaning."""
    level: int
    right: Worked
    misread: Worked
    """The same steps under the tempting meaning; its answer always differs."""

    @property
    def answer(self) -> str:
        """The right answer."""
        return self.right.answer


def reflection(prompt: str, proposed: tuple[str, ...]) -> str:
    """The prompt that asks to check proposed answers: ``reflection("7a5=", ("-2", "2")) == "7a5=[-2,2]"``."""
    return f"{prompt}[{','.join(proposed)}]"
