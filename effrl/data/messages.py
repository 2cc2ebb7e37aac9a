"""Prompts: a text, or messages as OpenAI, TRL, verl and OpenRLHF write them, or as ShareGPT does."""

import re
from typing import Any

from effrl.data import media
from effrl.data.text import checked_text, kind_of, short
from effrl.errors import Malformed
from effrl.types import Message

_ROLES = {
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "system": "system",
}
_MESSAGES_AS_TEXT = re.compile(r"\s*\[\s*\{\s*(['\"])(?:role|content|from|value)\1\s*:.*\}\s*\]\s*", re.DOTALL)


def content_of(key: str, value: object) -> str | tuple[Message, ...]:
    """What a row asks.

    Raises:
        Malformed: that cannot be read.
    """
    if isinstance(value, str):
        if _MESSAGES_AS_TEXT.fullmatch(value):
            raise Malformed(f"{short(key)} is a text that holds messages: write them as a list, json.loads")
        return checked_text(short(key), value)
    if isinstance(value, list) and value:
        return tuple(message_of(f"message {at} of {short(key)}", item) for at, item in enumerate(value, start=1))
    what = "an empty list" if value == [] else kind_of(value)
    raise Malformed(f"{short(key)} is {what}: write a string, or a list of messages with role and content")


def is_message(value: object) -> bool:
    """Whether a value has the keys of a message."""
    return isinstance(value, dict) and (value.keys() >= {"role", "content"} or value.keys() >= {"from", "value"})


def message_of(name: str, value: object) -> Message:
    """One message: ``{"role": "user", "content": "…"}``, or ``{"from": "human", "value": "…"}``.

    Raises:
        Malformed: it is none.
    """
    if not isinstance(value, dict):
        raise Malformed(f'{name} is {kind_of(value)}: write {{"role": "user", "content": "…"}}')
    sharegpt = "from" in value and "role" not in value
    who, what = ("from", "value") if sharegpt else ("role", "content")
    for key in (who, what):
        if key not in value:
            raise Malformed(f"{name} has no {key}: a message has {who} and {what}")
    role, content = value[who], value[what]
    if isinstance(content, list):
        content = "".join(_text_of(f"part {at} of {name}", part) for at, part in enumerate(content, start=1))
    for key, given in ((who, role), (what, content)):
        if not isinstance(given, str):
            raise Malformed(f"{key} of {name} is {kind_of(given)}: write a string")
    # Tables have every key in every message, and null where there is nothing.
    if unknown := sorted(key for key in value.keys() - {who, what} if value[key] is not None):
        media.refuse_part(name, {key: value[key] for key in unknown})
        raise Malformed(f"{name} has the key {short(unknown[0])}, which nothing reads: keep {who} and {what} only")
    if sharegpt and role not in _ROLES:
        raise Malformed(f"from of {name} is {short(role)}: write human, gpt or system, or leave such rows out")
    return Message(
        role=_ROLES.get(role.casefold(), checked_text(f"role of {name}", role)),
        content=checked_text(f"{what} of {name}", content),
    )


def _text_of(name: str, part: Any) -> str:
    """The text of one part of a content, as chat templates put parts side by side."""
    if isinstance(part, dict):
        media.refuse_part(name, part)
        if isinstance(part.get("text"), str):
            return str(part["text"])
    raise Malformed(f'{name} is no text: write {{"type": "text", "text": "…"}}')
