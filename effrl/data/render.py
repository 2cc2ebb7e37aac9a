"""From a prompt's content to token ids: the one place where text becomes tokens."""

from typing import Any

import numpy as np

from effrl.types import Int32, Message


def render(tokenizer: Any, content: str | tuple[Message, ...]) -> Int32:
    """Token ids [P] of plain text as it is, or of messages through the chat template with a generation prompt.

    Args:
        tokenizer: a Hugging Face tokenizer.
        content: of a :class:`effrl.types.Prompt`.
    """
    text, specials = rendered(tokenizer, content)
    return np.asarray(tokenizer(text, add_special_tokens=specials)["input_ids"], np.int32)


def rendered(tokenizer: Any, content: str | tuple[Message, ...]) -> tuple[str, bool]:
    """The text that is tokenised, and whether the tokenizer still has to add special tokens to it."""
    if isinstance(content, str):
        return content, True
    text = tokenizer.apply_chat_template(list(content), tokenize=False, add_generation_prompt=True)
    return text, False  # the template writes them itself; adding them again would double the first one
