"""Final answers of a group and their equivalence classes, before anybody looks at a label (RLAVR/CARE, section 1.1)."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from effrl.reward.extract import final_answer
from effrl.reward.messages import ScoringTask
from effrl.reward.verifiers import task_answer
from effrl.types import Judged, Rollout, Score, Status

Same = Callable[[str, str], bool]
Grade = Callable[[Sequence[ScoringTask]], Sequence[Score]]


def answers_of(kind: str, completions: Sequence[str], meta: Mapping[str, Any]) -> tuple[str | None, ...]:
    """The final answer of each completion; all None where ``kind`` is a reward of the user's own, which tells none."""
    if ":" in kind:
        return (None,) * len(completions)
    if kind == "task":
        return tuple(task_answer(completion, meta) for completion in completions)
    return tuple(final_answer(completion) for completion in completions)


def equivalence(kind: str, groups: Sequence[Sequence[str | None]], grade: Grade) -> list[Same]:
    """One relation per group. Texts that differ are the same answer only to math-verify, which may hang.

    Hence ``grade``, which runs the verifier where it can be killed; a pair that it cannot judge is not equivalent.
    """
    if kind != "math":
        return [str.__eq__] * len(groups)
    pairs = [list(combinations(dict.fromkeys(a for a in group if a is not None), 2)) for group in groups]
    scores = iter(grade([ScoringTask(f"\\boxed{{{b}}}", a, {}, False) for group in pairs for a, b in group]))
    return [_relation({pair for pair in group if next(scores).outcome == 1.0}) for group in pairs]


def _relation(equal: set[tuple[str, str]]) -> Same:
    return lambda a, b: a == b or (a, b) in equal or (b, a) in equal


def cluster(answers: Sequence[str | None], same: Same) -> tuple[int | None, ...]:
    """Number the equivalence classes: the largest is 0, of equals the one that occurs first.

    Greedy, in the order of the rollouts: an answer joins the first class whose first member it equals, so that a
    relation that is not transitive (a rounding verifier's) still gives one result.
    """
    classes: list[list[int]] = []
    for place, answer in enumerate(answers):
        if answer is None:
            continue
        home = next((members for members in classes if same(str(answers[members[0]]), answer)), None)
        if home is None:
            classes.append([place])
        else:
            home.append(place)
    classes.sort(key=lambda members: (-len(members), members[0]))
    number = {place: index for index, members in enumerate(classes) for place in members}
    return tuple(number.get(place) for place in range(len(answers)))


def membership(judged: Judged) -> tuple[Score, ...]:
    """Scores against a pseudo-label: 1 for the members of its cluster, else 0; none for a group without one."""
    if judged.supervision is None or judged.supervision.cluster is None:
        return ()
    read, rewarded = judged.read, judged.supervision.cluster
    return tuple(
        _member(rollout, answer, cluster == rewarded)
        for rollout, answer, cluster in zip(read.group.rollouts, read.answers, read.clusters, strict=True)
    )


def _member(rollout: Rollout, answer: str | None, agrees: bool) -> Score:
    if answer is not None:
        return Score(float(agrees), float(agrees), Status.OK, answer)
    return Score(0.0, 0.0, Status.TRUNCATED if rollout.finish_reason == "length" else Status.UNPARSEABLE)
