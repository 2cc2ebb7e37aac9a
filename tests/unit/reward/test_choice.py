"""Which option a completion states: a table made by hand, and properties."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.reward.choice import chosen

LETTERS = "ABCD"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("b", "B"),
        ("(b)", "B"),
        ("B. Paris", "B"),
        ("B) Paris", "B"),
        ("(B) Paris", "B"),
        ("**B**", "B"),
        ("**B. Paris**", "B"),
        ("The answer is B", "B"),
        ("The answer is (B).", "B"),
        ("the answer is: B", "B"),
        ("Answer: B", "B"),
        ("ANSWER: (B)", "B"),
        ("Answer - B", "B"),
        ("**Answer: B**", "B"),
        ("Answer: **B**", "B"),
        ("**Answer:** B", "B"),
        ("The correct answer is option B.", "B"),
        ("The correct option is B", "B"),
        ("The best choice would be C, since x.", "C"),
        ("So the answer to the question is D.", "D"),
        ("\\boxed{B}", "B"),
        ("\\boxed{\\text{B}}", "B"),
        ("\\boxed{\\textbf{(B)}}", "B"),
        ("$\\boxed{b}$", "B"),
        ("\\boxed{B. Paris}", "B"),
        ("\\boxed{(B) 42}", "B"),
        ("#### B", "B"),
        ("#### (B)", "B"),
        ("so;#B", "B"),
        ("<answer>B</answer>", "B"),
        ("<answer> (b) </answer>", "B"),
        ("<answer>B: Paris</answer>", "B"),
        ("The answer is A. Wait, the answer is B.", "B"),
        ("\\boxed{A} no, \\boxed{C}", "C"),
        ("The answer is B, since A is too small.", "B"),
        ("A is wrong. B is wrong. C is correct.", "C"),
        ("The answer is B. A is not possible.", "B"),
        ("I choose C.", "C"),
        ("I'll go with option D", "D"),
        ("I would pick (A).", "A"),
        ("Thinking...\n\nB", "B"),
        ("Thinking...\nB. Paris", "B"),
        ("It can only be (B).", "B"),
        ("so it must be C.", "C"),
        ("The answer is $B$.", "B"),
        ("The answer is \\(B\\)", "B"),
        ("The final answer is \\boxed{D}.", "D"),
        ('The answer is "B".', "B"),
        ("Paris is the capital. \\boxed{Paris}", None),
        ("The answer is B: Paris. \\boxed{Paris}", "B"),
        ("The answer is A or B", None),
        ("The answer is (A) or (B).", None),
        ("Answer: A, B", None),
        ("\\boxed{A, B}", None),
        ("\\boxed{A and C}", None),
        ("\\boxed{A/B}", None),
        ("A or B", None),
        ("A, B, C, D", None),
        ("#### A B", None),
        ("AB", None),
        ("\\boxed{AB}", None),
        ("A. Paris\nB. London\nC. Rome\nD. Bonn", None),
        ("", None),
        ("  ", None),
        ("E", None),
        ("\\boxed{E}", None),
        ("The answer is E", None),
        ("A good question about cities.", None),
        ("The answer is a bit complicated.", None),
        ("The answer is Berlin.", None),
        ("Answer: Because", None),
        ("I think vitamin D helps, and A is a vowel", None),
        ("Option A is wrong, option B as well", None),
        ("The answer is not A", None),
        ("\\boxed{B", None),
        ("The answer is B-flat", None),
        ("A's", None),
        ("The correct answer is A.", "A"),
        ("A is the correct answer", "A"),
        ("is B correct?", None),
        ("B is incorrect", None),
        ("B is not correct", None),
        ("Let me list: A. x\nB. y\nAnswer: A", "A"),
        ("Choice: D", "D"),
        ("Final answer: C\n", "C"),
        ("Answer is C because B has...", "C"),
        ("answer:C", "C"),
        ("Answer=C", "C"),
        ("The answer is either A or B.", None),
        ("The answer is A. However, B is correct as well? The answer is A and B.", None),
        ("Answer: (C) Rome", "C"),
        ("Answer: C. Rome", "C"),
        ("Answer:\nC", "C"),
        ("Answer:\n\nC. Rome", "C"),
        ("### Answer\nB", "B"),
        ("## Answer: B", "B"),
        ("Question?\nA. x\nB. y\nC. z\nD. w\nSo B.", "B"),
        ("the answer is (c).", "C"),
        ("The answer is A.\n\nExplanation: B is correct only when", "B"),
        ("Reasoning\n</think>\nC", "C"),
        ("Therefore, vitamin (D) helps.", None),
        ("The answer is a", None),
    ],
)
def test_table(text: str, letter: str | None) -> None:
    assert chosen(text, LETTERS) == letter


FORMS = [
    "{}", "({})", "{}.", "**{}**", "\\boxed{{{}}}", "\\boxed{{\\text{{{}}}}}", "#### {}", "<answer>{}</answer>",
    "The answer is {}.", "Answer: ({})", "the correct option is **{}**", "I choose {}.", "{} is correct.",
]  # fmt: skip
STATED = st.sampled_from(FORMS[4:])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("letters", ["AB", "ABCD", "ABCDEFGHIJ", "XYZ"])
def test_every_form_with_every_letter(form: str, letters: str) -> None:
    assert [chosen(form.format(letter), letters) for letter in letters] == list(letters)
    assert chosen(form.format("Q"), letters) is None


@given(st.lists(st.tuples(STATED, st.sampled_from(LETTERS)), min_size=1, max_size=5))
def test_the_last_statement_decides(parts: list[tuple[str, str]]) -> None:
    text = "\n".join(form.format(letter) for form, letter in parts)
    assert chosen(text, LETTERS) == parts[-1][1]


@given(STATED, st.permutations(LETTERS), st.sampled_from(["{} or {}", "{}, {}", "{}/{}", "{} and {}", "({}) or ({})"]))
def test_two_options_side_by_side_are_none(form: str, letters: list[str], pair: str) -> None:
    """A policy that names every option would be right every time."""
    assert chosen(form.format(pair.format(*letters)), LETTERS) in (None, letters[1] if "is correct" in form else None)


@given(st.text(st.sampled_from("aAbB cD.:()\n*{}\\#$answer is boxed"), max_size=80))
def test_any_text_gives_an_option_or_none(text: str) -> None:
    assert chosen(text, LETTERS) in (*LETTERS, None)


@pytest.mark.parametrize(
    "unit",
    ["\\boxed{", "answer is ", "i would pick ", "<answer>", "\\text{", "A or ", "#", "(", " ", "\n", "Answer: A, "],
)
def test_degenerate_completions_take_no_time(unit: str) -> None:
    start = time.thread_time()
    chosen(f"option{unit * 5_000}", LETTERS)
    assert time.thread_time() - start < 2
