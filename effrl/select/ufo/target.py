"""What UFO-RL's one forward pass scores: a target text, and which of the tokens it is.

The target is tokenised in its context and found again by character offsets. Tokenised alone it may have another number
of tokens: SentencePiece adds a leading space, and a byte-pair vocabulary may merge the prefix's last space into it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from effrl.acceptable import alternatives
from effrl.config.select import Target
from effrl.config.template import Content, Form
from effrl.data.render import Renderer
from effrl.reward.extract import final_answer
from effrl.types import Continuation

MARK = "\ue000"
"""A character of Unicode's private use area: in no prompt, and no space that a template would strip."""


@dataclass(frozen=True, slots=True)
class ScoredText:
    """A text whose end is scored.

    Example: ``ScoredText("12+34=<answer> 46", 15)``.
    """

    text: str
    start: int
    """Character at which the target begins."""


def target_of(kind: Target, label: str | None, voted: str | None) -> str | None:
    """The text to score, without blanks around it; None where there is none.

    Args:
        kind: what to score; of an ``own_sample`` there is no text before it is sampled.
        label: the prompt's label, which must be owned; ``pseudo_answer`` does not look at it. Of several acceptable
            answers it is the first one.
        voted: the majority's answer in a group of rollouts; only ``pseudo_answer`` looks at it.
    """
    source = voted if kind == "pseudo_answer" else label and alternatives(label)[0]
    if source is None or not source.strip():
        return None
    if kind == "full_solution":
        return source.strip()
    return _without_separators((final_answer(source) or source).strip())


def _without_separators(answer: str) -> str:
    """``1,234`` as ``1234``: models rarely write the comma, and GSM8K's labels do."""
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", answer)


def scored_text(prompt: str, prefix: str, target: str) -> ScoredText:
    """A rendered prompt, the prefix and the target. Nothing follows: an end-of-turn token would be scored too.

    Args:
        prompt: as the chat template renders it, up to where the assistant begins to speak.
    """
    opened = prompt + prefix
    return ScoredText(opened + target, len(opened))


def target_ids(renderer: Renderer, content: Content, prefix: str, target: str) -> Continuation:
    """Tokenise prompt, prefix and target as one text, with the special tokens that a rollout's prompt has.

    Args:
        renderer: of a fast tokenizer; others do not tell where tokens are.
        content: of a :class:`effrl.types.Prompt`.
        prefix: text between the prompt and the target.
        target: not empty.

    Raises:
        ValueError: the tokenizer is slow, ends every text with a token of its own, or has no token for the target.
        Malformed: the chat template refuses the content.
    """
    text, specials = renderer.text(content)
    found = _tokenised(renderer.tokenizer, scored_text(text, prefix, target), specials)
    if not found.tokens:
        raise ValueError(f"the tokenizer has no token for {target!r}")
    return found


def user_text_ids(renderer: Renderer, content: Content, form: Form) -> Continuation:
    """Tokenise a prompt up to the end of its user's own text, which is what is scored: no template's words are.

    Of a text that stands at the very beginning, without a special token before it, the first token is not scored: its
    log-prob is of nothing. Without any token of the user's there is nothing to score, and ``tokens`` is 0.

    Args:
        renderer: of a fast tokenizer.
        content: of a :class:`effrl.types.Prompt`.
        form: what the row's prompt was put into.

    Raises:
        ValueError: as :func:`target_ids`; or the chat template changes what the user says.
        Malformed: the chat template refuses the content.
    """
    scored, specials = _own_text(renderer, content, form)
    if scored.start == len(scored.text):
        return Continuation(np.zeros(0, np.int32), 0)
    found = _tokenised(renderer.tokenizer, scored, specials)
    return Continuation(found.ids, min(max(found.start, 1), len(found.ids)))


def _own_text(renderer: Renderer, content: Content, form: Form) -> tuple[ScoredText, bool]:
    """A rendered prompt up to the end of the user's own text; empty where there is none. Who renders a mark in place of
    that text sees what the templates write before and after it."""
    text, specials = renderer.text(content)
    before, *rest = renderer.text(form.marked(content, MARK))[0].split(MARK)
    if not rest:
        return ScoredText("", 0), specials
    if len(rest) > 1 or not (text.startswith(before) and text.endswith(rest[0])):
        raise ValueError("the chat template does not leave what the user says as it is, once")
    return ScoredText(text[: len(text) - len(rest[0])], len(before)), specials


def _tokenised(tokenizer: Any, scored: ScoredText, specials: bool) -> Continuation:
    """Token ids of a text, and from which on they are the target's; from the end on, where it has no token."""
    if not tokenizer.is_fast:
        raise ValueError("the model has no fast tokenizer, and no other tells where tokens are: use another model")
    encoded = tokenizer(
        scored.text, add_special_tokens=specials, return_offsets_mapping=True, return_special_tokens_mask=True
    )
    ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
    if encoded["special_tokens_mask"][-1:] == [1]:
        raise ValueError("the tokenizer ends every text with a special token, which would be scored as the target's")
    if offsets and offsets[-1][1] == len(scored.text):
        start = len(ids) - target_tokens(scored, offsets)
    else:  # a tokenizer that drops characters it does not know, and then tells wrong places
        start = _parting(ids, tokenizer(scored.text[: scored.start], add_special_tokens=specials)["input_ids"])
    return Continuation(np.asarray(ids, np.int32), start)


def _parting(one: Sequence[int], other: Sequence[int]) -> int:
    """Index of the first token in which two sequences differ, or the length of the shorter one."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(one), len(other)))


def target_tokens(scored: ScoredText, offsets: Sequence[tuple[int, int]]) -> int:
    """How many of the last tokens belong to the target.

    A token that begins before the target and reaches into it belongs to it: its log-prob cannot be split.

    Args:
        scored: the text.
        offsets: of each token, the first character and the one after the last, as a fast tokenizer tells them;
            tokenised with ``add_special_tokens=False``.

    Raises:
        ValueError: the tokens do not end where the text ends, so the last ones are not the target's.
    """
    if not offsets or offsets[-1][1] != len(scored.text):
        raise ValueError(
            "the tokens do not end where the text does: tokenise it whole, without special tokens and without padding"
        )
    count = 0
    for _, end in reversed(offsets):
        if end <= scored.start:
            break
        count += 1
    return count
