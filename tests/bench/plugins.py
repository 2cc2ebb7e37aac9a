"""Arms that no product should have: they know what costs money, or reward at random. Studies name them by path."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import log
from pathlib import Path
from typing import Any

from torch import Tensor

from effrl.batch import Settled
from effrl.config.label import PluginLabel
from effrl.config.loss import LossConfig
from effrl.config.schema import Config
from effrl.data.reader import read
from effrl.label.active import ActiveLabeller, carried
from effrl.label.buy.oracle_cag import OracleCagBuyer
from effrl.label.cag import corrective_advantage_gap
from effrl.label.rest.vote import VoteFilter
from effrl.label.stateless import Stateless
from effrl.loss.clipped import clipped
from effrl.loss.importance import importance
from effrl.loss.tokens import Tokens
from effrl.protocols import Oracle
from effrl.seeds import stream
from effrl.types import Decision, Judged, Observation, Prompt, ReadGroup, Step, Supervision, View

BASE = Path(__file__).parent / "results" / "base" / "tiny.json"


@dataclass(frozen=True)
class LabelsAtHand:
    """A :class:`~effrl.protocols.Monitor` over the labels of a task family, which writes equal answers equally."""

    labels: Mapping[str, str | None]
    """By prompt id."""

    async def gaps(self, groups: Sequence[ReadGroup]) -> list[float]:
        return [true_gap(read, self.labels[read.group.prompt.id]) for read in groups]

    async def metrics(self, settled: Sequence[Settled]) -> Mapping[str, float]:
        return {}


def oracle_cag(config: Config, oracle: Oracle) -> ActiveLabeller:
    """``label.buy.kind=oracle_cag``, for shares below one label per step: fractions of labels add up over the steps."""
    assert isinstance(config.label, PluginLabel)
    buyer = OracleCagBuyer(LabelsAtHand({row.prompt.id: row.label for row in read(config.data.train)}))
    quota = carried(config.label.budget.per_step)
    return ActiveLabeller(oracle, buyer, VoteFilter(), quota, config.rollout.max_tokens)


def true_gap(read: ReadGroup, label: str | None) -> float:
    """CAG of the vote with the label at hand."""
    if read.voted is None or read.voted == label:
        return 0.0
    return corrective_advantage_gap(len(read.answers), read.size(0), read.answers.count(label))


class RandomRewards(Stateless):
    """A control: each rollout is right with probability one half, whatever it says."""

    def __init__(self, config: Config, oracle: Oracle) -> None:
        self.seed = config.run.seed

    async def assign(self, step: Step, groups: Sequence[ReadGroup], views: Sequence[View]) -> list[Judged]:
        return [self._judge(step.number, read) for read in groups]

    def _judge(self, step: int, read: ReadGroup) -> Judged:
        coins = stream(self.seed, "random rewards", step, read.group.prompt.id)
        answers = tuple("?" for _ in read.answers)  # also those without an answer take part in the lottery
        tossed = replace(read, answers=answers, clusters=tuple(coins.randrange(2) for _ in answers))
        return Judged(tossed, Decision.USE, Supervision("vote", "?", cluster=0))


class TrueDifficulty:
    """Draws prompts in proportion to the chance that their group has signal, from pass rates that nobody knows.

    It starts from the base's measured pass rate of every level and kind, and follows what the run observes.
    """

    group_size = 8

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        measured = json.loads(BASE.read_text())["pass_rates"]
        self.rates: dict[str, float] = {key: measured[key] for key in map(_key, prompts)}
        self.prompts = {prompt.id: prompt for prompt in prompts}
        self.seed = seed
        self.calls = 0
        self.seen: set[str] = set()

    def select(self, count: int) -> list[Prompt]:
        """Gumbel-top-k over the prompts that were not drawn yet; then all may come again."""
        chosen: list[Prompt] = []
        while len(chosen) < count:
            fresh = [prompt for prompt in self.prompts.values() if prompt.id not in self.seen]
            if not fresh:
                self.seen.clear()
                continue
            self.calls += 1
            keys = self._keys(fresh)
            best = sorted(fresh, key=lambda prompt: -keys[prompt.id])[: count - len(chosen)]
            self.seen |= {prompt.id for prompt in best}
            chosen += best
        return chosen

    def observe(self, seen: Sequence[Observation]) -> None:
        for entry in seen:
            rate = self.rates[_key(entry.prompt)]
            self.rates[_key(entry.prompt)] = 0.8 * rate + 0.2 * entry.passes / entry.tries

    def state(self) -> Mapping[str, Any]:
        return {"rates": dict(self.rates), "calls": self.calls, "seen": sorted(self.seen)}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.rates, self.calls, self.seen = dict(state["rates"]), state["calls"], set(state["seen"])

    def _keys(self, prompts: Sequence[Prompt]) -> dict[str, float]:
        """What prompts are drawn by, the highest first."""
        gumbel = stream(self.seed, "true difficulty", self.calls)
        return {prompt.id: self._weight(prompt) - log(-log(gumbel.random())) for prompt in prompts}

    def _weight(self, prompt: Prompt) -> float:
        """Log of the chance that a group of eight is neither all right nor all wrong."""
        rate = min(0.999, max(0.001, self.rates[_key(prompt)]))
        return log(1 - rate**self.group_size - (1 - rate) ** self.group_size)


class GreedyDifficulty(TrueDifficulty):
    """Takes the prompts whose group is most likely to have signal, by the same table; ties at random.

    No ceiling: it never comes back to kinds that are rarely right, and these can be learned.
    """

    def _keys(self, prompts: Sequence[Prompt]) -> dict[str, float]:
        ties = stream(self.seed, "greedy difficulty", self.calls)
        return {prompt.id: self._weight(prompt) + 1e-9 * ties.random() for prompt in prompts}


def _key(prompt: Prompt) -> str:
    """Family, level and kind: ``chain/2/c``."""
    return f"{prompt.meta['family']}/{prompt.meta['level']}/{prompt.meta['kind']}"


def uncorrected(tokens: Tokens) -> tuple[Tensor, Tensor]:
    """A control: the clipped loss of rollouts that are all taken to be of the policy before the step.

    The importance weight multiplies what a loss returns, so it is divided out here.
    """
    surrogates, was_clipped = clipped(tokens, clip_low=0.2, clip_high=0.2)
    weight, _ = importance(tokens.old - tokens.behaviour, LossConfig())
    return surrogates / weight, was_clipped
