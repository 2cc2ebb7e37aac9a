"""From a prompt's content to token ids: the one place where text becomes tokens."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from effrl.config.template import ChatArgument
from effrl.errors import Malformed, UserError, one_line
from effrl.types import Int32, Message


@dataclass(frozen=True, slots=True)
class Renderer:
    """A model's tokenizer and chat template, with what the template is given besides the messages."""

    tokenizer: Any
    """A Hugging Face tokenizer."""
    arguments: Mapping[str, ChatArgument] = field(default_factory=dict)
    """``model.chat_template_kwargs``."""

    def ids(self, content: str | tuple[Message, ...]) -> Int32:
        """Token ids [P] of the content of a :class:`effrl.types.Prompt`; raises as :meth:`text` does."""
        text, specials = self.text(content)
        return np.asarray(self.tokenizer(text, add_special_tokens=specials)["input_ids"], np.int32)

    def text(self, content: str | tuple[Message, ...]) -> tuple[str, bool]:
        """The text that is tokenised, and whether the tokenizer still has to add special tokens to it.

        Plain text stays as it is. Messages go through the chat template, with a generation prompt.

        Raises:
            Malformed: the chat template refuses the messages.
            UserError: there is no chat template, or none that works.
        """
        if isinstance(content, str):
            return content, True
        try:
            text = self._apply(content)
        except Exception as error:  # a template is a program of strangers: it may raise anything
            raise self._refusal(content, error) from error
        return text, False  # the template writes special tokens itself; added again, the first one would be doubled

    @property
    def templates(self) -> str:
        """The source of the chat template, of all of them where there are several; empty without any."""
        found = self.tokenizer.chat_template or ""
        return "\n".join(found.values()) if isinstance(found, dict) else found

    def _apply(self, messages: tuple[Message, ...]) -> str:
        text: str = self.tokenizer.apply_chat_template(
            list(messages), tokenize=False, add_generation_prompt=True, **self.arguments
        )
        return text

    def _refusal(self, messages: tuple[Message, ...], error: Exception) -> Exception:
        """What a failure means, and what to do."""
        folder, found = self.tokenizer.name_or_path, self.tokenizer.chat_template
        if not found:
            return UserError(
                f"prompts are messages, but {folder} has no chat template: use another model, or write prompts as plain"
                " text (data.template=plain or question, no data.system)"
            )
        if isinstance(found, dict) and "default" not in found:
            return UserError(
                f"{folder} has several chat templates ({', '.join(sorted(found))}) and none is called default: write"
                f" the one to use to {folder}/chat_template.jinja"
            )
        return self._broken(error) or self._unfit(messages, _reason(error))

    def _broken(self, error: Exception) -> UserError | None:
        """What is wrong with the template itself."""
        from jinja2 import TemplateSyntaxError, UndefinedError

        where = template_file(Path(self.tokenizer.name_or_path))
        if isinstance(error, TemplateSyntaxError):
            return UserError(
                f"{where}: the chat template has a syntax error on its line {error.lineno} ({_reason(error)}): mend it,"
                " or download the model again"
            )
        missing = re.fullmatch(r"'(\w+)' is undefined", str(error))
        if isinstance(error, UndefinedError) and missing:
            return UserError(
                f"{where}: the chat template uses {missing[1]}, which nothing defines: give it a value in"
                " model.chat_template_kwargs, or mend the template"
            )
        return None

    def _unfit(self, messages: tuple[Message, ...], reason: str) -> Malformed:
        """What is wrong with the messages, as far as the template tells."""
        others = tuple(message for message in messages if message["role"] != "system")
        if 0 < len(others) < len(messages) and self._accepts(others):
            return Malformed(
                f"the chat template refuses a system message ({reason}): leave out data.system, or the system message"
                " of the row, and write its text into data.template"
            )
        roles = ", ".join(message["role"] for message in messages)
        return Malformed(
            f"the chat template refuses messages of {roles} ({reason}): change the messages, or use another model"
        )

    def _accepts(self, messages: tuple[Message, ...]) -> bool:
        try:
            self._apply(messages)
        except Exception:  # as above
            return False
        return True


def template_file(model: Path) -> Path:
    """The file of a model that its chat template is written in."""
    own = model / "chat_template.jinja"
    return own if own.is_file() else model / "tokenizer_config.json"


def _reason(error: Exception) -> str:
    """What a template says when it refuses, in its own words; of other errors the type too."""
    from jinja2 import TemplateError

    return " ".join(str(error).split())[:200] if isinstance(error, TemplateError) else one_line(error)
