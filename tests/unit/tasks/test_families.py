"""The task families: right answers by a second, naive reading of each rule, levels, kinds and splits."""

import random
import re
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from effrl.tasks import brackets, chain, knights, ladder, strings
from effrl.tasks.problem import Problem, reflection
from effrl.tasks.source import FAMILIES, problems, split_of


def draw(family: str, seed: int) -> Problem:
    module, rng = FAMILIES[family], random.Random(seed)
    problem: Problem = module.make(rng, rng.randrange(len(module.LEVELS)), rng.choice(module.KINDS))
    return problem


def chain_answer(prompt: str, reading: int) -> str:
    """Python's own arithmetic on the letter's meaning, from left to right."""
    value, *rest = re.findall(r"\D?\d+", prompt)
    total = int(value)
    for term in rest:
        letter, number = term[0], int(term[1:])
        meaning = chain.READINGS[letter][reading] if letter in chain.READINGS else f"a{letter}b"
        total = eval(meaning, {"a": total, "b": number})
    return str(total)


def brackets_answer(tokens: list[str], kind: str, reading: int) -> int:
    """Split at the operation that binds loosest, the rightmost of equals, and recurse: from the top down."""
    if len(tokens) == 1:
        return int(tokens[0])
    if "(" in tokens:
        start, end = tokens.index("("), tokens.index(")")
        inner = brackets_answer(tokens[start + 1 : end], kind, reading)
        return brackets_answer([*tokens[:start], str(inner), *tokens[end + 1 :]], kind, reading)
    operation, *precedences = brackets.READINGS[kind]
    strength = {"loose": 0, "equal": 1, "tight": 2}[precedences[reading]]
    places = range(1, len(tokens), 2)
    place = min(places, key=lambda at: (strength if tokens[at] == kind else 1, -at))
    left, right = (brackets_answer(part, kind, reading) for part in (tokens[:place], tokens[place + 1 :]))
    operator = operation if tokens[place] == kind else tokens[place]
    return {"+": left + right, "-": left - right, "~": right - left}[operator]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1]))
def test_chain_is_worked_from_left_to_right(seed: int, reading: int) -> None:
    problem = draw("chain", seed)
    assert (problem.right, problem.misread)[reading].answer == chain_answer(problem.prompt, reading)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1]))
def test_brackets_follow_precedence(seed: int, reading: int) -> None:
    problem = draw("brackets", seed)
    tokens = re.findall(r"\d+|\D", problem.prompt[:-1])
    expected = str(brackets_answer(tokens, problem.kind, reading))
    assert (problem.right, problem.misread)[reading].answer == expected


@pytest.mark.parametrize(
    ("prompt", "kind", "reading", "worked"),
    [
        ("9-4j3=", "j", 0, "4-3=1;9-1=8;#8"),
        ("9-4j3=", "j", 1, "9-4=5;5-3=2;#2"),
        ("2l9-6=", "l", 0, "9-6=3;2-3=-1;#-1"),
        ("(2+4)+3m6=", "m", 0, "2+4=6;6-3=3;6+3=9;#9"),
        ("5-(3k9)-2=", "k", 0, "9-3=6;5-6=-1;-1-2=-3;#-3"),
        ("8+16k1=", "k", 0, "8+16=24;1-24=-23;#-23"),
        ("1o2-3-4=", "o", 0, "2-3=-1;-1-4=-5;-5-1=-6;#-6"),
    ],
)
def test_brackets_by_hand(prompt: str, kind: str, reading: int, worked: str) -> None:
    operation, *precedences = brackets.READINGS[kind]
    rank = {"tight": 2, "equal": 1, "loose": 0}[precedences[reading]]
    assert brackets._work(prompt[:-1], kind, operation, rank).text == worked


@pytest.mark.parametrize(
    ("prompt", "answer"),
    [
        ("Q(abcd)=", "bcda"),
        ("R(abcd)=", "abc"),
        ("S(abcd)=", "bacd"),
        ("T(abc)=", "aabc"),
        ("U(abcd)=", "dbca"),
        ("V(abc)=", "bc"),
        ("W(abcd)=", "dabc"),
        ("X(abc)=", "abcc"),
    ],
)
def test_strings_by_hand(prompt: str, answer: str) -> None:
    letter, text = prompt[0], prompt[2:-2]
    assert strings._work(text, strings.READINGS[letter][0], reversed_=False).answer == answer
    assert strings._work(text, strings.READINGS[letter][0], reversed_=True).answer == answer[::-1]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1]))
def test_knights_have_exactly_one_solution(seed: int, reading: int) -> None:
    """Brute force over all assignments, from the prompt's text alone."""
    problem = draw("knights", seed)
    said = [part.split(":") for part in problem.prompt[:-1].split(";")]
    names = [who for who, _ in said]
    truth = {
        "=": lambda a, b: a == b,
        "!": lambda a, b: a != b,
        "&": lambda a, b: a and b,
        "|": lambda a, b: a or b,
    }
    table = knights.READINGS[problem.kind][reading]
    truth[problem.kind] = lambda a, b: table[2 * (not a) + (not b)] == "1"
    solutions = [
        "".join("01"[sort[name]] for name in names)
        for bits in product((True, False), repeat=len(names))
        for sort in [dict(zip(names, bits, strict=True))]
        if all(bool(truth[text[1]](sort[text[0]], sort[text[2]])) == sort[who] for who, text in said)
    ]
    assert solutions == [(problem.right, problem.misread)[reading].answer]


@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_every_problem_tempts(family: str, seed: int) -> None:
    """A problem on which both readings agree would count for a rule that nobody followed."""
    problem, module = draw(family, seed), FAMILIES[family]
    assert problem.right.answer != problem.misread.answer
    assert problem.kind in problem.prompt and problem.kind in module.KINDS
    for worked in (problem.right, problem.misread):
        assert module.canonical(worked.answer) == worked.answer, "labels are canonical"
        assert worked.text.endswith(f"#{worked.answer}") and len(worked.text) < 64


def test_there_are_many_independent_rules() -> None:
    rules = [(family, kind, module.READINGS[kind]) for family, module in FAMILIES.items() for kind in module.KINDS]
    assert len(rules) == 40
    for module in FAMILIES.values():
        right = [reading[:-1] if len(reading) == 3 else reading[0] for reading in module.READINGS.values()]
        assert len(set(right)) == len(module.KINDS), "no two kinds of a family are read alike"


@pytest.mark.parametrize("family", FAMILIES)
def test_splits_never_overlap(family: str) -> None:
    module = FAMILIES[family]
    drawn = {
        split: {
            problem.prompt
            for seed in range(3)
            for problem in problems(family, split, 64, seed, range(len(module.LEVELS)), module.KINDS)
        }
        for split in ("train", "dev", "test")
    }
    assert all(split_of(prompt) == split for split, prompts in drawn.items() for prompt in prompts)
    assert not drawn["train"] & drawn["dev"] and not drawn["train"] & drawn["test"] and not drawn["dev"] & drawn["test"]


def test_a_draw_repeats_and_is_distinct() -> None:
    one, two = ([p.prompt for p in problems("chain", "train", 300, 5, range(5), chain.KINDS)] for _ in range(2))
    assert one == two and len(set(one)) == 300
    assert one != [p.prompt for p in problems("chain", "train", 300, 6, range(5), chain.KINDS)]


def test_levels_and_kinds_are_in_turn() -> None:
    drawn = list(problems("chain", "train", 96, 0, range(1, 3), "aab"))
    assert {problem.level for problem in drawn} == {1, 2}
    assert sum(problem.kind == "a" for problem in drawn) == 2 * sum(problem.kind == "b" for problem in drawn)


def test_a_family_that_runs_out_says_so() -> None:
    with pytest.raises(ValueError, match="distinct problems of this sort, not 5000"):
        list(problems("knights", "dev", 5000, 0, range(1), "I"))


def test_canonical_answers() -> None:
    assert chain.canonical("007") == "7" and chain.canonical("-0") == "0"
    assert chain.canonical("1+2") is None and chain.canonical("\u0661") is None and chain.canonical("") is None
    assert strings.canonical("ab") == "ab" and strings.canonical("a b") is None
    assert knights.canonical("10") == "10" and knights.canonical("12") is None
    assert ladder.canonical("7") == "7" and ladder.canonical("17") is None and ladder.canonical("-7") is None


def test_reflection_prompt() -> None:
    assert reflection("7a5=", ("-2", "2")) == "7a5=[-2,2]"
