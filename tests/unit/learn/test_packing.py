"""Cutting sequences into ranks and micro-batches loses nothing, doubles nothing, and respects the limit."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from effrl.config.loss import ClippedLoss
from effrl.learn.packing import BUSY, PADDING, Size, cut, ends, layout, pad, size_of, unweighted
from effrl.sequences import Portion, TrainingSequence


def sequence(prompt: int, sampled: int, mark: int) -> TrainingSequence:
    ids = np.full(prompt + sampled, mark, np.int32)
    values = np.arange(sampled, dtype=np.float32) + mark
    return TrainingSequence(ids, prompt, values, values + 0.5)


lengths = st.lists(st.tuples(st.integers(1, 9), st.integers(1, 30)), min_size=1, max_size=24)


@given(lengths, st.integers(1, 4), st.integers(1, 200))
def test_every_sequence_arrives_once(shapes: list[tuple[int, int]], ranks: int, tokens: int) -> None:
    sequences = [sequence(prompt, sampled, mark + 1) for mark, (prompt, sampled) in enumerate(shapes)]
    shares = cut(sequences, ranks, tokens)
    assert len(shares) == ranks
    assert all(shares), "every rank has something to run backward over"
    weighted = [
        (row, mask) for share in shares for batch in share for row, mask in zip(batch.ids, batch.mask, strict=True)
    ]
    marks = [int(row.max()) for row, mask in weighted if mask.any()]
    assert sorted(marks) == list(range(1, len(sequences) + 1))
    for batch in (batch for share in shares for batch in share):
        assert batch.ids.size <= tokens or len(batch.ids) == 1


@given(st.lists(st.integers(2, 900), min_size=1, max_size=120), st.integers(1000, 40_000))
def test_a_busy_pass_has_little_padding(lengths: list[int], tokens: int) -> None:
    """Whether it is cut for its size or for its padding, a pass that is worth it wastes a tenth at most."""
    [batches] = layout(lengths, ranks=1, tokens=tokens)
    for rows in batches:
        real, padded = sum(lengths[row] for row in rows), len(rows) * max(lengths[row] for row in rows)
        before_the_last = real - min(lengths[row] for row in rows)
        assert before_the_last < BUSY or padded - real <= PADDING * padded


def test_equal_rows_fill_a_pass_up_to_its_limit() -> None:
    [batches] = layout([100] * 200, ranks=1, tokens=10_000)
    assert [len(rows) for rows in batches] == [100, 100]


def test_rows_of_unlike_lengths_are_cut_where_padding_begins() -> None:
    [batches] = layout([900] * 5 + [90] * 20, ranks=1, tokens=40_000)
    assert [len(rows) for rows in batches] == [5, 20]


def test_where_prompts_and_completions_end() -> None:
    """A rollout without a token ends where its prompt does."""
    ids = np.arange(5, dtype=np.int32)
    batch = pad([unweighted(ids, 2), unweighted(ids[:4], 3), unweighted(ids[:3], 3)])
    assert ends(batch).tolist() == [[1, 4], [2, 3], [2, 2]]


def test_padding_by_hand() -> None:
    batch = pad([sequence(1, 3, 5), sequence(2, 1, 6)])
    assert batch.ids.tolist() == [[5, 5, 5, 5], [6, 6, 6, 0]]
    assert batch.attention.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
    assert batch.mask.tolist() == [[0, 1, 1, 1], [0, 0, 1, 0]]
    assert batch.behaviour.tolist() == [[0, 5, 6, 7], [0, 0, 6, 0]]
    assert batch.advantages.tolist() == [[0, 5.5, 6.5, 7.5], [0, 0, 6.5, 0]]
    assert (batch.weight.tolist(), batch.offset.tolist(), batch.learned.tolist()) == ([[1]] * 2, [[0]] * 2, [[1]] * 2)


def test_a_row_has_the_weight_of_its_sequence() -> None:
    half = replace(sequence(1, 3, 5), weight=0.5, offset=-0.25)
    batch = pad([half, replace(sequence(2, 1, 6), weight=0.0, silent=True)])
    assert (batch.weight.tolist(), batch.offset.tolist()) == ([[0.5], [0]], [[-0.25], [0]])
    assert batch.learned.tolist() == [[1], [0]] and batch.mask.sum() == 4, "it is scored all the same"


def test_sizes_by_hand() -> None:
    """Sequences of 3, 1 and 5 sampled tokens, and a silent one of 2; prompts do not count."""
    portion = Portion([sequence(1, 3, 5), sequence(2, 1, 6), sequence(9, 5, 7)], [sequence(1, 2, 8)])
    expected = {"trained": (9, 3, 30), "sampled": (11, 4, 40)}
    for over, denominators in expected.items():
        for reduce, denominator in zip(("token", "sequence", "constant"), denominators, strict=True):
            loss = ClippedLoss(over=over, reduce=reduce)  # type: ignore[arg-type]
            assert size_of(portion, loss, 10) == Size(tokens=9, denominator=denominator)


def test_a_rank_without_sequences_has_something_to_run() -> None:
    _, [batch] = cut([sequence(1, 3, 5)], 2, 10)
    assert batch.attention.tolist() == [[1, 1]] and not batch.mask.any()


def test_ranks_are_balanced() -> None:
    shares = cut([sequence(2, n, 1) for n in range(1, 41)], 2, 10**6)
    sizes = [sum(int(batch.attention.sum()) for batch in share) for share in shares]
    assert abs(sizes[0] - sizes[1]) <= 42


@given(lengths, st.integers(1, 4), st.integers(1, 200))
def test_each_token_keeps_its_own_advantage_in_any_cut(shapes: list[tuple[int, int]], ranks: int, tokens: int) -> None:
    sequences = [sequence(prompt, sampled, 100 * mark) for mark, (prompt, sampled) in enumerate(shapes, 1)]
    planted = sorted(value for each in sequences for value in each.advantages.tolist())
    found = {}
    for batch in (batch for share in cut(sequences, ranks, tokens) for batch in share):
        for row in range(len(batch.ids)):
            inside = batch.mask[row] > 0
            if inside.any():
                found[int(batch.ids[row].max())] = batch.advantages[row][inside].tolist()
    assert found == {int(each.ids[0]): each.advantages.tolist() for each in sequences}
    assert sorted(value for row in found.values() for value in row) == planted
