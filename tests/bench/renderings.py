"""Answers of the project's own tasks, right and mutated, in many ways to write them: LaTeX, words, Unicode.

Which of two answers are equal is known beforehand, from the problems and without any verifier.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from effrl.tasks.problem import Problem
from effrl.tasks.source import FAMILIES, level_range, problems

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WIDE = {ord(sign): ord(sign) + 0xFEE0 for sign in "0123456789abcdefghijklmnopqrstuvwxyz"} | {ord("-"): "\uff0d"}
_RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")

Form = Callable[[str], str]

ANY: dict[str, Form] = {
    "latex: box": "\\boxed{{{}}}".format,
    "latex: text": "\\boxed{{\\text{{{}}}}}".format,
    "latex: bold": "$\\boxed{{\\mathbf{{{}}}}}$".format,
    "latex: typewriter": "\\[\\boxed{{\\texttt{{{}}}}}\\]".format,
    "latex: dollars": "#### ${}$".format,
    "words: answer line": "I worked it out.\n**Answer:** {}".format,
    "words: tag": "<think>Is it that?</think>\n<answer>{}</answer>".format,
    "words: markdown": "#### **{}**".format,
    "words: full stop": "\\boxed{{{}.}}".format,
    "unicode: full width": lambda answer: f"\\boxed{{{answer.translate(_WIDE)}}}",
    "unicode: chinese line": "答案\uff1a{}".format,
}
"""Of answers that are text or a number."""

NUMBERS: dict[str, Form] = {
    "latex: variable": "\\boxed{{x = {}}}".format,
    "latex: brackets": "\\boxed{{\\left({}\\right)}}".format,
    "latex: decimals": "\\boxed{{{}.0}}".format,
    "latex: unit": "\\boxed{{{}\\text{{ cm}}}}".format,
    "latex: degrees": "\\boxed{{{}^\\circ}}".format,
    "latex: power of ten": lambda answer: f"\\boxed{{{int(answer) / 10:.1f} \\times 10^{{1}}}}",
    "words: counted things": "\\boxed{{{} apples}}".format,
    "words: money": "#### {} dollars".format,
    "words: spelled out": lambda answer: f"\\boxed{{\\text{{{spelled_out(int(answer))}}}}}",
    "unicode: minus": lambda answer: f"\\boxed{{{answer.replace('-', chr(0x2212))}}}",
    "unicode: degrees": "\\boxed{{{}°}}".format,
    "unicode: money": lambda answer: f"\\boxed{{{_sign(answer)}€{abs(int(answer))}}}",
    "unicode: power of ten": lambda answer: f"\\boxed{{{int(answer) * 10}\u00d710{'-1'.translate(_RAISED)}}}",
}

TEXTS: dict[str, Form] = {
    "latex: upright": "\\boxed{{\\mathrm{{{}}}}}".format,
    "words: quotes": '\\boxed{{"{}"}}'.format,
    "unicode: quotes": "\\boxed{{“{}”}}".format,
}


@dataclass(frozen=True, slots=True)
class Rendered:
    """``Rendered("chain", "a", "latex: box", "\\boxed{-5}", "-5", True)``."""

    family: str
    kind: str
    form: str
    completion: str
    label: str
    right: bool


def rendered(per_kind: int, seed: int = 0) -> Iterator[Rendered]:
    """``per_kind`` problems of each kind of each family, in all forms, with the right answer and with two others."""
    rng = random.Random(seed)
    for family, module in FAMILIES.items():
        for kind in module.KINDS:
            for problem in problems(family, "train", per_kind, seed, level_range(family, None), kind):
                yield from _of(family, problem, rng)


def _of(family: str, problem: Problem, rng: random.Random) -> Iterator[Rendered]:
    numbers = family in ("chain", "brackets", "ladder")
    others = _other_numbers(problem) if numbers else _other_texts(problem)
    forms = ANY | (NUMBERS if numbers else TEXTS)
    for name, form in forms.items():
        yield Rendered(family, problem.kind, name, form(problem.answer), problem.answer, True)
        for other in rng.sample(others, min(2, len(others))):
            yield Rendered(family, problem.kind, name, form(other), problem.answer, False)


def _other_numbers(problem: Problem) -> list[str]:
    """The misreading's answer, neighbours, another sign, another place of the point, digits the other way round."""
    right, misread = int(problem.answer), int(problem.misread.answer)
    reversed_ = int(str(abs(right))[::-1])
    found = {misread, right + 1, right - 1, -right, 10 * right, right + 100, reversed_} - {right}
    return [str(number) for number in sorted(found)]


def _other_texts(problem: Problem) -> list[str]:
    """The misreading's answer, the text backwards, two letters exchanged, another first one, one letter more.

    A row of digits does not get one more: as numbers, 00 and 000 are equal.
    """
    right = problem.answer
    swapped = right[1] + right[0] + right[2:] if len(right) > 1 else right
    first = {"0": "1", "1": "0"}.get(right[0], "a" if right[0] != "a" else "b")
    found = {problem.misread.answer, right[::-1], swapped, first + right[1:]}
    if right.isalpha():
        found.add(right + right[-1])
    return sorted(found - {right})


def _sign(answer: str) -> str:
    return "-" if answer.startswith("-") else ""


def spelled_out(number: int) -> str:
    """A whole number below a thousand, or above minus a thousand, in words: ``minus forty-six``."""
    if number < 0:
        return f"minus {spelled_out(-number)}"
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    rest = f" {spelled_out(number % 100)}" if number % 100 else ""
    return f"{_ONES[number // 100]} hundred{rest}"
