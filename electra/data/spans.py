"""Pre-training examples: spans of one document, cut at run time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from electra.config import SPECIAL_IDS, SpecialIds
from electra.data.batch import Batch, batch_width, bucket_batches, to_batch


class Spans(NamedTuple):
    """Pieces of documents: tokens[start:end], segment A before `split` and B from it; split = end: A alone."""

    start: np.ndarray  # (n,) int64
    split: np.ndarray  # (n,) int64
    end: np.ndarray  # (n,) int64

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example with [CLS] and one [SEP] a segment."""
        return self.end - self.start + 2 + (self.split < self.end)


def cut_spans(
    lines: np.ndarray, starts: np.ndarray, ends: np.ndarray, seq_len: int, rng: np.random.Generator
) -> Spans:
    """Cut documents tokens[starts:ends] into spans that fit `seq_len` with their special tokens, losing no token.

    A document longer than that is cut at a place that `rng` shifts, 5% of the spans are cut once more at random, 90%
    are split into two segments at the line boundary nearest the middle (`ExampleBuilder` of google-research/electra,
    which however throws away what overflows a target length). `lines` (sorted) are the boundaries.
    """
    longest = seq_len - 3
    length = ends - starts
    first = np.where(length > longest, rng.integers(1, longest + 1, len(starts)), length)
    count = 1 + -(-(length - first) // longest)  # spans of each document
    document = np.repeat(np.arange(len(starts)), count)
    number = np.arange(len(document)) - np.repeat(np.cumsum(count) - count, count)
    start = starts[document] + np.where(number > 0, first[document] + (number - 1) * longest, 0)
    end = np.minimum(starts[document] + first[document] + number * longest, ends[document])

    again = np.flatnonzero(
        (rng.random(len(start)) < 0.05) & (end - start > 1)
    )  # random target length
    cut = rng.integers(start[again] + 1, end[again])
    start, end = np.concatenate([start, cut]), np.concatenate([end, end[again]])
    end[again] = cut

    middle = (start + end) // 2
    after = np.searchsorted(lines, middle)
    above, below = lines[np.minimum(after, len(lines) - 1)], lines[np.maximum(after - 1, 0)]
    nearest = np.where(np.abs(above - middle) < np.abs(middle - below), above, below)
    inside = (nearest > start) & (nearest < end) & (rng.random(len(start)) < 0.9)
    return Spans(start, np.where(inside, nearest, end), end)


def collate_spans(
    tokens: np.ndarray,
    spans: Spans,
    rows: np.ndarray,
    multiple: int,
    longest: int,
    special: SpecialIds = SPECIAL_IDS,
) -> Batch:
    """Build the batch of the given spans: [CLS] A [SEP] or [CLS] A [SEP] B [SEP]."""
    lengths = spans.lengths[rows] if len(rows) else np.zeros(0, np.int64)
    ids = np.full(
        (len(rows), batch_width(int(lengths.max()), multiple, longest)), special.pad, np.int64
    )
    types = np.zeros_like(ids)
    for i, (start, split, end) in enumerate(
        zip(spans.start[rows], spans.split[rows], spans.end[rows])
    ):
        a = split - start
        ids[i, 0] = special.cls
        ids[i, 1 : 1 + a] = tokens[start:split]
        ids[i, 1 + a] = special.sep
        if split < end:
            ids[i, 2 + a : 2 + a + end - split] = tokens[split:end]
            ids[i, 2 + end - start] = special.sep
            types[i, 2 + a : 3 + end - start] = 1
    return to_batch(ids, types, lengths)


class SpanBatches:
    """The endless streams of pre-training batches, one for each length. `state` and `load` carry their places through a
    checkpoint."""

    def __init__(
        self,
        tokens: np.ndarray,
        lines: np.ndarray,
        starts: np.ndarray,
        ends: np.ndarray,
        batch_tokens: int,
        multiple: int,
        seed: int,
        special: SpecialIds = SPECIAL_IDS,
        fill: bool = False,
    ) -> None:
        self.tokens, self.lines, self.starts, self.ends = tokens, lines, starts, ends
        self.batch_tokens, self.multiple, self.seed, self.special = (
            batch_tokens,
            multiple,
            seed,
            special,
        )
        self.fill = fill
        self.places: dict[int, tuple[int, int]] = {}  # length: (epoch, batches taken of it)
        self._laid_out: dict[int, tuple[Spans, list[np.ndarray]]] = {}

    def lay_out(self, seq_len: int, epoch: int) -> tuple[Spans, list[np.ndarray]]:
        """Spans and batches of an epoch: a function of (seed, epoch, seq_len)."""
        rng = np.random.default_rng([self.seed, epoch, seq_len])
        spans = cut_spans(self.lines, self.starts, self.ends, seq_len, rng)
        return spans, bucket_batches(
            spans.lengths, self.batch_tokens, self.multiple, seq_len, rng, fill=self.fill
        )

    def next(self, seq_len: int) -> Batch:
        """The next batch at this length."""
        epoch, index = self.places.get(seq_len, (0, 0))
        if seq_len not in self._laid_out:
            self._laid_out[seq_len] = self.lay_out(seq_len, epoch)
        if index >= len(self._laid_out[seq_len][1]):
            epoch, index = epoch + 1, 0
            self._laid_out[seq_len] = self.lay_out(seq_len, epoch)
        spans, batches = self._laid_out[seq_len]
        self.places[seq_len] = epoch, index + 1
        return collate_spans(
            self.tokens, spans, batches[index], self.multiple, seq_len, self.special
        )

    def state(self) -> dict[int, tuple[int, int]]:
        return dict(self.places)

    def load(self, state: dict[int, tuple[int, int]]) -> None:
        self.places, self._laid_out = {length: tuple(place) for length, place in state.items()}, {}
