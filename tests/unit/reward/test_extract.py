import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from effrl.reward.extract import final_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        # markers
        ("48+24 = 72 clips.\n#### 72", "72"),
        ("#### 1,000\n", "1,000"),
        ("####72", "72"),
        ("#### $18.50 \nDone.", "$18.50"),
        ("12+34=46;#46", "46"),
        ("#45;#46", "46"),
        ("#### 5\n#### 6", "6"),
        ("#### 5\n####", "5"),
        ("#46 \t", "46"),
        ("#-3", "-3"),
        # headings and other hashes are no markers
        ("# Answer", None),
        ("## Answer", None),
        ("### 42", None),
        ("##46", None),
        ("##### 46", None),
        ("####", None),
        ("#", None),
        ("####\n42", None),
        (r"costs \#46", None),
        ("## Step 1\n12+34=46\n#46", "46"),
        # boxes
        (r"So \boxed{72}.", "72"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{1} or \boxed{2}", "2"),
        (r"\boxed{\boxed{5}}", "5"),
        (r"\boxed {5}", "5"),
        (r"\boxed{ 5 }", "5"),
        (r"\boxed{\{1,2\}}", r"\{1,2\}"),
        (r"\boxed{\}}", r"\}"),
        (r"{ \boxed{5}", "5"),
        (r"} \boxed{5} }", "5"),
        ("\\boxed{a\nb}", "a\nb"),
        (r"\\\boxed{5}", "5"),
        # unbalanced or blank ones are not answers
        (r"\boxed{5", None),
        (r"\boxed{{5}", None),
        (r"\boxed{4} \boxed{5", "4"),
        (r"\boxed{}", None),
        (r"\boxed{4} \boxed{ }", "4"),
        # a box without braces
        (r"\boxed 5", "5"),
        (r"so \boxed 5.", "5"),
        (r"\boxed\frac{1}{2}$", r"\frac{1}{2}"),
        # tags and heads
        ("<answer>5</answer>", "5"),
        ("<answer>\n 5 \n</answer> #", "5"),
        (r"<answer>\boxed{5}</answer>", "5"),
        ("<answer>5</answer> or <answer>6</answer>", "6"),
        ("<answer>5", None),
        ("Answer: 5", "5"),
        ("3+2=5\n**Final Answer:** $5$", "$5$"),
        ("**Answer: 5**", "5"),
        ("#### Answer: 5", "5"),
        ("答案\uff1a5", "5"),
        ("Antwort: 12", "12"),
        ("R\u00e9ponse : 5", "5"),
        ("Respuesta final: 5", "5"),
        ("Answer:", None),
        (r"Answer: 4, no: \boxed{5}", "5"),
        ("my first answer: 4", None),
        # what was thought before the answer
        (r"<think>\boxed{4}</think>\n#### 5", "5"),
        (r"<think>\boxed{4}</think>", None),
        # headings and comments, where something else is marked
        ("\\boxed{14}\n\n#### Check\n6+8=14", "14"),
        ("#### 14\n#### Why", "14"),
        ("\\boxed{14}\n#the sum of both", "14"),
        ("\\boxed{14}\nAnswer: see above", "14"),
        ("\\boxed{14}\n#### Check: 15", "14"),
        ("#### Paris\n#### Rome", "Rome"),
        (r"\boxed{Paris} #### Rome", "Paris"),
        # both kinds: the later one
        (r"#### \boxed{5}", "5"),
        (r"\boxed{4} #### 5", "5"),
        ("#5\n" + r"\boxed{4}", "4"),
        (r"\boxed{#5}", "#5"),
        # prose is not searched
        ("The answer is 72.", None),
        ("", None),
    ],
)
def test_table(text: str, answer: str | None) -> None:
    assert final_answer(text) == answer


patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no failure."""
HEADING = re.compile(r"[*_]*[^\W\d_]{2}")
ANSWERS = st.text(st.characters(exclude_characters="#<*{}\\\n\r", exclude_categories=["Cs"]), min_size=1).filter(
    lambda text: text.strip() and not HEADING.match(text.strip())
)
MARKERS = st.sampled_from(["\\boxed{%s}", "#### %s", "####%s", "#%s"])


@patiently
@given(st.lists(st.tuples(MARKERS, ANSWERS), min_size=1), st.text("ab 1=.\n"))
def test_the_last_marker_wins(parts: list[tuple[str, str]], prose: str) -> None:
    parts = [(marker, answer.strip()) for marker, answer in parts]
    text = "".join(f"{prose}{marker % answer}\n" for marker, answer in parts)
    assert final_answer(text + prose) == parts[-1][1]


@patiently
@given(st.text("ab1 .,=+-\n"))
def test_prose_has_no_answer(text: str) -> None:
    assert final_answer(text) is None


@patiently
@given(st.text("\\boxed{} #1\n"))
def test_any_text_gives_a_stripped_answer_or_none(text: str) -> None:
    answer = final_answer(text)
    assert answer is None or (answer and answer == answer.strip() and answer in text)


@patiently
@given(st.lists(st.sampled_from(["1", "+", "{%s}", "\\\\frac%s"])))
def test_balanced_braces_are_kept(parts: list[str]) -> None:
    content = ""
    for part in parts:
        content = part % content if "%" in part else content + part
    assert final_answer(f"}} \\boxed{{{content}}} {{") == (content or None)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"The answer is 72, and \boxed{5}", "5"),  # what is marked comes first
        ("The answer is 72.", "72"),
        ("The answer is 5 apples because 3 + 2 = 5.", "5"),
        (r"The final answer is $\frac{1}{2}$. I hope it is correct.", r"\frac{1}{2}"),
        ("The answer is Paris.", "Paris"),
        ("The answer is 4. No: the answer is 5. 6 is wrong.", "5"),
        ("Answer: The total is 5 apples", "5"),
        ("So we get $3+9=12$.", "3+9=12"),
        ("so 3 + 4 = 7", "7"),
        ("A costs $5 and B costs $7", "$7"),
        ("Thus x is **73**", "73"),
        ("It is -3", "-3"),
        ("5-3", "3"),
        ("about 45%", "45%"),
        ("we pay 1,234.50 dollars.", "1,234.50"),
        ("答案是5", "5"),
        ("<think>The answer is 4.</think> I do not know.", None),
        ("no idea", None),
    ],
)
def test_lenient_reading(text: str, answer: str | None) -> None:
    assert final_answer(text, lenient=True) == answer


@patiently
@given(st.text("ab1 .,=+-\n$*"))
def test_lenient_reading_finds_a_part_of_the_text(text: str) -> None:
    answer = final_answer(text, lenient=True)
    assert answer is None or (answer and answer in text)


@pytest.mark.parametrize(
    "unit", ["answer is ", "$", "$1", "\\(", "**", "1,", "1/", "-", "Answer: ", "<answer>", "\n", "the sum "]
)
def test_lenient_reading_takes_no_time(unit: str) -> None:
    start = time.thread_time()
    final_answer(unit * 5_000, lenient=True)
    assert time.thread_time() - start < 2


@pytest.mark.parametrize("unit", ["\\boxed{", "{", "}", "#", "#1 ", "#### ", "\\", "\\boxed{}"])
def test_degenerate_completions_take_no_time(unit: str) -> None:
    start = time.thread_time()
    final_answer(unit * 5_000)
    assert time.thread_time() - start < 2
