"""Where the target's tokens are: in its context, with tokenizers that merge and pad at its border."""

import math
from copy import deepcopy
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from effrl.config.template import Form
from effrl.data.render import Renderer
from effrl.data.tokenizer import load_tokenizer
from effrl.models import TINY
from effrl.select.ufo.target import scored_text, target_ids, target_of, target_tokens, user_text_ids
from effrl.select.ufo.zone import certainty
from effrl.types import Message

PREFIX = "<answer> "
"""The paper's."""


def offsets_of(tokenizer: Tokenizer, text: str) -> list[tuple[int, int]]:
    return list(tokenizer.encode(text, add_special_tokens=False).offsets)


def byte_pairs(*merges: tuple[str, str]) -> Tokenizer:
    """A byte-level tokenizer with these merges; Ġ is a space."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*letters, *map("".join, merges)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def sentence_pieces() -> Tokenizer:
    """Characters after a leading ▁, as Mistral and Llama 2 have it."""
    vocabulary = {token: number for number, token in enumerate("▁0123456789+=abcdefghijklmnopqrstuvwxyz<>")}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always", split=False)
    return tokenizer


# --- which text


@pytest.mark.parametrize(
    ("kind", "label", "voted", "expected"),
    [
        ("final_answer", "5+13=18 eggs.\n#### 18", None, "18"),
        ("final_answer", "#### 1,234,567", None, "1234567"),
        ("final_answer", "46", None, "46"),
        ("final_answer", r"so \boxed{x+1}", "7", "x+1"),
        ("final_answer", "(1,2)", None, "(1,2)"),
        ("final_answer", "1,2345", None, "1,2345"),
        ("full_solution", " 5+13=18 eggs.\n#### 18\n", "7", "5+13=18 eggs.\n#### 18"),
        ("final_answer", "#### 1,234\x1e1234.0", None, "1234"),
        ("full_solution", "so it is 18\x1e18", None, "so it is 18"),
        ("pseudo_answer", "46", "45", "45"),
        ("pseudo_answer", "46", None, None),
        ("final_answer", None, "45", None),
        ("full_solution", "  ", "45", None),
    ],
)
def test_targets(kind: str, label: str | None, voted: str | None, expected: str | None) -> None:
    assert target_of(kind, label, voted) == expected  # type: ignore[arg-type]


def test_the_target_is_the_end_of_the_text() -> None:
    scored = scored_text("12+34=", PREFIX, "46")
    assert scored.text == "12+34=<answer> 46"
    assert scored.text[scored.start :] == "46"


# --- which tokens


def test_one_token_per_character() -> None:
    tokenizer = Tokenizer.from_file(str(TINY / "tokenizer.json"))
    scored = scored_text("12+34=", "#", "46")
    assert target_tokens(scored, offsets_of(tokenizer, scored.text)) == 2


def test_a_merged_space_and_digit_belongs_to_the_target() -> None:
    """``<answer> 46`` with the token ``Ġ4``: it carries the 4, so two tokens are the target's, as without the merge."""
    scored = scored_text("1+2=", PREFIX, "46")
    for tokenizer, count in ((byte_pairs(), 2), (byte_pairs(("Ġ", "4")), 2), (byte_pairs(("Ġ", "4"), ("Ġ4", "6")), 1)):
        assert target_tokens(scored, offsets_of(tokenizer, scored.text)) == count


def test_in_context_there_is_no_leading_space_token() -> None:
    """Alone, the answer would have three tokens."""
    tokenizer, scored = sentence_pieces(), scored_text("1+2=", "a=", "46")
    assert len(tokenizer.encode("46", add_special_tokens=False).ids) == 3
    assert target_tokens(scored, offsets_of(tokenizer, scored.text)) == 2


def test_a_character_of_several_tokens() -> None:
    """The three bytes of ≤ share its offsets."""
    scored = scored_text("x?", " ", "≤4")
    assert target_tokens(scored, offsets_of(byte_pairs(), scored.text)) == 4


def test_tokens_that_do_not_end_with_the_text_are_refused() -> None:
    """An end-of-sequence token, padding on the right, or a text that was cut off."""
    scored = scored_text("1+2=", "", "3")
    good = [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    assert target_tokens(scored, good) == 1
    for bad in ([*good, (0, 0)], good[:-1], []):
        with pytest.raises(ValueError, match="without special tokens"):
            target_tokens(scored, bad)


@given(st.text("0123456789 ab", max_size=12), st.text("0123456789 ab", min_size=1, max_size=6), st.booleans())
def test_the_last_tokens_hold_the_target_and_no_more_than_one_border_token(
    prompt: str, target: str, merged: bool
) -> None:
    tokenizer = byte_pairs(("Ġ", "4"), ("1", "2"), ("a", "b"), ("Ġ", "a")) if merged else byte_pairs()
    scored = scored_text(prompt, "", target)
    offsets = offsets_of(tokenizer, scored.text)
    count = target_tokens(scored, offsets)
    assert offsets[-count][0] <= scored.start < offsets[-count][1]
    assert all(end <= scored.start for _, end in offsets[:-count])


# --- both together


def test_certainty_of_a_model_that_is_a_table() -> None:
    """Probabilities of the next character given the last: s is the product over the target, to the power 1/T."""
    table = {("=", "4"): 0.5, ("4", "6"): 0.2, ("4", "5"): 0.7, ("2", "="): 0.9, ("1", "2"): 0.3}
    scored = scored_text("12=", "", "46")
    logprobs = [math.log(table[pair]) for pair in pairwise(scored.text)]
    offsets = [(number, number + 1) for number in range(len(scored.text))]
    count = target_tokens(scored, offsets)
    assert certainty(logprobs[-count:]) == pytest.approx((0.5 * 0.2) ** 0.5)


# --- with the tokenizer of a model


class Ending:
    """A fast tokenizer of characters that ends every text with token 1, as some do."""

    is_fast = True

    def __call__(self, text: str, add_special_tokens: bool, **_: bool) -> dict[str, list[object]]:
        end = 1 if add_special_tokens else 0
        return {
            "input_ids": [*map(ord, text), *[1] * end],
            "offset_mapping": [*[(at, at + 1) for at in range(len(text))], *[(0, 0)] * end],
            "special_tokens_mask": [*[0] * len(text), *[1] * end],
        }


def test_a_tokenizer_that_ends_texts_is_refused_and_one_that_is_slow_too() -> None:
    with pytest.raises(ValueError, match="ends every text with a special token"):
        target_ids(Renderer(Ending()), "1+2=", "#", "3")
    slow = Ending()
    slow.is_fast = False  # type: ignore[misc]
    with pytest.raises(ValueError, match="no fast tokenizer"):
        target_ids(Renderer(slow), "1+2=", "#", "3")


@pytest.fixture(scope="module")
def tiny() -> Renderer:
    return Renderer(load_tokenizer(TINY))


@pytest.mark.parametrize("prefix", ["", "#", PREFIX, "<answer>"])
def test_the_tiny_model_s_targets_are_their_last_characters(tiny: Renderer, prefix: str) -> None:
    """It has no token for a space, and its tokenizer drops it: then places in the text are wrong, tokens are not."""
    found = target_ids(tiny, "Q(abcd)=", prefix, "bcda")
    assert found.tokens == 4 and found.ids[found.start :].tolist() == tiny.ids("bcda").tolist()
    assert found.ids[: found.start].tolist() == tiny.ids("Q(abcd)=" + prefix).tolist()


def test_messages_are_rendered_with_the_turn_left_open(tiny: Renderer) -> None:
    messages = (Message(role="user", content="Q(abcd)="),)
    found = target_ids(tiny, messages, "#", "bcda")
    prompt = tiny.ids(messages).tolist()
    assert found.ids.tolist() == [*prompt, *tiny.ids("#bcda").tolist()] and found.tokens == 4


def test_a_target_without_tokens_is_refused(tiny: Renderer) -> None:
    with pytest.raises(ValueError, match="has no token for"):
        target_ids(tiny, "Q(abcd)=", "#", "\u4e00")


# --- a prompt's own text


@pytest.mark.parametrize(
    ("form", "scored"),
    [
        (Form("plain"), "abcd)"),  # the first token of all has no log-prob
        (Form("Q{prompt}="), "(abcd)"),
        (Form("chat"), "abcd)"),  # nor here: the tiny model's chat template writes nothing before it
        (Form(({"role": "user", "content": "Q{prompt}="},)), "(abcd)"),
        (Form("plain", "Q"), "(abcd)"),
    ],
    ids=["plain", "text", "message", "in a message", "system"],
)
def test_of_a_prompt_the_row_s_own_tokens_are_scored(tiny: Renderer, form: Form, scored: str) -> None:
    content = form.apply("(abcd)")
    found = user_text_ids(tiny, content, form)
    assert found.ids.tolist() == tiny.ids(content)[: len(found.ids)].tolist(), "as a rollout has it"
    assert found.ids[found.start :].tolist() == tiny.ids(scored).tolist()


def test_a_prompt_without_a_token_of_its_own_is_none(tiny: Renderer) -> None:
    for content in ("", "\u4e00", (Message(role="user", content=""),), (Message(role="system", content="Q"),)):
        assert user_text_ids(tiny, content, Form()).tokens == 0
    assert user_text_ids(tiny, "Q\u4e00=", Form("Q{prompt}=")).tokens == 0
    assert user_text_ids(tiny, "Q", Form()).tokens == 0, "it has one token, of which the model says nothing"


def with_template(tiny: Renderer, source: str) -> Renderer:
    """The tiny model's tokenizer, with another chat template."""
    renderer = Renderer(deepcopy(tiny.tokenizer))
    renderer.tokenizer.chat_template = source
    return renderer


@pytest.mark.parametrize("own", ["abcd", "=", "Q", "Q("], ids=["other words", "the last", "the first", "the first two"])
def test_words_of_a_chat_template_are_not_scored(tiny: Renderer, own: str) -> None:
    """Nor mistaken for the user's, where they are the same; what a template strips is no part of the text."""
    chat = with_template(tiny, "Q({{ messages[-1].content | trim }})=")
    found = user_text_ids(chat, (Message(role="user", content=f" {own}\n"),), Form())
    assert found.ids.tolist() == tiny.ids(f"Q({own}").tolist() and found.tokens == len(own)


def test_a_chat_template_that_says_it_twice_is_refused(tiny: Renderer) -> None:
    twice = with_template(tiny, "{{ messages[-1].content }}{{ messages[-1].content }}")
    with pytest.raises(ValueError, match="does not leave what the user says"):
        user_text_ids(twice, (Message(role="user", content="Q"),), Form())
