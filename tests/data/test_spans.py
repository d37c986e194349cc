"""Spans: every token is in exactly one, and segments split where a line ends."""

import numpy as np
import pytest
import torch

from data.batches import random_text, text
from electra.config import CLS, PAD, SEP
from electra.data.batch import Padding
from electra.data.spans import SpanOptions, Spans, collate_spans, cut_spans

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("seq_len", [8, 16, 64, 512])
@pytest.mark.parametrize("seed", range(3))
def test_every_token_is_in_exactly_one_span_of_its_document(seq_len, seed):
    lines, starts, ends = random_text(seed)
    spans = cut_spans(lines, starts, ends, seq_len, np.random.default_rng(seed))
    hits = np.zeros(lines[-1], int)
    for start, split, end in zip(*spans, strict=True):
        assert start < split <= end
        hits[start:end] += 1
        assert any(a <= start and end <= b for a, b in zip(starts, ends, strict=True))
    assert (hits == 1).all()
    assert spans.lengths.max() <= seq_len


def test_only_the_given_documents_are_cut():
    lines, starts, ends = random_text(0)
    spans = cut_spans(lines, starts[::3], ends[::3], 32, np.random.default_rng(0))
    covered = np.concatenate([np.arange(a, b) for a, b in zip(spans.start, spans.end, strict=True)])
    assert np.array_equal(
        np.sort(covered),
        np.concatenate([np.arange(a, b) for a, b in zip(starts[::3], ends[::3], strict=True)]),
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
    for start, split, end in zip(*(bound[inside] for bound in spans), strict=True):
        within = lines[(lines > start) & (lines < end)]
        middle = (start + end) // 2
        assert split in within and abs(split - middle) == abs(within - middle).min()


@pytest.mark.parametrize("pair_share", [0.0, 0.3, 1.0])
def test_the_share_of_pairs_can_be_chosen(pair_share):
    options = SpanOptions(short_share=0.0, pair_share=pair_share)
    spans = [
        cut_spans(*text([[4, 5, 8, 3]]), 64, np.random.default_rng(seed), options)
        for seed in range(400)
    ]
    assert all(len(one.start) == 1 for one in spans)  # nothing is cut again
    pairs = sum(one.split[0] == 9 for one in spans)
    spread = np.sqrt(400 * pair_share * (1 - pair_share))
    assert abs(pairs - pair_share * 400) <= 4 * spread


def test_the_share_of_short_spans_can_be_chosen():
    for share in (0.0, 0.5, 1.0):
        options = SpanOptions(short_share=share)
        found = [
            len(cut_spans(*text([[20]]), 64, np.random.default_rng(seed), options).start)
            for seed in range(400)
        ]
        assert abs(found.count(2) - share * 400) <= 4 * np.sqrt(400 * share * (1 - share))


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


def test_the_longest_width_need_not_be_a_multiple():
    spans = Spans(np.array([0]), np.array([18]), np.array([18]))
    assert collate_spans(
        np.arange(5, 30), spans, np.array([0]), Padding(8, 20)
    ).input_ids.shape == (1, 20)
