"""How a row's prompt becomes what the policy is asked: named templates, your own, and a system prompt."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass

from effrl.errors import Malformed
from effrl.types import Message

ChatArgument = bool | int | float | str | None
"""What a chat template may be given besides the messages: a YAML scalar."""
SLOT = "{prompt}"
Content = str | tuple[Message, ...]
Template = str | tuple[dict[str, str], ...]
"""A template's name, or a prompt with ``{prompt}`` in it: a text, or messages with role and content."""

ROLES = ("system", "user", "assistant")
BOXED = f"{SLOT}\n\nThink step by step, and put your final answer in \\boxed{{}}."
TEMPLATES: dict[str, Template] = {
    "plain": SLOT,
    "chat": ({"role": "user", "content": SLOT},),
    "boxed": ({"role": "user", "content": BOXED},),
    "question": f"Question: {SLOT}\nAnswer:",
}
"""``plain`` leaves rows as they are. ``chat`` and ``boxed`` make a user's message, for models with a chat template;
``boxed`` asks for steps and a final answer in a box. ``question`` is plain text, for base models."""

OPENINGS = {"\\boxed{": "\\boxed{", "<answer>": "<answer> ", "####": "#### "}
"""What a completion writes before its answer, by what asks for it in a prompt. ``<answer> `` is UFO-RL's."""


@dataclass(frozen=True, slots=True)
class Form:
    """A template and a system prompt.

    Example: ``Form("boxed").apply("1+1=")`` is one user message that asks for a box.
    """

    template: Template = "plain"
    system: str | None = None

    @property
    def has_system(self) -> bool:
        """Whether the template itself has a system message."""
        template = self._pattern
        return not isinstance(template, str) and any(message["role"] == "system" for message in template)

    @property
    def opening(self) -> str | None:
        """What a completion writes before its answer, where template or system prompt ask for one form of it."""
        template = self._pattern
        texts = [template] if isinstance(template, str) else [message["content"] for message in template]
        asked = "\n".join([*texts, self.system or ""])
        found = [opening for mark, opening in OPENINGS.items() if mark in asked]
        return found[0] if len(found) == 1 else None

    def apply(self, content: Content) -> Content:
        """What the policy is asked.

        Where a row has messages, its last user message goes where ``{prompt}`` is, and the others stay around it.

        Raises:
            Malformed: the row's messages have none of role user.
        """
        asked = _fill(self._pattern, content)
        if self.system is None:
            return asked
        messages = (Message(role="user", content=asked),) if isinstance(asked, str) else asked
        if _has_system(messages):
            return messages
        return (Message(role="system", content=self.system), *messages)

    def marked(self, content: Content, mark: str) -> Content:
        """What :meth:`apply` made, with ``mark`` in place of the row's own prompt, or of its last user message.

        Where nobody of role user says anything, nothing is marked.
        """
        if isinstance(content, str):
            return self._mark(content, mark) or mark
        places = [place for place, message in enumerate(content) if message["role"] == "user"]
        marked = {place: self._mark(content[place]["content"], mark) for place in places}
        place = next((place for place in reversed(places) if marked[place]), max(places, default=None))
        if place is None:
            return content
        message = Message(role="user", content=marked[place] or mark)
        return (*content[:place], message, *content[place + 1 :])

    def _mark(self, text: str, mark: str) -> str | None:
        """The template's text around a mark, if ``text`` has the same around something."""
        pattern = self._pattern
        texts = [pattern] if isinstance(pattern, str) else [message["content"] for message in pattern]
        before, _, after = next(each for each in texts if SLOT in each).partition(SLOT)
        fits = text.startswith(before) and text.endswith(after) and len(text) >= len(before) + len(after)
        return before + mark + after if fits else None

    @property
    def _pattern(self) -> Template:
        return TEMPLATES.get(self.template, self.template) if isinstance(self.template, str) else self.template


PLAIN = Form()


def check_template(value: object) -> object:
    """A name or a template as it is.

    Raises:
        ValueError: it is neither; says what to write.
    """
    if isinstance(value, str):
        if value not in TEMPLATES and SLOT not in value:
            close = difflib.get_close_matches(value, TEMPLATES, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"write {SLOT} where the row's prompt goes"
            raise ValueError(f"no template of this name (there are {', '.join(TEMPLATES)}); {hint}")
    elif not (isinstance(value, list | tuple) and all(map(_is_message, value))):
        raise ValueError(f'write a name, a text with {SLOT}, or messages like [{{role: user, content: "{SLOT}"}}]')
    elif sum(SLOT in message["content"] for message in value) != 1 or _slot_role(value) != "user":
        raise ValueError(f"exactly one message of a template, of role user, has {SLOT} where the row's prompt goes")
    return value


def check_system(value: str | None) -> str | None:
    """A system prompt that says something.

    Raises:
        ValueError: it is blank.
    """
    if value is not None and not value.strip():
        raise ValueError("an empty system prompt says nothing: leave it out, or write null")
    return value


def check_chat_arguments(value: object) -> object:
    """Arguments of a chat template as they are.

    Raises:
        ValueError: they are no mapping of names to scalars, or one is effrl's own to give.
    """
    if not (isinstance(value, Mapping) and all(isinstance(entry, ChatArgument) for entry in value.values())):
        raise ValueError("write names with a text, a number, true, false or null, such as {enable_thinking: false}")
    if taken := sorted(value.keys() & _GIVEN):
        raise ValueError(f"{taken[0]} is not yours to give, effrl does: leave it out")
    return value


_GIVEN = {
    *("add_generation_prompt", "chat_template", "continue_final_message", "conversation", "documents", "max_length"),
    *("messages", "padding", "return_assistant_tokens_mask", "return_dict", "return_tensors", "tokenize"),
    *("tokenizer_kwargs", "tools", "truncation"),
}
"""What the method of the library that applies a chat template knows by name; the template gets what is left."""


def _is_message(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and value.keys() == {"role", "content"}
        and value["role"] in ROLES
        and isinstance(value["content"], str)
    )


def _slot_role(messages: list[dict[str, str]] | tuple[dict[str, str], ...]) -> str:
    return next(message["role"] for message in messages if SLOT in message["content"])


def _has_system(messages: tuple[Message, ...]) -> bool:
    return any(message["role"] == "system" for message in messages)


def _fill(template: Template, content: Content) -> Content:
    if isinstance(template, str):
        return template.replace(SLOT, content) if isinstance(content, str) else _around(template, content)
    filled: list[Message] = []
    for message in template:
        if SLOT not in message["content"]:
            if message["role"] != "system" or isinstance(content, str) or not _has_system(content):
                filled.append(Message(role=message["role"], content=message["content"]))
        elif isinstance(content, str):
            filled.append(Message(role=message["role"], content=message["content"].replace(SLOT, content)))
        else:
            filled += _around(message["content"], content)
    return tuple(filled)


def _around(text: str, messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The messages, with ``text`` around the last one of the user."""
    if text == SLOT:
        return messages
    places = [place for place, message in enumerate(messages) if message["role"] == "user"]
    if not places:
        raise Malformed("no message of role user: the template has no place to put the prompt")
    asked = Message(role="user", content=text.replace(SLOT, messages[places[-1]]["content"]))
    return (*messages[: places[-1]], asked, *messages[places[-1] + 1 :])
