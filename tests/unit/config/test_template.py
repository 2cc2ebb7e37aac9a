"""Templates: what becomes of a row's prompt before anything else sees it."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from effrl.config import load
from effrl.config.data import DataConfig, JsonlSource
from effrl.config.template import PLAIN, TEMPLATES, Form
from effrl.data.reader import read
from effrl.data.survey import survey
from effrl.errors import UserError
from effrl.types import Message

SYSTEM = Message(role="system", content="Be brief.")
OWN_SYSTEM = Message(role="system", content="Be long.")
BEFORE = (Message(role="user", content="Hi"), Message(role="assistant", content="Hello"))


def user(content: str) -> Message:
    return Message(role="user", content=content)


def test_rows_stay_as_they_are_unless_something_is_said() -> None:
    assert PLAIN.apply("1+1=") == "1+1="
    assert PLAIN.apply((user("1+1="),)) == (user("1+1="),)


def test_named_templates() -> None:
    assert Form("chat").apply("1+1=") == (user("1+1="),)
    (asked,) = Form("boxed").apply("1+1=")
    assert asked == user("1+1=\n\nThink step by step, and put your final answer in \\boxed{}.")
    assert Form("question").apply("1+1=") == "Question: 1+1=\nAnswer:"


@pytest.mark.parametrize(
    ("form", "row", "marked"),
    [
        (PLAIN, "1+1=", "*"),
        (Form("question"), "1+1=", "Question: *\nAnswer:"),
        (Form("boxed"), "1+1=", (user(TEMPLATES["boxed"][0]["content"].replace("{prompt}", "*")),)),  # type: ignore[index]
        (Form("question", "Be brief."), "1+1=", (SYSTEM, user("Question: *\nAnswer:"))),
        (PLAIN, (*BEFORE, user("1+1=")), (*BEFORE, user("*"))),
        (Form(({"role": "user", "content": "{prompt}?"}, *BEFORE[::-1])), "1+1=", (user("*?"), *BEFORE[::-1])),
        (Form("{prompt} or {prompt}"), "1+1=", "*"),
        (PLAIN, (SYSTEM,), (SYSTEM,)),
    ],
    ids=["plain", "text", "message", "system", "conversation", "first message", "twice", "nobody asks"],
)
def test_a_mark_stands_where_the_row_s_own_text_stands(form: Form, row: Any, marked: Any) -> None:
    assert form.marked(form.apply(row), "*") == marked


def test_a_text_with_a_slot() -> None:
    assert Form("Q: {prompt}\n{braces} stay, A:").apply("{1}") == "Q: {1}\n{braces} stay, A:"
    assert Form("{prompt} {prompt}").apply("{prompt}") == "{prompt} {prompt}"


def test_messages_with_a_slot() -> None:
    """Few-shot examples, for one."""
    template = (
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "<{prompt}>"},
    )
    assert Form(template).apply("x") == (SYSTEM, *BEFORE, user("<x>"))
    assert Form(template).apply((OWN_SYSTEM, user("x"))) == (*BEFORE, OWN_SYSTEM, user("<x>"))


def test_messages_keep_their_place_and_the_last_of_the_user_is_put_into_the_template() -> None:
    row = (OWN_SYSTEM, *BEFORE, user("x"))
    assert Form("<{prompt}>").apply(row) == (OWN_SYSTEM, *BEFORE, user("<x>"))
    assert Form("chat").apply(row) == row
    assert Form("boxed").apply((user("x"), BEFORE[1]))[1:] == (BEFORE[1],)


def test_a_system_prompt() -> None:
    assert Form("plain", "Be brief.").apply("x") == (SYSTEM, user("x"))
    assert Form("chat", "Be brief.").apply("x") == (SYSTEM, user("x"))
    assert Form("plain", "Be brief.").apply((*BEFORE, user("x"))) == (SYSTEM, *BEFORE, user("x"))
    assert Form("plain", "Be brief.").apply((OWN_SYSTEM, user("x"))) == (OWN_SYSTEM, user("x")), "its own"


@given(st.sampled_from([*TEMPLATES, "a {prompt} b"]), st.none() | st.just("Be brief."), st.text(min_size=1))
def test_the_prompt_is_in_what_is_asked_once_and_last(template: str, system: str | None, prompt: str) -> None:
    asked = Form(template, system).apply(prompt)
    if isinstance(asked, str):
        assert prompt in asked and system is None
    else:
        assert asked[-1]["role"] == "user" and prompt in asked[-1]["content"]
        assert [message["role"] for message in asked[:-1]] == ([] if system is None else ["system"])


# --- where it is applied, and what is refused


def write(folder: Path, text: str) -> JsonlSource:
    (folder / "rows.jsonl").write_text(text)
    return JsonlSource(path=folder / "rows.jsonl")


def test_the_reader_applies_it_and_lengths_include_it(tmp_path: Path) -> None:
    source = write(tmp_path, '{"prompt": "1+1=", "label": "2", "level": 1}\n')
    (row,) = read(source, Form("<{prompt}>"))
    assert (row.prompt.content, row.prompt.id, row.prompt.meta, row.label) == ("<1+1=>", "rows:1", {"level": 1}, "2")
    assert survey(source).longest_bytes == 4
    assert survey(source, Form("<{prompt}>")).longest_bytes == 6
    assert survey(source, Form("chat")).conversations == 1


def test_a_row_without_a_place_for_it_is_malformed(tmp_path: Path) -> None:
    source = write(tmp_path, '{"prompt": [{"role": "assistant", "content": "x"}]}\n')
    with pytest.raises(UserError, match=r"rows\.jsonl:1: no message of role user"):
        list(read(source, Form("boxed")))


def data(**fields: Any) -> DataConfig:
    return load.validate({"data": {"train": "tasks:chain", **fields}}, "my.yaml").data


def test_the_config_makes_the_form() -> None:
    assert data().form == PLAIN
    assert data(template="boxed", system="Be brief.").form == Form("boxed", "Be brief.")
    own = [{"role": "user", "content": "<{prompt}>"}]
    assert data(template=own).form.apply("x") == (user("<x>"),)
    assert load.load("quickstart", ["data.template=question"]).data.template == "question"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"template": "boxd"}, "data.template: no template of this name.*plain, chat, boxed.*did you mean 'boxed'"),
        ({"template": "Solve this."}, "data.template: .*write {prompt} where the row's prompt goes"),
        ({"template": 3}, "data.template: write a name, a text with {prompt}, or messages"),
        ({"template": []}, "exactly one message"),
        ({"template": [{"role": "user", "content": "x"}]}, "exactly one message of a template, of role user, has"),
        ({"template": [{"role": "assistant", "content": "{prompt}"}]}, "of role user"),
        ({"template": [{"role": "user", "text": "{prompt}"}]}, "write a name, a text with {prompt}, or messages"),
        ({"template": [{"role": "human", "content": "{prompt}"}]}, "write a name, a text with {prompt}, or messages"),
        ({"system": " "}, "data.system: an empty system prompt says nothing"),
        (
            {
                "system": "x",
                "template": [{"role": "system", "content": "y"}, {"role": "user", "content": "{prompt}"}],
            },
            "data: data.template has a system message already",
        ),
    ],
)
def test_what_is_no_template(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        data(**fields)
    assert "\n" not in str(caught.value)
