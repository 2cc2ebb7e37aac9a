"""The data actor: it owns the prompts, the selector, what is known of each prompt, and what may be replayed.

Labels reach it only in the supervision of groups that were learned from.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actors.role import Role
from effrl import plugins
from effrl.batch import Settled, Stored
from effrl.config.schema import Config
from effrl.data.reader import pools, prompts_of
from effrl.protocols import Explains, LookAhead, LooksAhead, Measures
from effrl.replay.build import replay_store
from effrl.replay.store import ReplayStore
from effrl.run.files import read_state, write_state, written
from effrl.saved import Saved
from effrl.select.build import selector
from effrl.types import Observation, Pick, Prompt

Drawn = tuple[str, int]
"""Id of a prompt that is being rolled out, and how many rollouts it gets."""
FOLDER = "data"
"""Of a checkpoint."""
STATE = f"{FOLDER}/state.json.gz"
REPLAY = f"{FOLDER}/replay"


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
        labelled_only = config.labelled_only
        form = config.data.form
        self.pools = [(pool.weight, prompts_of(pool, form, labelled_only)) for pool in pools(config.data.train)]
        self._notes: list[str] = []
        self.prompts = {prompt.id: prompt for _, part in self.pools for prompt in part}
        self.states: dict[str, PromptState] = {}
        self.enter(config, None)

    def enter(self, config: Config, ids: frozenset[str] | None) -> None:
        """Go by this config from now on, with a selector and a store that know nothing yet.

        Args:
            ids: the prompts to draw from; None for all.
        """
        own = [(weight, [prompt for prompt in part if ids is None or prompt.id in ids]) for weight, part in self.pools]
        self.selector = selector(config, [(weight, part) for weight, part in own if part], self._notes.append)
        self.per_prompt = config.rollout.per_prompt
        self.store = _store(config)
        self.leased: list[Drawn] = []
        """Handed out; no step that learned from it was committed yet."""
        self.returned: list[Drawn] = []
        """Handed out, and to be handed out again."""
        self._before: dict[str, Any] | None = None

    def notes(self) -> list[str]:
        """What its start has to tell the user, line by line."""
        return self._notes

    def select(self, count: int) -> list[Pick]:
        """The next prompts to roll out; first those that were taken back."""
        back, self.returned = self.returned[:count], self.returned[count:]
        picks = [Pick(self.prompts[name], rollouts) for name, rollouts in back]
        picks += [self._pick(chosen) for chosen in self.selector.select(count - len(back))]
        self.leased += [(pick.prompt.id, pick.rollouts) for pick in picks]
        return picks

    def give_up(self, ids: Sequence[str]) -> None:
        """These were rolled out and have their end: nobody waits for them any more."""
        over, kept = Counter(ids), list[Drawn]()
        for name, rollouts in self.leased:
            if over[name] <= 0:
                kept.append((name, rollouts))
            over[name] -= 1
        self.leased = kept

    def upcoming(self, count: int) -> list[Pick]:
        """What :meth:`select` would hand out next, as far as it can be told now; nothing is handed out.

        A selector's own numbers of rollouts may depend on how many prompts are asked for: they are left out.
        """
        before = self.selector.state()
        chosen = self.selector.select(count)
        self.selector.restore(before)
        back = [Pick(self.prompts[name], rollouts) for name, rollouts in self.returned]
        return [*back, *(self._pick(prompt) for prompt in chosen if isinstance(prompt, Prompt))][:count]

    def _pick(self, chosen: Prompt | Pick) -> Pick:
        return chosen if isinstance(chosen, Pick) else Pick(chosen, self.per_prompt)

    def request(self, step: int) -> LookAhead | None:
        """What the selector wants to know of the policy before it chooses for ``step``; None where nothing."""
        if self._before is None:
            self._before = deepcopy({"selector": self.selector.state(), "leased": self._drawn()})
        return self.selector.request(step) if isinstance(self.selector, LooksAhead) else None

    def receive(self, step: int, found: Mapping[str, float]) -> dict[str, Mapping[str, float | bool]]:
        """Tell the selector what was found, by prompt id; what it makes of each prompt comes back, if it says so."""
        if isinstance(self.selector, LooksAhead):
            self.selector.receive(step, found)
        return dict(self.selector.reasons()) if isinstance(self.selector, Explains) else {}

    def take_back(self) -> None:
        """Be as before the step that is given up was asked about, so that it is drawn the same when it is repeated.

        Of steps that run ahead nothing is known from before: their prompts stay leased, and are the first to come back.
        """
        if self._before is not None:
            self.selector.restore(self._before["selector"])
            self.leased, self.returned = [], self._before["leased"]

    def replay(self, step: int, count: int) -> list[Stored]:
        """Groups of earlier steps for a step to learn from again; none where nothing is kept."""
        return self.store.draw(step, count) if self.store else []

    def observe(
        self, step: int, observations: Sequence[Observation], taken: Sequence[str], settled: Sequence[Settled] = ()
    ) -> dict[str, float]:
        """Remember the outcomes of a committed step, those of groups without signal included; returns metrics.

        Args:
            taken: ids of the prompts that it has rolled out.
            settled: the groups themselves, where some are kept to be replayed.
        """
        self._before = None
        self.give_up(taken)
        for seen in observations:
            state = self.states.setdefault(seen.prompt.id, PromptState())
            state.passes += seen.passes
            state.tries += seen.tries
            state.last_step = step
        self.selector.observe(observations)
        metrics = dict(self.selector.metrics()) if isinstance(self.selector, Measures) else {}
        if self.store is None:
            return metrics
        self.store.add(step, deepcopy(settled))  # or its arrays would keep the whole message in Ray's shared memory
        return {**metrics, "replay/stored": len(self.store.groups)}

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds, but for the groups to replay; JSON-serialisable."""
        return {
            "selector": self.selector.state(),
            "prompts": {prompt_id: asdict(state) for prompt_id, state in self.states.items()},
            "leased": self._drawn(),
        }

    def _drawn(self) -> list[Drawn]:
        """What was handed out for steps that are not committed, or is to be."""
        return [*self.leased, *self.returned]

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint's state."""
        self.selector.restore(state["selector"])
        self.states = {prompt_id: PromptState(**fields) for prompt_id, fields in state["prompts"].items()}
        self.leased = []
        self.returned = [(name, rollouts) for name, rollouts in state["leased"]]

    def save(self, checkpoint: Path) -> Saved:
        """Write the state and the groups to replay into a checkpoint."""
        write_state(checkpoint / STATE, self.state())
        if self.store is not None:
            self.store.save(checkpoint / REPLAY)
        return Saved(written(checkpoint, (path for path in (checkpoint / FOLDER).rglob("*") if path.is_file())), {})

    def load(self, checkpoint: Path) -> None:
        """Go on from what :meth:`save` wrote; without stored groups where the run had no replay then."""
        if self.store is not None and (checkpoint / REPLAY).is_dir():
            self.store.load(checkpoint / REPLAY)
        self.restore(read_state(checkpoint / STATE))


def _store(config: Config) -> ReplayStore | None:
    if config.replay is None:
        return None
    return replay_store(config.replay, config.rollout.prompts, config.run.seed, config.rollout.screen or 0)
