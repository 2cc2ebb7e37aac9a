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
    if isinstance(content, str):
        ids = tokenizer(content)["input_ids"]
    else:
        text = tokenizer.apply_chat_template(list(content), tokenize=False, add_generation_prompt=True)
        # The template writes the special tokens itself; adding them again would double the first one.
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    return np.asarray(ids, np.int32)
