"""Grades rollouts for the monitor: beside the labels, in a worker that is started when it is first needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import islice

from effrl.config.reward import AnyReward
from effrl.label.monitor import Compared, Watched
from effrl.label.oracle.vault import LabelVault
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.sandbox.pool import Sandbox
from effrl.types import Score

Verifier = Callable[[Sequence[ScoringTask]], Sequence[Score]]


def alone(config: AnyReward) -> AnyReward:
    """The reward of a run, in one worker: nothing that it finds can hold up more than metrics."""
    return config.model_copy(update={"workers": 1})


def started(config: AnyReward, search_path: Sequence[str]) -> Verifier:
    """A sandbox of one worker; ``search_path`` is where the user's modules lie."""
    return Sandbox(alone(config), search_path).score


def grading(config: AnyReward, search_path: Sequence[str]) -> "Grading":
    """What the oracle of a run grades with."""
    return Grading(partial(started, config, search_path), search_path)


@dataclass
class Grading:
    """Compares rollouts with the labels of their prompts; what it found last is not looked for again."""

    start: Callable[[], Verifier]
    search_path: Sequence[str] = ()
    """Where the user's modules lie."""
    _found: dict[str, tuple[bool, ...]] = field(default_factory=dict)
    """By group id."""

    @cached_property
    def _verifier(self) -> Verifier:
        return self.start()

    def grade(self, vault: LabelVault, groups: Sequence[Watched]) -> list[Compared | None]:
        """Which rollouts of each group are right; None where its prompt has no label."""
        known = {group.group_id: group.right for group in groups if group.right is not None}
        known |= {group.group_id: self._found[group.group_id] for group in groups if group.group_id in self._found}
        unknown = [group for group in groups if group.group_id not in known]
        labels = zip(unknown, vault.monitor([group.prompt_id for group in unknown]), strict=True)
        self._found = known | self._graded([(group, label) for group, label in labels if label is not None])
        rights = [(group, self._found.get(group.group_id)) for group in groups]
        return [None if right is None else Compared(group, right) for group, right in rights]

    def _graded(self, groups: Sequence[tuple[Watched, str]]) -> dict[str, tuple[bool, ...]]:
        """By group id."""
        tasks = [task for group, label in groups for task in _tasks(group, label)]
        scores = self._verifier(tasks) if tasks else []
        right = (score.right for score in scores)
        return {group.group_id: tuple(islice(right, len(group.completions))) for group, _ in groups}


def _tasks(group: Watched, label: str) -> list[ScoringTask]:
    return [
        ScoringTask(text, label, group.meta, cut, prompt_id=group.prompt_id)
        for text, cut in zip(group.completions, group.truncated, strict=True)
    ]
