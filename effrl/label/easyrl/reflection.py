"""How the model is asked once more about a prompt on which its answers differ (EasyRL, section 2.3).

The released code shows the model fixed candidates instead of its own; here it sees its own, or with
``candidates: none`` none at all.
"""

from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from effrl.config.stages import Reflection
from effrl.errors import UserError
from effrl.label.easyrl.items import PoolLook
from effrl.types import Message, Prompt

if TYPE_CHECKING:
    from jinja2 import Template

FIELD = "pool.reflection.template"
SLOTS = frozenset({"question", "answers"})
"""What a template is given: the text that was asked, and a list of texts."""


@dataclass(frozen=True)
class Reflector:
    """Builds the prompts of reflections."""

    config: Reflection
    template: "Template"

    @classmethod
    def of(cls, config: Reflection) -> "Reflector":
        """With the template that the config names.

        Raises:
            UserError: it cannot be read, is no template, or does not show what it must.
        """
        name, source = _source(config.template)
        return cls(config, _checked(name, source, config))

    def __call__(self, prompt: Prompt, look: PoolLook) -> Prompt:
        """The prompt under its own id and meta, so that a reflection is read as any answer to it is.

        Plain text stays plain text; of messages, the last one of the user is what changes.

        Raises:
            UserError: no message is the user's.
        """
        answers = look.candidates[: self.config.most] if self.config.candidates == "real" else ()
        if isinstance(prompt.content, str):
            return replace(prompt, content=self._render(prompt.content, answers))
        place = _last_of_user(prompt.id, prompt.content)
        asked = self._render(prompt.content[place]["content"], answers)
        message = Message(role="user", content=asked)
        return replace(prompt, content=(*prompt.content[:place], message, *prompt.content[place + 1 :]))

    def _render(self, question: str, answers: tuple[str, ...]) -> str:
        return self.template.render(question=question, answers=list(answers))


def _source(template: str | Path) -> tuple[str, str]:
    """Name and text of a template."""
    if isinstance(template, str):
        file = resources.files("effrl.label.easyrl") / "templates" / f"{template}.j2"
        return template, file.read_text(encoding="utf-8")
    try:
        return str(template), template.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise UserError(
            f"{template} ({FIELD}) cannot be read ({error}): name math, choice, free, tiny, or a Jinja file"
        ) from error


def _checked(name: str, source: str, config: Reflection) -> "Template":
    from jinja2 import Environment, StrictUndefined, TemplateError, meta

    # A prompt is no HTML: nothing is escaped.
    environment = Environment(autoescape=False, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    try:
        used = meta.find_undeclared_variables(environment.parse(source))
        _check_slots(name, used, config)
        template = environment.from_string(source)
        template.render(question="?", answers=["1", "2"])
    except (TemplateError, TypeError, ValueError, ArithmeticError) as error:
        raise UserError(
            f"{name} ({FIELD}) is no template that works ({' '.join(str(error).split())}): mend it"
        ) from error
    return template


def _check_slots(name: str, used: set[str], config: Reflection) -> None:
    if unknown := sorted(used - SLOTS):
        raise UserError(f"{name} ({FIELD}) uses {', '.join(unknown)}: a template has question and answers alone")
    if "question" not in used:
        raise UserError(f"{name} ({FIELD}) never shows the question: write {{{{ question }}}} where it goes")
    if "answers" not in used and config.candidates == "real":
        raise UserError(
            f"{name} ({FIELD}) never shows the answers: loop over answers in it, or set pool.reflection.candidates=none"
        )


def _last_of_user(prompt_id: str, messages: tuple[Message, ...]) -> int:
    places = [place for place, message in enumerate(messages) if message["role"] == "user"]
    if not places:
        raise UserError(
            f"prompt {prompt_id} has no message of a user to reflect on: give it one, or set pool.reflection=null"
        )
    return places[-1]
