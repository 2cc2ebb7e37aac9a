"""The built-in reward functions, and how a config's ``reward`` becomes what a worker runs.

They run in worker processes that are killed when they take too long, so nothing in here watches the time.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from functools import lru_cache, partial
from typing import Any, NamedTuple

from math_verify import parse, verify
from sympy import Expr, Rational, UnevaluatedExpr

from effrl import plugins
from effrl.config.reward import (
    AnyReward,
    AnyVerifier,
    ChoiceVerifier,
    ExactVerifier,
    MathVerifier,
    PluginVerifier,
    RegexVerifier,
    SumReward,
    TaskVerifier,
    answering,
)
from effrl.protocols import Reward, Verdict
from effrl.reward.choice import chosen
from effrl.reward.extract import final_answer
from effrl.reward.literal import by_text, comma_for_point, leaves_work, percentage, with_signs
from effrl.reward.normal import normal
from effrl.reward.quantity import Quantity, quantity
from effrl.reward.sandbox.messages import ScoringQuestion
from effrl.reward.verdict import checked
from effrl.reward.words import spelled
from effrl.tasks import gym
from effrl.tasks.source import FAMILIES
from effrl.types import Status

# Each worker would warn once that math-verify's own timeouts (SIGALRM) are off. They are, on purpose: see above.
logging.getLogger("math_verify").setLevel(logging.ERROR)

_INTEGER = re.compile(r"-?[0-9]{1,18}")
_RELATION = re.compile(r"[=<>\u2208\u2248\u2260-\u2265]|\\(?:le|ge|lt|gt|ne|in|approx|equiv|sim)")
"""What may be an equation, an inequality or a membership; ``\\left`` and ``\\infty`` are taken for one too."""
_INEQUALITY = re.compile(r"[<>\u2264\u2265]|\\(?:le|ge|lt|gt)(?:q|qslant)?(?![a-z])")
_NOISE = 1e-60
"""What sympy may leave of a number that is zero."""
_LONGEST = 500
"""Characters of an answer that is worth parsing: longer ones take seconds each, and are never a plain answer."""


class Number(NamedTuple):
    """A value to about fifteen digits, and as a fraction where it is written as one."""

    rough: complex
    exact: Fraction | None


def math(completion: str, label: str | None, meta: Mapping[str, Any], *, lenient: bool = False) -> Verdict:
    """1 where the final answer equals the label's in value, by math-verify; the label may be a worked solution."""
    gold = _gold(label)
    answer = final_answer(completion, lenient=lenient)
    if answer is None:
        return Verdict(0.0, None, Status.UNPARSEABLE)
    return Verdict(float(equivalent(answer, gold)), answer)


def exact(completion: str, label: str | None, meta: Mapping[str, Any], *, lenient: bool = False) -> Verdict:
    """1 where the final answer is the label's, letter by letter; spaces at the ends do not count."""
    gold = _gold(label)
    answer = final_answer(completion, lenient=lenient)
    if answer is None:
        return Verdict(0.0, None, Status.UNPARSEABLE)
    return Verdict(float(answer == gold), answer)


def task(completion: str, label: str | None, meta: Mapping[str, Any]) -> Verdict:
    """The verdict of the task family that made the prompt (:mod:`effrl.tasks`); its name stands in ``meta``."""
    gold = _gold(label)
    answer = task_answer(completion, meta)
    if answer is None:
        return Verdict(0.0, None, Status.UNPARSEABLE)
    if meta["family"] in gym.NAMES:
        return Verdict(gym.score(meta["family"], answer, gold, meta), answer)
    return Verdict(float(answer == gold), answer)


def task_answer(completion: str, meta: Mapping[str, Any]) -> str | None:
    """The final answer in its family's canonical form, so that equal answers are equal texts; None without one.

    Raises:
        ValueError: the prompt is of no task family.
    """
    if "family" not in meta:
        raise ValueError("reward.kind=task judges prompts of tasks:NAME sources; this one comes from elsewhere")
    answer = final_answer(completion)
    if answer is None or meta["family"] in gym.NAMES:
        return answer
    canonical: str | None = FAMILIES[meta["family"]].canonical(answer)
    return canonical


def choice(completion: str, label: str | None, meta: Mapping[str, Any], *, letters: str) -> Verdict:
    """1 where the completion's last stated option is the label's, which is a letter or states one itself."""
    gold = chosen(_gold(label), letters)
    if gold is None:
        raise ValueError(f"the label {label!r} is none of the options {letters}: set reward.letters, or mend the label")
    answer = chosen(completion, letters)
    if answer is None:
        return Verdict(0.0, None, Status.UNPARSEABLE)
    return Verdict(float(answer == gold), answer)


def regex(
    completion: str, label: str | None, meta: Mapping[str, Any], *, pattern: str, normalise: bool = False
) -> Verdict:
    """1 where the last text that the pattern captured, blank ones aside, is the label's."""
    tidy = _normal if normalise else str.strip
    gold = tidy(_gold(label))
    answer = next(filter(None, map(tidy, reversed(re.findall(pattern, completion)))), None)
    if answer is None:
        return Verdict(0.0, None, Status.UNPARSEABLE)
    return Verdict(float(answer == gold), answer)


def _normal(text: str) -> str:
    return " ".join(text.casefold().split()).removesuffix(".").rstrip()


def total(
    completion: str, label: str | None, meta: Mapping[str, Any], *, parts: Sequence[tuple[float, Reward]]
) -> Verdict:
    """The weighted mean of outcomes. One part that cannot judge, and the sum cannot; no answer adds nothing."""
    verdicts = [checked(judge(completion, label, meta)) for _, judge in parts]
    if failed := next((verdict for verdict in verdicts if not verdict.status.scored), None):
        return failed
    answer = next((verdict.answer for verdict in verdicts if verdict.answer is not None), None)
    status = Status.OK if any(verdict.status is Status.OK for verdict in verdicts) else Status.UNPARSEABLE
    right = sum(weight * verdict.outcome for (weight, _), verdict in zip(parts, verdicts, strict=True))
    return Verdict(right / sum(weight for weight, _ in parts), answer, status)


def in_format(completion: str, label: str | None, meta: Mapping[str, Any], *, pattern: str) -> float:
    """1 where the whole completion matches the pattern."""
    return float(re.fullmatch(pattern, completion, re.DOTALL) is not None)


@lru_cache(maxsize=4096)  # the rollouts of a group share their label and mostly their answers
def equivalent(answer: str, gold: str) -> bool:
    """Whether two answers are the same value: what can be told at once, else math-verify's judgement.

    Raises:
        ValueError: the label cannot be read.
    """
    if (told := told_at_once(answer, gold)) is not None:
        return told
    answer, gold = (with_signs(_quantity(text).value) for text in (answer, gold))
    if not _parse(gold):
        raise ValueError(f"the label {gold!r} cannot be read as mathematics")
    return _verified(gold, answer)


def told_at_once(answer: str, gold: str) -> bool | None:
    """Whether two answers are equal, where no mathematics is needed to tell; else None.

    Both are compared in one notation (:func:`effrl.reward.normal.normal`) and without their units, which must agree
    where both have one. Texts and whole numbers are compared as such; so are words, whose letters math-verify would
    multiply (:func:`effrl.reward.words.spelled`), and dates and numerals of a base, which it would work out. Two
    answers are refused: one longer than :data:`_LONGEST` (or twice the label), and one that leaves the arithmetic of a
    plain number to the verifier. ``12+34`` equals 46, and a policy that may answer so learns to repeat the question.
    """
    if len(answer) > max(_LONGEST, 2 * len(gold)):
        return False
    one, other = _quantity(answer), _quantity(gold)
    if not one.in_unit_of(other):
        return False
    if one.value == other.value or comma_for_point(one.value, other.value) or percentage(one.value, other.value):
        return True
    if _INTEGER.fullmatch(one.value) and _INTEGER.fullmatch(other.value):
        return int(one.value) == int(other.value)
    if (texts := by_text(one.value, other.value)) is not None:
        return texts
    if leaves_work(one.value, other.value):
        return False
    words = spelled(normal(answer)), spelled(normal(gold))
    return None if None in words else words[0] == words[1]


def same_at_once(one: str, other: str) -> bool | None:
    """:func:`told_at_once`, whichever of two answers is taken for the label."""
    told = told_at_once(one, other), told_at_once(other, one)
    return True if True in told else None if None in told else False


def same(completion: str, label: str | None, meta: Mapping[str, Any]) -> float:
    """1 where two answers are the same value, whichever is taken for the label; what cannot be read equals nothing."""
    assert label is not None, "two answers are compared"
    ways = [(completion, label), (label, completion)]
    told = [told_at_once(*way) for way in ways]
    if told == [None, None] and not _RELATION.search(completion + label):
        ways.pop()  # math-verify takes sides with relations alone
    return float(any(_equal(*way) for way in ways))


def _equal(answer: str, gold: str) -> bool:
    try:
        return equivalent(answer, gold)
    except MemoryError:
        raise
    except Exception:  # neither is a label, which somebody could mend
        return False


@lru_cache(maxsize=8192)  # an answer is looked at in both directions, and once more before mathematics
def _quantity(answer: str) -> Quantity:
    return quantity(normal(answer))


def functions(config: AnyReward) -> dict[ScoringQuestion, Reward]:
    """What a worker runs for each question that it may be asked; raises as :func:`load` does."""
    found: dict[ScoringQuestion, Reward] = {"outcome": load(config)}
    if (verifier := answering(config)) is not None:
        found["answer"] = load(verifier)
    if isinstance(verifier, MathVerifier):
        found["same"] = same
    if config.terms.format is not None:
        found["format"] = partial(in_format, pattern=config.terms.format.pattern)
    return found


def load(config: AnyReward | AnyVerifier) -> Reward:
    """The reward function that a config names.

    Raises:
        UserError: there is no such function of the user's own; one line that says what is wrong.
    """
    match config:
        case MathVerifier():
            return partial(math, lenient=True) if config.lenient else math
        case ExactVerifier():
            return partial(exact, lenient=True) if config.lenient else exact
        case TaskVerifier():
            return task
        case ChoiceVerifier():
            return partial(choice, letters=config.letters)
        case RegexVerifier():
            return partial(regex, pattern=config.pattern, normalise=config.normalise)
        case SumReward():
            return partial(total, parts=[(part.weight, load(part.reward)) for part in config.parts])
        case PluginVerifier():
            reward: Reward = plugins.load("reward.kind", config.kind)
            return reward


def _gold(label: str | None) -> str:
    # Without a label there is nothing to be right about: a score of 0 would punish good answers, silently.
    if label is None or not label.strip():
        raise ValueError("the prompt has no label")
    return final_answer(label) or label.strip()


@lru_cache(maxsize=4096)
def _parse(answer: str) -> list[Any]:
    # Wrapped in a box, it is read as a whole; bare text would be searched for anything that looks like a number.
    return list(parse(f"\\boxed{{{answer}}}", parsing_timeout=None, raise_on_error=True))


@lru_cache(maxsize=4096)
def _value(answer: str) -> Number | None:
    """The number that an answer is; None where it is none, and of percentages, which are two numbers."""
    try:
        found, *_ = _parse(answer)
        if isinstance(found, Expr) and found.is_number and not found.has(UnevaluatedExpr):
            exact = Fraction(int(found.p), int(found.q)) if isinstance(found, Rational) else None
            return Number(complex(found.evalf()), exact if "." not in answer else None)
    except MemoryError:
        raise
    except Exception:  # it has no value, or sympy cannot find it: math-verify decides
        return None
    return None


def _far_apart(one: Number | None, other: Number | None) -> bool:
    """Whether two numbers cannot be equal. math-verify rounds to six decimals, and would call all tiny ones equal."""
    if one is None or other is None:
        return False
    if one.exact is not None and other.exact is not None:
        return one.exact != other.exact
    largest = max(abs(one.rough), abs(other.rough))
    return abs(one.rough - other.rough) > 1e-5 * largest and largest > _NOISE


def _verified(gold: str, answer: str) -> bool:
    try:
        if _far_apart(_value(gold), _value(answer)):
            return False
        if _INEQUALITY.search(answer) and not _INEQUALITY.search(gold):
            gold, answer = answer, gold  # math-verify makes an interval of the label's inequality alone
        return bool(verify(_parse(gold), _parse(answer), timeout_seconds=None, raise_on_error=True))
    except MemoryError:
        raise
    except Exception:
        # The label could be read, so it is the answer that is malformed ("=-01"), and that is wrong. Were it an error,
        # a policy could have its bad rollouts left out by writing them so.
        return False
