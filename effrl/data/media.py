"""Pictures, videos and sounds: effrl trains on text, and a row that has one of them would be another question."""

import re
from collections.abc import Mapping
from typing import Any

from effrl.errors import Malformed

_KEY = re.compile(r"(?:decoded_|input_)?(image|video|audio)s?(?:_(?:url|path|file|bytes))?(?:_?\d+)?", re.IGNORECASE)
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"RIFF", b"OggS", b"ID3")
"""First bytes of pictures and sounds."""


def refuse(row: Mapping[str, Any]) -> None:
    """Refuse a row that holds what is no text, by the names of its keys and by its bytes.

    Raises:
        Malformed: it does.
    """
    for key, value in row.items():
        if (found := _KEY.fullmatch(key)) and _given(value):
            raise refusal(f'a row with {_one(found[1])} (key "{key}")')
        if isinstance(value, bytes) and value.startswith(_MAGIC):
            raise refusal(f'a row with a picture or a sound (key "{key}")')


def refuse_part(name: str, part: Mapping[str, Any]) -> None:
    """Refuse a part of a message that is no text; raises as :func:`refuse` does."""
    kinds = (str(part.get("type")), *(key for key, value in part.items() if key != "type" and _given(value)))
    if found := next(filter(None, map(_KEY.fullmatch, kinds)), None):
        raise refusal(f"{name} holds {_one(found[1])}")


def refusal(what: str) -> Malformed:
    return Malformed(f"{what}: effrl trains on text only; leave such rows out, or the key where the text is enough")


def _one(kind: str) -> str:
    return {"image": "an image", "video": "a video", "audio": "a sound"}[kind.lower()]


def _given(value: object) -> bool:
    """Whether there is anything: not of null, an empty list, or an image of neither bytes nor path."""
    if isinstance(value, Mapping):
        return any(map(_given, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_given, value))
    return value is not None and not isinstance(value, bool) and value not in ("", b"")
