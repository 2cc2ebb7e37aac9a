"""Final answers of a group and their equivalence classes, before anybody looks at a label (RLAVR/CARE, section 1.1)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

from effrl.config.reward import AnyVerifier, ChoiceVerifier, ExactVerifier, MathVerifier, RegexVerifier, TaskVerifier
from effrl.reward.choice import chosen
from effrl.reward.extract import final_answer
from effrl.reward.sandbox.messages import ScoringTask
from effrl.reward.verifiers import same_at_once, task_answer
from effrl.types import Judged, Rollout, Score, Status

Grade = Callable[[Sequence[ScoringTask]], Sequence[Score]]

LOST = Score(None, None, Status.ENGINE, detail="the engine failed the request")
"""The score of a rollout that does not exist."""

_ANY_LABEL = "?"
"""A verifier wants a label, but what it finds as the answer does not depend on it."""


@dataclass(frozen=True, slots=True)
class Completions:
    """What the rollouts of a prompt say: ``Completions("chain/3f2a", ("12+34=46;#46", "12+"), {"level": 2})``."""

    prompt_id: str
    texts: tuple[str, ...]
    meta: Mapping[str, Any]
    """The prompt's."""


class AnswerPair(NamedTuple):
    """Two answers to one prompt, of different texts."""

    prompt_id: str
    one: str
    other: str


Equal = Callable[[Sequence[AnswerPair]], Sequence[bool]]
"""Which of the pairs are the same answer. All at once, since verifiers work side by side."""


def answers_of(
    verifier: AnyVerifier | None, groups: Sequence[Completions], grade: Grade
) -> list[tuple[str | None, ...]]:
    """The final answers of each group; all None without a verifier.

    A pattern of the user's own may never end: it runs in ``grade``, where it can be killed. Then there is no answer.
    """
    if verifier is None:
        return [(None,) * len(group.texts) for group in groups]
    if not isinstance(verifier, RegexVerifier):
        return [tuple(_answer(verifier, text, group.meta) for text in group.texts) for group in groups]
    tasks = [
        ScoringTask(text, _ANY_LABEL, group.meta, False, "answer", group.prompt_id)
        for group in groups
        for text in group.texts
    ]
    scores = iter(grade(tasks))
    return [tuple(next(scores).answer for _ in group.texts) for group in groups]


def _answer(verifier: AnyVerifier, completion: str, meta: Mapping[str, Any]) -> str | None:
    match verifier:
        case TaskVerifier():
            return task_answer(completion, meta)
        case ChoiceVerifier():
            return chosen(completion, verifier.letters)
        case MathVerifier() | ExactVerifier():
            return final_answer(completion, lenient=verifier.lenient)
        case _:  # of the user's own: votes are not about it
            return None


def by_text(pairs: Sequence[AnswerPair]) -> list[bool]:
    """Texts that differ are different answers."""
    return [False] * len(pairs)


def equality(verifier: AnyVerifier | None, grade: Grade) -> Equal:
    """What makes two answers the same: only to math-verify can texts that differ be equal."""
    return _MathEquality(grade) if isinstance(verifier, MathVerifier) else by_text


class _MathEquality:
    """Equality by math-verify, whichever of two answers is taken for the label; every pair of texts is judged once.

    What needs mathematics runs in ``grade``, since it may hang; a pair that it cannot judge is not equal.
    """

    MOST = 100_000
    """Verdicts that are remembered: the latest ones."""

    def __init__(self, grade: Grade) -> None:
        self._grade = grade
        self._judged: dict[tuple[str, str], bool] = {}

    def __call__(self, pairs: Sequence[AnswerPair]) -> list[bool]:
        told = [same_at_once(pair.one, pair.other) for pair in pairs]
        hard = {_texts(pair): pair for pair, known in zip(pairs, told, strict=True) if known is None}
        unknown = {texts: pair for texts, pair in hard.items() if texts not in self._judged}
        tasks = [ScoringTask(pair.one, pair.other, {}, False, "same", pair.prompt_id) for pair in unknown.values()]
        verdicts = [score.outcome == 1.0 for score in self._grade(tasks)] if tasks else []
        self._judged |= dict(zip(unknown, verdicts, strict=True))
        found = [
            self._judged[_texts(pair)] if known is None else known for pair, known in zip(pairs, told, strict=True)
        ]
        self._forget()
        return found

    def _forget(self) -> None:
        surplus = max(0, len(self._judged) - self.MOST)
        for texts in list(islice(self._judged, surplus)):
            del self._judged[texts]


def _texts(pair: AnswerPair) -> tuple[str, str]:
    """The pair as one key, in whichever order it comes."""
    return (pair.one, pair.other) if pair.one <= pair.other else (pair.other, pair.one)


def clusters(groups: Sequence[tuple[str, Sequence[str | None]]], equal: Equal) -> list[tuple[int | None, ...]]:
    """Number the equivalence classes of the answers of each group, which is a prompt's id and its rollouts' answers.

    The largest class is 0; of classes of one size, the one that occurs first (RLAVR/CARE, section 1.1).

    Which answers belong together does not depend on the order of the rollouts, even where ``equal`` is not transitive,
    as a verifier that rounds is not. The texts of a group are taken by their number of rollouts, of equals
    alphabetically, and each joins the first class whose *first text* it equals: classes do not grow along chains of
    answers each of which equals the next.

    Example: ``clusters([("p", ("46", "45", None, "46"))], by_text) == [(0, 1, None, 0)]``.
    """
    waiting = [_by_votes(answers) for _, answers in groups]
    homes: list[dict[str, str]] = [{} for _ in groups]
    while any(waiting):  # one class more of each group, all groups side by side
        pairs = [
            AnswerPair(name, texts[0], text)
            for (name, _), texts in zip(groups, waiting, strict=True)
            for text in texts[1:]
        ]
        same = iter(equal(pairs))
        for home, texts in zip(homes, waiting, strict=True):
            members = {text: texts[0] for text in texts[:1]} | {text: texts[0] for text in texts[1:] if next(same)}
            home |= members
            texts[:] = [text for text in texts if text not in members]
    return [_numbered(answers, home) for (_, answers), home in zip(groups, homes, strict=True)]


def _by_votes(answers: Sequence[str | None]) -> list[str]:
    """The distinct texts, the most frequent one first."""
    votes = Counter(answer for answer in answers if answer is not None)
    return sorted(votes, key=lambda text: (-votes[text], text))


def _numbered(answers: Sequence[str | None], home: Mapping[str, str]) -> tuple[int | None, ...]:
    sizes = Counter(home[answer] for answer in answers if answer is not None)
    number = {first: place for place, (first, _) in enumerate(sizes.most_common())}  # of equals, the first one seen
    return tuple(None if answer is None else number[home[answer]] for answer in answers)


def membership(judged: Judged) -> tuple[Score, ...]:
    """Scores against a pseudo-label: 1 for the members of its cluster, else 0; none for a group without one.

    Where the supervision has values, they are the rewards; the outcome is membership all the same.
    """
    read, supervision = judged.read, judged.supervision
    if supervision is None or supervision.cluster is None:
        return ()
    outcomes = [float(cluster == supervision.cluster) for cluster in read.clusters]
    rewards = outcomes if supervision.values is None else supervision.values
    return tuple(_member(*entry) for entry in zip(read.group.rollouts, read.answers, outcomes, rewards, strict=True))


def _member(rollout: Rollout, answer: str | None, outcome: float, reward: float) -> Score:
    if rollout.failed:
        return LOST
    if answer is not None:
        return Score(outcome, reward, Status.OK, answer)
    return Score(0.0, reward, Status.TRUNCATED if rollout.finish_reason == "length" else Status.UNPARSEABLE)
