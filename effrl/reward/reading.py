"""Final answers of a group and their equivalence classes, before anybody looks at a label (RLAVR/CARE, section 1.1)."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from typing import Any

from effrl.config.reward import AnyVerifier, ChoiceVerifier, MathVerifier, RegexVerifier, TaskVerifier
from effrl.reward.choice import chosen
from effrl.reward.extract import final_answer
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.verifiers import task_answer
from effrl.types import Judged, Rollout, Score, Status

Same = Callable[[str, str], bool]
Grade = Callable[[Sequence[ScoringTask]], Sequence[Score]]

LOST = Score(None, None, Status.ENGINE, detail="the engine failed the request")
"""The score of a rollout that does not exist."""

_ANY_LABEL = "?"
"""A verifier wants a label, but what it finds as the answer does not depend on it."""


def answers_of(
    verifier: AnyVerifier | None, groups: Sequence[tuple[Sequence[str], Mapping[str, Any]]], grade: Grade
) -> list[tuple[str | None, ...]]:
    """The final answers of each group, from its completions and its prompt's meta; all None without a verifier.

    A pattern of the user's own may never end: it runs in ``grade``, where it can be killed. Then there is no answer.
    """
    if verifier is None:
        return [(None,) * len(completions) for completions, _ in groups]
    if not isinstance(verifier, RegexVerifier):
        return [tuple(_answer(verifier, text, meta) for text in completions) for completions, meta in groups]
    tasks = [
        ScoringTask(text, _ANY_LABEL, meta, False, "answer") for completions, meta in groups for text in completions
    ]
    scores = iter(grade(tasks))
    return [tuple(next(scores).answer for _ in completions) for completions, _ in groups]


def _answer(verifier: AnyVerifier, completion: str, meta: Mapping[str, Any]) -> str | None:
    match verifier:
        case TaskVerifier():
            return task_answer(completion, meta)
        case ChoiceVerifier():
            return chosen(completion, verifier.letters)
        case _:
            return final_answer(completion)


def equivalence(verifier: AnyVerifier | None, groups: Sequence[Sequence[str | None]], grade: Grade) -> list[Same]:
    """One relation per group. Texts that differ are the same answer only to math-verify, which may hang.

    Hence ``grade``, which runs the verifier where it can be killed; a pair that it cannot judge is not equivalent.
    """
    if not isinstance(verifier, MathVerifier):
        return [str.__eq__] * len(groups)
    pairs = [list(combinations(dict.fromkeys(a for a in group if a is not None), 2)) for group in groups]
    tasks = [ScoringTask(f"\\boxed{{{b}}}", a, {}, False, "answer") for group in pairs for a, b in group]
    scores = iter(grade(tasks))
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
    if rollout.failed:
        return LOST
    if answer is not None:
        return Score(float(agrees), float(agrees), Status.OK, answer)
    return Score(0.0, 0.0, Status.TRUNCATED if rollout.finish_reason == "length" else Status.UNPARSEABLE)
