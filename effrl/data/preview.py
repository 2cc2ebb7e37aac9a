"""The first prompts of a source as a model gets them: rendered, with the special tokens told apart."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from effrl.config.data import Source
from effrl.config.template import Form
from effrl.data.mix import interleave
from effrl.data.reader import Pool, pools, scan
from effrl.data.render import Renderer
from effrl.errors import Malformed
from effrl.types import Message, Row


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a rendered prompt: ``Piece("<|im_start|>", True)``."""

    text: str
    special: bool
    """Whether it is one special token."""


@dataclass(frozen=True, slots=True)
class Preview:
    """One prompt with its label."""

    id: str
    label: str | None
    tokens: int
    pieces: tuple[Piece, ...]


def previews(source: Source, form: Form, renderer: Renderer, count: int) -> list[Preview]:
    """The first ``count`` prompts in the order in which a source is read; those that cannot be read are left out.

    Raises:
        UserError: a file cannot be read or is empty, or no chat template works.
    """
    parts = [(pool.weight, _previews(pool, form, renderer)) for pool in pools(source)]
    return list(islice(interleave(parts), count))


def _previews(pool: Pool, form: Form, renderer: Renderer) -> Iterator[Preview]:
    for entry in scan(pool, form):
        if isinstance(entry.row, Row):
            try:
                yield _preview(entry.row, renderer)
            except Malformed:
                continue


def _preview(row: Row, renderer: Renderer) -> Preview:
    ids = renderer.ids(row.prompt.content)
    return Preview(row.prompt.id, row.label, len(ids), tuple(_pieces(row.prompt.content, renderer)))


def _pieces(content: str | tuple[Message, ...], renderer: Renderer) -> Iterator[Piece]:
    """The text, cut at its special tokens, between those that the tokenizer adds itself."""
    tokenizer = renderer.tokenizer
    text, specials = renderer.text(content)
    before, after = _added(text, tokenizer) if specials else ([], [])
    names = sorted({str(token) for token in tokenizer.added_tokens_decoder.values()}, key=len, reverse=True)
    parts = re.split(f"({'|'.join(map(re.escape, names))})", text) if names else [text]
    yield from (Piece(name, True) for name in before)
    yield from (Piece(part, place % 2 == 1) for place, part in enumerate(parts) if part)
    yield from (Piece(name, True) for name in after)


def _added(text: str, tokenizer: Any) -> tuple[list[str], list[str]]:
    """The tokens that a tokenizer writes before and after a plain text."""
    whole = tokenizer(text, add_special_tokens=True)["input_ids"]
    bare = tokenizer(text, add_special_tokens=False)["input_ids"]
    start = next((at for at in range(len(whole) - len(bare) + 1) if whole[at : at + len(bare)] == bare), 0)
    names: list[str] = tokenizer.convert_ids_to_tokens(whole)
    return names[:start], names[start + len(bare) :]
