"""How the model is asked once more, and what is wrong with a template of one's own."""

from pathlib import Path

import pytest
from looked import looked

from effrl.config.stages import Reflection
from effrl.errors import UserError
from effrl.label.easyrl.reflection import Reflector
from effrl.tasks.problem import reflection
from effrl.types import Message, Prompt

LOOK = looked("p", "7<8", "{{ 9 }}", "{{ 9 }}", None)
PROMPT = Prompt("p", "How many?", {"level": 2})


def text(prompt: Prompt = PROMPT, **fields: object) -> str:
    return Reflector.of(Reflection.model_validate(fields))(prompt, LOOK).text


@pytest.mark.parametrize("template", ["math", "choice", "free"])
def test_the_question_and_the_own_answers_are_shown_as_they_are(template: str) -> None:
    """The released code shows two fixed candidates instead; and what a model wrote is text, not markup or template."""
    shown = text(template=template)
    assert "How many?" in shown
    assert shown.index("- {{ 9 }}\n") < shown.index("- 7<8\n"), "the most voted first"
    assert "None" not in shown


@pytest.mark.parametrize("template", ["math", "choice", "free"])
def test_without_candidates_none_is_shown_or_spoken_of(template: str) -> None:
    shown = text(template=template, candidates="none")
    assert "How many?" in shown and "7<8" not in shown and "9" not in shown
    assert "ttempts" not in shown and "answers" not in shown
    assert (
        shown == Reflector.of(Reflection.model_validate({"template": template}))(PROMPT, looked("p", None, None)).text
    )


def test_the_built_in_models_are_asked_as_they_were_taught() -> None:
    asked = Reflector.of(Reflection(template="tiny"))(Prompt("p", "7a5="), looked("p", "2", "-2", "-2"))
    assert asked.content == reflection("7a5=", ("-2", "2"))
    assert (
        Reflector.of(Reflection(template="tiny", candidates="none"))(asked, looked("p", "2")).content == asked.content
    )


@pytest.mark.parametrize(
    ("most", "shown"), [(1, ["4"]), (2, ["4", "6"]), (3, ["4", "6", "5"]), (9, ["4", "6", "5", "3"])]
)
def test_at_most_so_many_candidates_are_shown(most: int, shown: list[str], tmp_path: Path) -> None:
    """Of equals, those that were sampled first."""
    template = tmp_path / "own.j2"
    template.write_text("{{ question }} {{ answers | join(',') }}")
    made = Reflector.of(Reflection(template=template, most=most))
    assert made(PROMPT, looked("p", "6", "4", "5", "4", "3", "6", "4")).content == f"How many? {','.join(shown)}"


def test_plain_text_stays_plain_text_under_its_id_and_meta() -> None:
    found = Reflector.of(Reflection())(PROMPT, LOOK)
    assert isinstance(found.content, str)
    assert (found.id, found.meta) == (PROMPT.id, PROMPT.meta)


def test_of_messages_the_last_one_of_the_user_changes() -> None:
    messages = (
        Message(role="system", content="be brief"),
        Message(role="user", content="hello"),
        Message(role="assistant", content="yes?"),
        Message(role="user", content="How many?"),
    )
    found = Reflector.of(Reflection())(Prompt("p", messages), LOOK).content
    assert not isinstance(found, str)
    assert found[:3] == messages[:3]
    assert found[3]["role"] == "user" and "How many?" in found[3]["content"] and "7<8" in found[3]["content"]


def test_messages_without_a_user_are_named() -> None:
    prompt = Prompt("p7", (Message(role="system", content="be brief"),))
    with pytest.raises(UserError, match=r"p7 has no message of a user.*reflection=null"):
        Reflector.of(Reflection())(prompt, LOOK)


@pytest.mark.parametrize(
    ("source", "wrong"),
    [
        ("{{ question }} {% for answer in answers %}", "no template that works.*mend it"),
        ("{{ question }} {{ answers }} {{ label }}", "uses label: a template has question and answers alone"),
        ("{{ answers }}", "never shows the question"),
        ("{{ question }}", "never shows the answers.*candidates=none"),
        ("{{ question }} {{ answers + 1 }}", "no template that works.*mend it"),
        ("{{ question }} {{ answers[5].text }}", "no template that works.*mend it"),
    ],
)
def test_a_template_that_cannot_work_is_one_line(source: str, wrong: str, tmp_path: Path) -> None:
    file = tmp_path / "own.j2"
    file.write_text(source)
    with pytest.raises(UserError, match=wrong) as raised:
        Reflector.of(Reflection(template=file))
    assert str(file) in str(raised.value) and "\n" not in str(raised.value)


def test_a_template_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"maths.*cannot be read.*name math, choice, free, tiny, or a Jinja file"):
        Reflector.of(Reflection(template=tmp_path / "maths"))


def test_a_template_need_not_show_answers_that_nobody_gives_it(tmp_path: Path) -> None:
    file = tmp_path / "own.j2"
    file.write_text("{{ question }}")
    assert text(template=str(file), candidates="none") == "How many?"
