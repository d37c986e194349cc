"""Spans and batches: nothing lost, nothing over the budget, and a place in the stream is two numbers."""

import numpy as np
import pytest
import torch

from electra.config import CLS, PAD, SEP, SpecialIds
from electra.data.batch import Padding, bucket_batches, collate
from electra.data.examples import encode_examples, example_ids, truncate
from electra.data.spans import SpanBatches, Spans, collate_spans, cut_spans
from electra.data.token_store import Text
from electra.data.wordpiece import WordPieceTokenizer


def text(documents):
    """(lines, starts, ends) of documents given as lists of line lengths."""
    lines = np.cumsum([0, *(n for document in documents for n in document)])
    bounds = np.cumsum([0, *map(sum, documents)])
    return lines, bounds[:-1], bounds[1:]


def random_text(seed, documents=60):
    rng = np.random.default_rng(seed)
    return text([rng.integers(1, 40, rng.integers(1, 12)).tolist() for _ in range(documents)])


def rows_of(batch):
    """The sequences of a batch without their padding."""
    mask = (
        torch.ones_like(batch.input_ids).bool()
        if batch.attention_mask is None
        else batch.attention_mask
    )
    return [ids[there].tolist() for ids, there in zip(batch.input_ids, mask)]


def same(a, b):
    return all((x is None and y is None) or torch.equal(x, y) for x, y in zip(a, b))


# --- spans ---


@pytest.mark.parametrize("seq_len", [8, 16, 64, 512])
@pytest.mark.parametrize("seed", range(3))
def test_every_token_is_in_exactly_one_span_of_its_document(seq_len, seed):
    lines, starts, ends = random_text(seed)
    spans = cut_spans(lines, starts, ends, seq_len, np.random.default_rng(seed))
    hits = np.zeros(lines[-1], int)
    for start, split, end in zip(*spans):
        assert start < split <= end
        hits[start:end] += 1
        assert any(a <= start and end <= b for a, b in zip(starts, ends))
    assert (hits == 1).all()
    assert spans.lengths.max() <= seq_len


def test_only_the_given_documents_are_cut():
    lines, starts, ends = random_text(0)
    spans = cut_spans(lines, starts[::3], ends[::3], 32, np.random.default_rng(0))
    covered = np.concatenate([np.arange(a, b) for a, b in zip(spans.start, spans.end)])
    assert np.array_equal(
        np.sort(covered), np.concatenate([np.arange(a, b) for a, b in zip(starts[::3], ends[::3])])
    )


def test_segments_are_split_at_the_line_boundary_nearest_the_middle():
    # One document of 20 tokens; its middle is 10, the nearest boundary 9.
    spans = [
        cut_spans(*text([[4, 5, 8, 3]]), 64, np.random.default_rng(seed)) for seed in range(400)
    ]
    uncut = [s for s in spans if len(s.start) == 1]
    assert all((s.start[0], s.end[0]) == (0, 20) and s.split[0] in (9, 20) for s in uncut)
    split = sum(s.split[0] == 9 for s in uncut)
    assert abs(len(uncut) - 0.95 * 400) < 4 * np.sqrt(400 * 0.95 * 0.05)
    assert abs(split - 0.9 * len(uncut)) < 4 * np.sqrt(len(uncut) * 0.9 * 0.1)


@pytest.mark.parametrize("seed", range(5))
def test_splits_are_line_boundaries_inside_the_span(seed):
    lines, starts, ends = random_text(seed)
    spans = cut_spans(lines, starts, ends, 48, np.random.default_rng(seed))
    inside = spans.split < spans.end
    assert inside.mean() > 0.5
    for start, split, end in zip(spans.start[inside], spans.split[inside], spans.end[inside]):
        within = lines[(lines > start) & (lines < end)]
        middle = (start + end) // 2
        assert split in within and abs(split - middle) == abs(within - middle).min()


def test_a_document_without_a_boundary_inside_is_one_segment():
    spans = cut_spans(*text([[20]] * 50), 64, np.random.default_rng(0))
    assert np.array_equal(spans.split, spans.end)


def test_long_documents_are_cut_at_places_that_differ_by_epoch():
    lines, starts, ends = text([[1_000]])
    cuts = [
        cut_spans(lines, starts, ends, 64, np.random.default_rng(seed)).start.tolist()
        for seed in range(5)
    ]
    assert len(set(map(tuple, cuts))) == 5


# --- batches ---


@pytest.mark.parametrize(
    "multiple, longest, budget, max_rows",
    [(8, 128, 1_024, None), (64, 128, 512, None), (8, 100, 100, None), (8, 128, 4_096, 5)],
)
@pytest.mark.parametrize("shuffled", [True, False])
def test_every_example_is_in_one_batch_and_the_budget_is_never_exceeded(
    multiple, longest, budget, max_rows, shuffled
):
    lengths = np.random.default_rng(0).integers(1, longest + 1, 777)
    batches = bucket_batches(
        lengths,
        budget,
        Padding(multiple, longest),
        np.random.default_rng(1) if shuffled else None,
        max_rows,
    )
    assert sorted(np.concatenate(batches).tolist()) == list(range(777))
    for rows in batches:
        width = min(-(-lengths[rows].max() // multiple) * multiple, longest)
        assert len(rows) * width <= budget
        assert len(rows) <= (max_rows or 777)


def test_a_filled_plan_has_few_shapes_and_still_every_example():
    lengths = np.random.default_rng(0).integers(3, 129, 1_001)
    plain, filled = (
        bucket_batches(lengths, 1_024, Padding(64, 128), np.random.default_rng(1), fill=fill)
        for fill in (False, True)
    )
    assert sorted(len(rows) for rows in plain) != sorted(len(rows) for rows in filled)
    assert set(np.concatenate(filled)) == set(range(1_001))
    assert {(-(-lengths[rows].max() // 64) * 64, len(rows)) for rows in filled} <= {
        (64, 16),
        (64, 8),
        (128, 8),
    }


def test_a_batch_as_planned_by_hand():
    # Widths 8 8 16 8 16 24; budget 32: four rows of 8, two of 16, one of 24.
    batches = bucket_batches(np.array([3, 8, 9, 5, 16, 20]), 32, Padding(8, 64), None)
    # Three of width 8 do not fill a batch and go on to width 16, where two rows do; of 16 one is left for 24.
    assert [rows.tolist() for rows in batches] == [[0, 1], [3, 2], [4], [5]]


def test_an_example_over_the_budget_raises():
    with pytest.raises(ValueError, match="96.*64"):
        bucket_batches(np.array([8, 90]), 64, Padding(8, 128), None)


def test_order_is_shuffled_by_the_generator_and_sorted_without():
    lengths = np.random.default_rng(0).integers(1, 129, 500)
    fixed = bucket_batches(lengths, 512, Padding(8, 128), None)
    widths = [-(-lengths[rows].max() // 8) for rows in fixed]
    assert widths == sorted(widths)
    first, again, other = (
        [
            rows.tolist()
            for rows in bucket_batches(lengths, 512, Padding(8, 128), np.random.default_rng(seed))
        ]
        for seed in (1, 1, 2)
    )
    assert first == again != other
    assert [-(-lengths[rows].max() // 8) for rows in first] != widths


def test_nothing_makes_no_batches():
    assert bucket_batches(np.zeros(0, np.int64), 64, Padding(8, 128), None) == []


@pytest.mark.parametrize("seed", range(3))
def test_padding_is_below_5_percent_on_lengths_like_those_of_reviews(seed):
    rng = np.random.default_rng(seed)
    lengths = np.clip(rng.lognormal(5.3, 0.65, 20_000), 12, 512).astype(
        int
    )  # median 200, a tail beyond 512
    batches = bucket_batches(lengths, 8_192, Padding(8, 512), rng)
    places = sum(len(rows) * min(-(-lengths[rows].max() // 8) * 8, 512) for rows in batches)
    assert 1 - lengths.sum() / places < 0.05


def test_a_batch_of_spans_written_by_hand():
    tokens = np.arange(100, 120, dtype=np.uint16)
    spans = Spans(np.array([0, 5, 10]), np.array([2, 9, 10 + 5]), np.array([5, 9, 17]))
    batch = collate_spans(tokens, spans, np.array([2, 0, 1]), Padding(8, 64))
    assert batch.input_ids.tolist() == [
        [CLS, 110, 111, 112, 113, 114, SEP, 115, 116, SEP] + [PAD] * 6,
        [CLS, 100, 101, SEP, 102, 103, 104, SEP] + [PAD] * 8,
        [CLS, 105, 106, 107, 108, SEP] + [PAD] * 10,
    ]
    assert batch.token_type_ids.tolist() == [
        [0] * 7 + [1] * 3 + [0] * 6,
        [0] * 4 + [1] * 4 + [0] * 8,
        [0] * 16,
    ]
    assert batch.attention_mask.tolist() == [[True] * n + [False] * (16 - n) for n in (10, 8, 6)]
    assert batch.labels is None and batch.input_ids.dtype == torch.int64


def test_a_batch_without_padding_has_no_mask():
    spans = Spans(np.array([0, 6]), np.array([6, 12]), np.array([6, 12]))
    batch = collate_spans(np.arange(5, 17), spans, np.array([0, 1]), Padding(8, 64))
    assert batch.attention_mask is None and batch.input_ids.shape == (2, 8)


def test_width_stops_at_the_longest_even_where_that_is_no_multiple():
    spans = Spans(np.array([0]), np.array([18]), np.array([18]))
    assert collate_spans(np.arange(5, 30), spans, np.array([0]), Padding(8, 20)).input_ids.shape == (1, 20)


def test_examples_of_a_task_written_by_hand():
    batch = collate(
        [[CLS, 7, SEP], [CLS, 8, 9, SEP, 6, SEP]], [[0, 0, 0], [0, 0, 0, 0, 1, 1]], [1, 0], Padding(4, 64)
    )
    assert batch.input_ids.tolist() == [
        [CLS, 7, SEP, 0, 0, 0, 0, 0],
        [CLS, 8, 9, SEP, 6, SEP, 0, 0],
    ]
    assert batch.token_type_ids.tolist() == [[0] * 8, [0, 0, 0, 0, 1, 1, 0, 0]]
    assert batch.attention_mask.tolist() == [[True] * 3 + [False] * 5, [True] * 6 + [False] * 2]
    assert batch.labels.tolist() == [1, 0]


# --- the stream ---


def stream(seed=0, text_seed=0, budget=512, multiple=8):
    lines, starts, ends = random_text(text_seed)
    return SpanBatches(Text(np.arange(5, 5 + lines[-1]), lines, starts, ends), budget, multiple, seed)


def test_an_epoch_reads_every_token_once():
    mine = stream()
    spans, batches = mine.lay_out(64, 0)
    seen = [
        token
        for _ in batches
        for row in rows_of(mine.next(64))
        for token in row
        if token not in (CLS, SEP)
    ]
    assert sorted(seen) == mine.text.tokens.tolist()
    assert mine.state() == {64: (0, len(batches))}
    mine.next(64)
    assert mine.state() == {64: (1, 1)}


@pytest.mark.parametrize("multiple", [8, 64])
def test_batches_of_the_stream_keep_budget_and_width(multiple):
    mine = stream(multiple=multiple)
    for _ in range(40):
        rows, width = mine.next(128).input_ids.shape
        assert rows * width <= 512 and width % multiple == 0 and width <= 128


def test_order_is_a_function_of_seed_and_epoch():
    def order(seed, epochs):
        mine = stream(seed)
        return [
            rows_of(mine.next(64)) for epoch in range(epochs) for _ in mine.lay_out(64, epoch)[1]
        ]

    assert order(1, 2) == order(1, 2)
    assert order(1, 1) != order(2, 1)
    both = order(1, 2)
    first = len(order(1, 1))
    assert both[:first] != both[first:]


@pytest.mark.parametrize("done", [1, 3, "epoch", "epoch and one"])
def test_a_loaded_state_goes_on_with_the_same_batches(done):
    mine = stream()
    count = len(mine.lay_out(64, 0)[1])
    for _ in range({"epoch": count, "epoch and one": count + 1}.get(done, done)):
        mine.next(64)
    other = stream()
    other.load(mine.state())
    assert other.state() == mine.state()
    for _ in range(count + 2):  # over the end of an epoch
        assert same(mine.next(64), other.next(64))


def test_a_state_of_before_the_first_batch_can_be_loaded():
    other = stream()
    other.load(stream().state())
    assert same(other.next(64), stream().next(64))


def test_each_length_has_a_place_of_its_own():
    mixed, short, long = stream(), stream(), stream()
    for length in (32, 128, 32, 32, 128, 32):
        assert same(mixed.next(length), (short if length == 32 else long).next(length))
    assert mixed.state() == {32: (0, 4), 128: (0, 2)} == {**short.state(), **long.state()}
    other = stream()
    other.load(mixed.state())
    assert same(other.next(128), long.next(128)) and same(other.next(32), short.next(32))


# --- examples ---


@pytest.mark.parametrize(
    "how, expected",
    [
        ("head", [0, 1, 2, 3, 4, 5, 6, 7]),
        ("tail", [4, 5, 6, 7, 8, 9, 10, 11]),
        ("head+tail", [0, 1, 6, 7, 8, 9, 10, 11]),
    ],
)
def test_what_stays_of_a_long_text(how, expected):
    assert truncate(list(range(12)), 8, how) == expected
    assert truncate(list(range(8)), 8, how) == list(range(8))
    assert truncate([1, 2], 0, how) == []


def test_head_and_tail_of_a_review_are_about_those_of_the_paper():
    kept = truncate(list(range(1_000)), 510, "head+tail")
    assert kept == [*range(127), *range(1_000 - 383, 1_000)]


@pytest.mark.parametrize(
    "a, b, max_len, expected, types",
    [
        ([10, 11], None, 8, [CLS, 10, 11, SEP], [0] * 4),
        ([10, 11, 12], None, 4, [CLS, 10, 11, SEP], [0] * 4),
        ([], None, 8, [CLS, SEP], [0, 0]),
        ([10], [20, 21], 8, [CLS, 10, SEP, 20, 21, SEP], [0, 0, 0, 1, 1, 1]),
        ([10, 11, 12, 13], [20], 7, [CLS, 10, 11, 12, SEP, 20, SEP], [0] * 5 + [1] * 2),
        ([10], [20, 21, 22, 23], 7, [CLS, 10, SEP, 20, 21, 22, SEP], [0] * 3 + [1] * 4),
        ([10, 11, 12, 13], [20, 21, 22, 23], 7, [CLS, 10, 11, SEP, 20, 21, SEP], [0] * 4 + [1] * 3),
        (
            [10, 11, 12, 13],
            [20, 21, 22, 23],
            8,
            [CLS, 10, 11, 12, SEP, 20, 21, SEP],
            [0] * 5 + [1] * 3,
        ),
        ([10], [], 8, [CLS, 10, SEP, SEP], [0, 0, 0, 1]),
    ],
)
def test_examples_framed_by_hand(a, b, max_len, expected, types):
    assert example_ids(a, b, max_len, "head") == (expected, types)


@pytest.mark.parametrize("how", ["head", "tail", "head+tail"])
def test_no_example_is_longer_than_the_limit_and_none_is_shortened_without_need(how):
    for n in range(20):
        for m in range(20):
            ids, types = example_ids(list(range(10, 10 + n)), list(range(50, 50 + m)), 16, how)
            assert len(ids) == len(types) == min(16, n + m + 3)


def test_single_texts_and_pairs_are_encoded_side_by_side(tokenizer):
    texts = ["one word", "two words", "three"]
    pairs = [None, "and more", None]
    encoded = encode_examples(tokenizer, texts, pairs, [0, 1, 2], 32, "head")
    one, two, three, more = tokenizer.encode_batch([*texts, "and more"])
    assert encoded.ids == [[CLS, *one, SEP], [CLS, *two, SEP, *more, SEP], [CLS, *three, SEP]]
    assert encoded.lengths.tolist() == [len(ids) for ids in encoded.ids]
    batch = encoded.batch(np.array([2, 1]), Padding(8, 32))
    assert rows_of(batch) == [encoded.ids[2], encoded.ids[1]] and batch.labels.tolist() == [2, 1]


# --- special tokens with other ids ---

BERTS = SpecialIds(pad=0, unk=100, cls=101, sep=102, mask=103)
LAST = SpecialIds(pad=50, unk=51, cls=52, sep=53, mask=54)


@pytest.mark.parametrize("special, cls, sep, pad", [(BERTS, 101, 102, 0), (LAST, 52, 53, 50)])
def test_spans_are_framed_and_padded_with_the_ids_they_are_given(special, cls, sep, pad):
    tokens = np.arange(10, 20)
    spans = Spans(np.array([0, 4]), np.array([2, 7]), np.array([4, 7]))
    batch = collate_spans(tokens, spans, np.array([0, 1]), Padding(8, 64), special)
    assert batch.input_ids.tolist() == [
        [cls, 10, 11, sep, 12, 13, sep, pad],
        [cls, 14, 15, 16, sep, pad, pad, pad],
    ]
    assert batch.token_type_ids.tolist() == [[0, 0, 0, 0, 1, 1, 1, 0], [0] * 8]
    assert batch.attention_mask.sum(1).tolist() == [7, 5]


@pytest.mark.parametrize("special, cls, sep, pad", [(BERTS, 101, 102, 0), (LAST, 52, 53, 50)])
def test_the_stream_and_examples_use_the_ids_they_are_given(special, cls, sep, pad):
    lines, starts, ends = random_text(0)
    mine = SpanBatches(Text(np.full(lines[-1], 30), lines, starts, ends), 512, 8, 0, special)
    seen = [mine.next(64) for _ in mine.lay_out(64, 0)[1]]
    assert {i for batch in seen for row in batch.input_ids.tolist() for i in row} == {
        30,
        cls,
        sep,
        pad,
    }
    for batch in seen:
        for row, whole in zip(rows_of(batch), batch.input_ids.tolist()):
            assert (row[0], row[-1], whole[len(row) :]) == (
                cls,
                sep,
                [pad] * (len(whole) - len(row)),
            )
    assert example_ids([1, 2], None, 8, "head", special) == ([cls, 1, 2, sep], [0] * 4)
    assert example_ids([1, 2], [3], 8, "head", special) == (
        [cls, 1, 2, sep, 3, sep],
        [0] * 4 + [1] * 2,
    )
    assert collate([[cls, sep]], [[0, 0]], None, Padding(4, 64), pad).input_ids.tolist() == [
        [cls, sep, pad, pad]
    ]


def test_encoded_examples_have_the_special_ids_of_their_tokenizer():
    words = WordPieceTokenizer(
        ["sun", "moon", "[MASK]", "[SEP]", "rain", "[CLS]", "[UNK]", "[PAD]"]
    )
    encoded = encode_examples(words, ["sun rain", "snow"], [None, "moon"], [0, 1], 16, "head")
    assert encoded.ids == [[5, 0, 4, 3], [5, 6, 3, 1, 3]] and encoded.pad == 7
    batch = encoded.batch(np.array([0, 1]), Padding(8, 16))
    assert batch.input_ids.tolist() == [[5, 0, 4, 3, 7, 7, 7, 7], [5, 6, 3, 1, 3, 7, 7, 7]]
    assert batch.attention_mask.sum(1).tolist() == [4, 5]
