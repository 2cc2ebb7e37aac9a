"""The data actor: it owns the prompts, the selector and what is known of each prompt; never a label."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actors.role import Role
from effrl import plugins
from effrl.config import Config
from effrl.data.reader import Pool, pools, read_pool
from effrl.data.template import Form
from effrl.protocols import Look, LooksAhead
from effrl.select.build import selector
from effrl.types import Observation, Prompt


@dataclass(slots=True)
class PromptState:
    """What all steps found out about a prompt."""

    passes: float = 0.0
    tries: int = 0
    last_step: int = 0


class DataActor(Role):
    """Hands out prompts and remembers what became of them."""

    def __init__(self, name: str, run_dir: Path, version: str, config: Config, search_path: Sequence[str]) -> None:
        super().__init__(name, run_dir, version)
        plugins.search(search_path)
        labelled_only = config.label.kind == "gold"
        weighted = [(pool.weight, _prompts(pool, config.data.form, labelled_only)) for pool in pools(config.data.train)]
        self._notes: list[str] = []
        self.selector = selector(config, weighted, self._notes.append)
        self.prompts = {prompt.id: prompt for _, part in weighted for prompt in part}
        self.states: dict[str, PromptState] = {}
        self.leased: dict[int, list[str]] = {}
        self.returned: list[str] = []

    def notes(self) -> list[str]:
        """What its start has to tell the user, line by line."""
        return self._notes

    def select(self, step: int, count: int) -> list[Prompt]:
        """The next prompts to roll out, for a step; first those that a resume took back."""
        back, self.returned = self.returned[:count], self.returned[count:]
        drawn = [self.prompts[name] for name in back] + list(self.selector.select(count - len(back)))
        self.leased.setdefault(step, []).extend(prompt.id for prompt in drawn)
        return drawn

    def look(self, step: int) -> Look | None:
        """What the selector wants to know of the policy before it chooses for ``step``; None where nothing."""
        return self.selector.look(step) if isinstance(self.selector, LooksAhead) else None

    def saw(self, step: int, found: Mapping[str, float]) -> None:
        """Tell the selector what was found, by prompt id."""
        if isinstance(self.selector, LooksAhead):
            self.selector.saw(step, found)

    def observe(self, step: int, observations: Sequence[Observation]) -> dict[str, float]:
        """Remember the outcomes of a committed step, those of groups without signal included; metrics of selection."""
        self.leased.pop(step, None)
        for seen in observations:
            state = self.states.setdefault(seen.prompt.id, PromptState())
            state.passes += seen.passes
            state.tries += seen.tries
            state.last_step = step
        self.selector.observe(observations)
        return dict(self.selector.metrics()) if isinstance(self.selector, LooksAhead) else {}

    def state(self) -> dict[str, Any]:
        """JSON-serialisable state for a checkpoint."""
        return {
            "selector": self.selector.state(),
            "prompts": {prompt_id: asdict(state) for prompt_id, state in self.states.items()},
            "leased": [*(name for names in self.leased.values() for name in names), *self.returned],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.selector.restore(state["selector"])
        self.states = {prompt_id: PromptState(**fields) for prompt_id, fields in state["prompts"].items()}
        self.returned = list(state["leased"])


def _prompts(pool: Pool, form: Form, labelled_only: bool) -> list[Prompt]:
    return [row.prompt for row in read_pool(pool, form) if row.label is not None or not labelled_only]
