"""One notation for answers, the units around them, and what is told without mathematics."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.reward.literal import by_text, leaves_work, with_signs
from effrl.reward.normal import normal
from effrl.reward.numerals import number_of_words
from effrl.reward.quantity import Quantity, quantity
from effrl.reward.rules import RULES, Rule
from effrl.reward.verifiers import same, told_at_once

EXAMPLES = [(rule, before, after) for rule in RULES for before, after in rule.examples.items()]


@pytest.mark.parametrize(("rule", "before", "after"), EXAMPLES, ids=lambda value: str(value)[:40])
def test_a_rule_does_what_its_example_says(rule: Rule, before: str, after: str) -> None:
    assert normal(before) == after, rule.name
    assert normal(after) == after, "what is in one notation stays so"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_every_rule_is_needed_by_an_example(rule: Rule) -> None:
    """A rule that nothing shows is dead, or does more than its name says."""
    examples = [before for _, before, _ in EXAMPLES]
    assert any(_without(rule, before) != normal(before) for before in examples)


def _without(left_out: Rule, answer: str) -> str:
    from effrl.reward import normal as module

    kept = tuple(rule for rule in RULES if rule is not left_out)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "RULES", kept)
        return module.normal.__wrapped__(answer)


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("42,", "42"),
        ("**73**", "73"),
        ("$42$.", "42"),
        (r"\(42\)", "42"),
        ("= 42", "42"),
        (r"\approx 3.1", "3.1"),
        ("(42)", "42"),
        ("+ 5", "5"),
        ("- 5", "-5"),
        ("5!", "5!"),
        ("$5 and $6", "$5 and $6"),
        (r"\(a\) and \(b\)", r"\(a\) and \(b\)"),
        ("(1, 2)", "(1, 2)"),
        ("1,2,345", "1,2,345"),
        ("100, 200", "100, 200"),
        ("", ""),
    ],
)
def test_what_stands_around_a_value(answer: str, found: str) -> None:
    assert normal(answer) == found


@given(st.integers(-(10**18), 10**18))
def test_a_number_is_found_in_all_its_notations(number: int) -> None:
    for written in (f"{number:,}", f"${number}$", f"{number:,}".replace(",", r"\,"), f"{number}.", f"**{number}**"):
        assert normal(written) == str(number)


@given(st.integers(0, 999_999))
def test_numbers_in_words(number: int) -> None:
    assert number_of_words(_spell(number)) == number
    assert normal(_spell(number)) == str(number)


ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
ONES += [f"{stem}teen" for stem in ("thir", "four", "fif", "six", "seven", "eigh", "nine")]
TENS = ["", "", *(f"{stem}ty" for stem in ("twen", "thir", "for", "fif", "six", "seven", "eigh", "nine"))]


def _spell(number: int) -> str:
    if number < 20:
        return ONES[number]
    if number < 100:
        return TENS[number // 10] + (f"-{ONES[number % 10]}" if number % 10 else "")
    size, name = (100, "hundred") if number < 1000 else (1000, "thousand")
    rest = f" {_spell(number % size)}" if number % size else ""
    return f"{_spell(number // size)} {name}{rest}"


@pytest.mark.parametrize(
    "text", ["", "no", "one two", "twenty eleven", "hundred", "ten hundred million million", "oneone"]
)
def test_other_words_are_no_numbers(text: str) -> None:
    assert number_of_words(text) is None


@pytest.mark.parametrize(
    ("answer", "value", "unit"),
    [
        ("15 dollars", "15", ("dollar",)),
        (r"\$15", "15", ("dollar",)),
        ("-$5", "-5", ("dollar",)),
        ("40 €", "40", ("euro",)),
        ("USD 40", "40", ("dollar",)),
        (r"45^{\circ}", "45", ("degree",)),
        ("5cm", "5", ("centimeter",)),
        (r"5\text{ cm}^2", "5", ("centimeter", "square")),
        ("60 km/h", "60", ("kph",)),
        ("5 m^2", "5", ("meter", "square")),
        (r"5 \mathrm{m}", "5", ("meter",)),
        ("5 red apples", "5", ("red", "apple")),
        ("x = 5 cm", "x = 5", ("centimeter",)),
        # variables, sentences, and words that change a value
        ("5x", "5x", ()),
        ("5xy", "5xy", ()),
        ("5 m", "5 m", ()),
        ("5 or 6", "5 or 6", ()),
        ("6 is the answer", "6 is the answer", ()),
        (r"5\pi", r"5\pi", ()),
        ("apples", "apples", ()),
    ],
)
def test_units(answer: str, value: str, unit: tuple[str, ...]) -> None:
    assert quantity(answer) == Quantity(value, unit)


@pytest.mark.parametrize(
    ("one", "other", "agree"),
    [
        ("2,74", "2.74", True),
        ("2,74", "2.75", None),
        (r"12.5\%", "12.5", True),
        ("-5%", "-0.05", True),
        ("5 cm", "5 m/s", False),
        ("5 cm", "5 centimeters", True),
        ("5 cm", r"5 \text{ cm}^2", False),
        ("5 square feet", r"5 \text{ ft}^2", True),
        ("5 apples", "5 red apples", True),
        ("5 apples", "5 oranges", False),
        (r"\$5", "5 euros", False),
        ("5", "5 euros", True),
        ("3:30 am", "3:30 p.m.", False),
    ],
)
def test_units_agree_or_the_answers_differ(one: str, other: str, agree: bool | None) -> None:
    assert told_at_once(one, other) is told_at_once(other, one) is agree


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("2024-01-05", "2018", False),
        ("2024-1-5", "2024-01-05", True),
        ("10:15", "2:3", False),
        ("132_5", "132_{5}", True),
        ("132_5", "132_7", False),
        ("132_5", "132", True),
        ("132_5", "42", False),
        ("1A_{16}", "1a_{16}", True),
        ("a_1", "a_2", None),
        ("1:2", "2:4", None),
        ("5", "6", None),
    ],
)
def test_what_is_no_mathematics_is_text(one: str, other: str, equal: bool | None) -> None:
    assert by_text(one, other) is by_text(other, one) is equal


@pytest.mark.parametrize(
    "answer", ["12+30", "12 + 30", "(12)+(30)", "4!+18", r"\sum_{k=1}^{6}7", "6(7)", "84/2", "2^5+10"]
)
def test_work_is_left_undone(answer: str) -> None:
    assert leaves_work(answer, "42") and not leaves_work(answer, r"\sqrt{1764}")


@pytest.mark.parametrize(
    ("answer", "gold"),
    [
        ("42", "42"),
        ("-42", "42"),
        ("12+30=42", "42"),
        ("x=42", "42"),
        ("1/2", "0.5"),
        (r"\frac{1}{2}", "0.5"),
        ("42%", "42"),
    ],
)
def test_numbers_leave_no_work(answer: str, gold: str) -> None:
    assert not leaves_work(answer, gold)


@pytest.mark.parametrize("unit", ["1", "1,", "{", r"\frac", "1 ", "$", "*", "(", "1,234", "√", "½", "1/", r"\\"])
@pytest.mark.parametrize("end", ["", "x", r"\text{", "e", "."])
def test_degenerate_answers_take_no_time(unit: str, end: str) -> None:
    start = time.thread_time()
    told_at_once((unit * 500)[:490] + end, "42")
    assert time.thread_time() - start < 1


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        ("6ab", r"6\cdot a\cdot b"),
        ("6 a b", r"6\cdot a\cdot b"),
        (r"1 \text{ or } x", r"1 \text{ or } x"),
        ("2xy+3x", r"2\cdot x\cdot y+3\cdot x"),
        ("2sin(x)", "2sin(x)"),
        ("3pi", "3pi"),
        (r"x_1 y", r"x_1 y"),
        (r"2\pi r", r"2\pi r"),
    ],
)
def test_products_of_variables_get_their_signs(answer: str, found: str) -> None:
    assert with_signs(answer) == found


@pytest.mark.parametrize(
    ("one", "other", "equal"), [("6ab", "6ba", 1), ("6ab", "6", 0), ("6ab", "6a", 0), ("2mn", "2 m n", 1)]
)
def test_letters_after_a_number_are_no_units(one: str, other: str, equal: float) -> None:
    assert same(one, other, {}) == same(other, one, {}) == equal
