"""What the naive model of the inbox remembers."""

from dataclasses import dataclass, field


@dataclass
class Opinion:
    """What one person said; ``text`` is None for a skip."""

    uuid: str
    lease: str
    who: str
    text: str | None
    standing: str
    amends: str | None


@dataclass
class Asking:
    """A question as the model knows it."""

    query: str
    prompt: str
    step: int
    priority: float
    expires_at: float
    number: int
    state: str = "open"
    label: str | None = None
    said: list[Opinion] = field(default_factory=list)

    def counted(self) -> list[Opinion]:
        return [one for one in self.said if one.standing == "counts"]

    def answers(self) -> list[str]:
        return [one.text for one in self.counted() if one.text is not None]

    def has_heard(self, who: str) -> bool:
        return any(one.who == who and one.standing in ("counts", "late") for one in self.said)


@dataclass
class Handed:
    """Who got which question until when."""

    query: str
    who: str
    expires_at: float
    live: bool = True
    amends: str | None = None


@dataclass
class Told:
    """A row of the log."""

    query: str
    answer: str | None
    told: bool = False
    fetched: bool = False
