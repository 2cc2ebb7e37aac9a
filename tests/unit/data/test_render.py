"""From messages to token ids: what the template is given, and what its refusals mean."""

from pathlib import Path

import pytest
from tokenizers.processors import TemplateProcessing

from effrl.data.render import Renderer
from effrl.data.samples import FIRST, MOST, Conversations
from effrl.data.tokenizer import load_tokenizer
from effrl.errors import Malformed, UserError
from effrl.models import TINY
from effrl.types import Message, Prompt

USER = Message(role="user", content="1+1=")
SYSTEM = Message(role="system", content="Be brief.")


def renderer(template: str | dict[str, str] | None, **arguments: bool | int | str) -> Renderer:
    tokenizer = load_tokenizer(TINY)
    tokenizer.chat_template = template
    return Renderer(tokenizer, arguments)


def test_plain_text_stays_as_it_is() -> None:
    assert renderer("{{ raise_exception('never asked') }}").text("1+1=") == ("1+1=", True)


def test_a_template_is_given_messages_arguments_and_a_turn_to_open() -> None:
    template = "{{ messages | length }} {{ depth + 1 }} {{ style }} {{ thinks }} {{ add_generation_prompt }}"
    assert renderer(template, depth=2, style="dry", thinks=False).text((SYSTEM, USER)) == ("2 3 dry False True", False)


def test_special_tokens_are_not_doubled() -> None:
    found = renderer("<eos>{{ messages[0].content }}")
    [end] = found.tokenizer.convert_tokens_to_ids(["<eos>"])
    found.tokenizer.backend_tokenizer.post_processor = TemplateProcessing("<eos> $A", special_tokens=[("<eos>", end)])
    assert found.ids((USER,)).tolist() == found.ids("1+1=").tolist()
    assert found.ids("1+1=").tolist().count(end) == 1


@pytest.mark.parametrize(
    ("template", "messages", "words"),
    [
        (
            "{% if messages[0].role == 'system' %}{{ raise_exception('No!') }}{% endif %}",
            (SYSTEM, USER),
            "a system mes",
        ),
        ("{{ raise_exception('Never') }}", (SYSTEM, USER), r"messages of system, user \(Never\)"),
        ("{{ raise_exception('Never') }}", (SYSTEM,), r"messages of system \(Never\)"),
        ("{{ messages[1].content.x.y }}", (USER,), "list object has no element 1"),
        ("{{ 1 / 0 }}", (USER,), "ZeroDivisionError"),
    ],
)
def test_messages_that_are_refused(template: str, messages: tuple[Message, ...], words: str) -> None:
    with pytest.raises(Malformed, match=words):
        renderer(template).text(messages)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{% if %}", "syntax error on its line 1"),
        ("{{ later() }}", "uses later, which nothing defines"),
        ({"a": "x", "b": "y"}, r"several chat templates \(a, b\)"),
        (None, "has no chat template"),
    ],
)
def test_templates_that_work_for_nothing(template: str | dict[str, str] | None, words: str) -> None:
    with pytest.raises(UserError, match=words):
        renderer(template).text((USER,))


def test_code_of_the_model_s_authors_is_not_run(random_model: Path, tmp_path: Path) -> None:
    """The library would ask whether it may, and wait for an answer."""
    for name in ("config.json", "tokenizer_config.json"):
        (tmp_path / name).write_text('{"model_type": "own", "auto_map": {"AutoTokenizer": ["own.Own", null]}}')
    with pytest.raises(UserError, match="cannot be loaded: it is code of the model's authors"):
        load_tokenizer(tmp_path)


# --- what a template is tried on


def test_the_first_prompts_and_every_new_order_of_roles_are_kept() -> None:
    found = Conversations()
    for number in range(100):
        found.add(Prompt(f"text {number}", "1+1="))
        found.add(Prompt(f"user {number}", (USER,)))
    found.add(Prompt("system", (SYSTEM, USER)))
    found.add(Prompt("system too", (SYSTEM, USER)))
    assert [prompt.id for prompt in found.kept] == [*(f"user {number}" for number in range(FIRST)), "system"]
    assert found.count == 102


def test_no_more_than_a_few_are_kept() -> None:
    found = Conversations()
    for turns in range(1, 100):
        found.add(Prompt(str(turns), (USER,) * turns))
    assert len(found.kept) == MOST and found.count == 99
