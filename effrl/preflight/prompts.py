"""Whether the model can read the prompts of a config, and has room for them: tried with its real chat template."""

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from effrl.config.data import Source
from effrl.config.schema import Config
from effrl.data.reader import read
from effrl.data.render import Renderer
from effrl.data.survey import Survey, size_of
from effrl.data.tokenizer import load_tokenizer
from effrl.errors import Malformed, UserError
from effrl.models import ModelFacts
from effrl.preflight.model import note_on_endless, note_on_turns
from effrl.types import Message, Prompt

_TEMPLATE_BYTES = 512
"""Room for what a chat template adds at least, when lengths are bounded without tokenising."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A field that leaves the rest of the context to prompts."""

    field: str
    max_tokens: int
    context: int

    @property
    def room(self) -> int:
        """Longest prompt, in tokens."""
        return self.context - self.max_tokens


class PromptCheck:
    """Looks at one source after the other.

    It imports transformers, which takes seconds, where prompts are messages or may be too long; of plain text nothing
    has to be rendered.
    """

    def __init__(self, config: Config, model: ModelFacts) -> None:
        self._config, self._model = config, model
        self._arguments = config.model.chat_template_kwargs
        self._samples: list[Prompt] = []
        self._notes: list[str] = []

    def check(self, name: str, source: Source, found: Survey, limit: Limit) -> None:
        """Look at one source.

        Raises:
            UserError: the model cannot read its prompts, or one has no room.
        """
        if found.conversations and not self._model.has_chat_template:
            raise UserError(
                f"{found.conversations} of {found.rows} prompts of {name} are messages, but model.path="
                f"{self._config.model.path} has no chat template: use another model, or write prompts as plain text"
                " (data.template=plain or question, no data.system)"
            )
        added = max([self._added(name, prompt) for prompt in found.samples], default=0)
        for prompt in found.samples:
            self._check_known(name, prompt)
        self._samples += found.samples
        self._notes += found.notes(name)
        # A token takes at least one byte, so only a source with a prompt of too many bytes has to be tokenised.
        allowance = max(_TEMPLATE_BYTES, 2 * added)
        if found.longest_bytes + allowance > limit.room:
            self._tokenise_longest(name, source, limit, allowance)

    def notes(self) -> tuple[str, ...]:
        """What is legal and probably not meant, of all that was looked at."""
        return (*self._notes, *self._of_arguments(), *self._left_out(), *self._of_endings())

    @cached_property
    def _renderer(self) -> Renderer:
        return Renderer(load_tokenizer(self._model.path), self._arguments)

    def _added(self, name: str, prompt: Prompt) -> int:
        """Bytes that the chat template adds to a prompt."""
        text = self._render(name, prompt)
        if not text:
            raise UserError(
                f"{name}: prompt {prompt.id}: the chat template makes an empty text of it: use another model"
            )
        return len(text.encode()) - size_of(prompt)

    def _check_known(self, name: str, prompt: Prompt) -> None:
        """That the model has an embedding of each token: one may have been added to the tokenizer alone."""
        highest, known = max(self._renderer.ids(prompt.content).tolist(), default=0), self._model.vocabulary
        if known is not None and highest >= known:
            token = self._renderer.tokenizer.convert_ids_to_tokens(highest)
            raise UserError(
                f"{name}: prompt {prompt.id} has the token {token}, number {highest}, and the model has embeddings of"
                f" {known} tokens: enlarge them (resize_token_embeddings of transformers), or use its own tokenizer"
            )

    def _render(self, name: str, prompt: Prompt) -> str:
        try:
            return self._renderer.text(prompt.content)[0]
        except Malformed as problem:
            raise UserError(f"{name}: prompt {prompt.id}: {problem}") from problem

    def _tokenise_longest(self, name: str, source: Source, limit: Limit, allowance: int) -> None:
        for row in read(source, self._config.data.form):
            if size_of(row.prompt) + allowance <= limit.room:
                continue
            try:
                length = len(self._renderer.ids(row.prompt.content))
            except Malformed as problem:
                raise UserError(f"{name}: prompt {row.prompt.id}: {problem}") from problem
            if length > limit.room:
                raise UserError(
                    f"{name}: prompt {row.prompt.id} has {length} tokens; with {limit.field}={limit.max_tokens} the"
                    f" context of {limit.context} leaves {limit.room}: shorten or remove it, or lower {limit.field}"
                )

    def _of_endings(self) -> list[str]:
        stops = self._config.rollout.stop
        endless = note_on_endless(self._model, stops)
        return endless or (note_on_turns(self._model, self._renderer, stops) if self._samples else [])

    def _of_arguments(self) -> Iterable[str]:
        """Arguments that change no sample, and that the template does not name."""
        if not self._arguments:
            return
        if not self._samples:
            yield "model.chat_template_kwargs is for messages, and every prompt is plain text"
            return
        words = set(re.findall(r"\w+", self._renderer.templates))
        for name in self._arguments.keys() - words:
            others = {key: value for key, value in self._arguments.items() if key != name}
            without = Renderer(self._renderer.tokenizer, others)
            if any(without.text(each.content) != self._renderer.text(each.content) for each in self._samples):
                continue
            close = difflib.get_close_matches(name, words, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            yield f"model.chat_template_kwargs.{name} changes nothing: the chat template does not read it{hint}"

    def _left_out(self) -> Iterable[str]:
        """Roles whose text is not in what the model gets."""
        missing = {
            message["role"]
            for prompt in self._samples
            if not isinstance(prompt.content, str)
            for message in prompt.content
            if not self._holds(prompt, message)
        }
        for role in sorted(missing - {"assistant"}):  # whose earlier thoughts many templates drop on purpose
            yield f"the chat template leaves out or rewrites messages of role {role}: look: effrl data check --show 3"

    def _holds(self, prompt: Prompt, message: Message) -> bool:
        return message["content"].strip() in self._renderer.text(prompt.content)[0]
