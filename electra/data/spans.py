"""Pre-training examples: spans of one document, cut at run time, and their endless batches.

The cutting follows `ExampleBuilder` of google-research/electra (`build_pretraining_dataset.py`),
but loses no token: the official code throws away what exceeds a target length.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from electra.config import SPECIAL_IDS, SpecialIds
from electra.data.batch import Batch, Padding, bucket_batches, to_batch
from electra.data.token_store import Text


class SpanOptions(NamedTuple):
    """How spans are cut and put into batches; the shares are those of the official code."""

    short_share: float = 0.05  # of spans that are cut once more at a random token
    pair_share: float = 0.9  # of spans that are split into two segments where a line ends inside
    fill: bool = False  # as in `bucket_batches`


OPTIONS = SpanOptions()


class Spans(NamedTuple):
    """Spans of a text: segment A is tokens[start:split], segment B tokens[split:end].

    A span of one segment has split = end.
    """

    start: np.ndarray  # (n,) int64
    split: np.ndarray  # (n,) int64
    end: np.ndarray  # (n,) int64

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example with [CLS] and one [SEP] a segment, (n,) int64."""
        return self.end - self.start + 2 + (self.split < self.end)


def cut_spans(
    lines: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    seq_len: int,
    rng: np.random.Generator,
    options: SpanOptions = OPTIONS,
) -> Spans:
    """Cut documents tokens[starts:ends] into spans of at most `seq_len` with special tokens.

    Every token is in exactly one span. `rng` shifts where a longer document is cut.
    Some spans are cut once more. Most are split into two segments where the line ends that is
    nearest the middle. `lines` (sorted) are the boundaries of lines; all arrays are int64.
    """
    start, end = _cut_documents(starts, ends, seq_len - 3, rng)
    start, end = _cut_some_again(start, end, options.short_share, rng)
    return Spans(start, _split_segments(lines, start, end, options.pair_share, rng), end)


def _cut_documents(
    starts: np.ndarray, ends: np.ndarray, longest: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(start, end) of spans of at most `longest` tokens; the first of a document is shorter."""
    length = ends - starts
    first = np.where(length > longest, rng.integers(1, longest + 1, len(starts)), length)
    count = 1 + -(-(length - first) // longest)  # spans of each document

    document = np.repeat(np.arange(len(starts)), count)
    number = np.arange(len(document)) - np.repeat(np.cumsum(count) - count, count)
    start = starts[document] + np.where(number > 0, first[document] + (number - 1) * longest, 0)
    end = np.minimum(starts[document] + first[document] + number * longest, ends[document])
    return start, end


def _cut_some_again(
    start: np.ndarray, end: np.ndarray, share: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a share of the spans at a random token: the official code's random target lengths."""
    again = np.flatnonzero((rng.random(len(start)) < share) & (end - start > 1))
    cut = rng.integers(start[again] + 1, end[again])
    start, end = np.concatenate([start, cut]), np.concatenate([end, end[again]])
    end[again] = cut
    return start, end


def _split_segments(
    lines: np.ndarray, start: np.ndarray, end: np.ndarray, share: float, rng: np.random.Generator
) -> np.ndarray:
    """Where segment B of each span begins; the span's end where it has none."""
    middle = (start + end) // 2
    after = np.searchsorted(lines, middle)
    above, below = lines[np.minimum(after, len(lines) - 1)], lines[np.maximum(after - 1, 0)]
    nearest = np.where(np.abs(above - middle) < np.abs(middle - below), above, below)
    inside = (nearest > start) & (nearest < end) & (rng.random(len(start)) < share)
    return np.where(inside, nearest, end)


def collate_spans(
    tokens: np.ndarray,
    spans: Spans,
    rows: np.ndarray,
    padding: Padding,
    special: SpecialIds = SPECIAL_IDS,
) -> Batch:
    """The batch of the spans with these indices: [CLS] A [SEP] or [CLS] A [SEP] B [SEP]."""
    lengths = spans.lengths[rows]
    ids = np.full((len(rows), int(padding.widths(lengths).max())), special.pad, np.int64)  # (B, T)
    types = np.zeros_like(ids)
    bounds = zip(spans.start[rows], spans.split[rows], spans.end[rows], strict=True)
    for row, (start, split, end) in enumerate(bounds):
        a = split - start
        ids[row, 0] = special.cls
        ids[row, 1 : 1 + a] = tokens[start:split]
        ids[row, 1 + a] = special.sep
        if split < end:
            ids[row, 2 + a : 2 + a + end - split] = tokens[split:end]
            ids[row, 2 + end - start] = special.sep
            types[row, 2 + a : 3 + end - start] = 1
    return to_batch(ids, types, lengths)


class SpanBatches:
    """Endless streams of pre-training batches, one for each sequence length.

    `state` and `load` carry the positions in the streams through a checkpoint.
    """

    def __init__(
        self,
        text: Text,
        batch_tokens: int,
        multiple: int,
        seed: int,
        special: SpecialIds = SPECIAL_IDS,
        options: SpanOptions = OPTIONS,
    ) -> None:
        """`batch_tokens` and `fill` are those of `bucket_batches`, `multiple` is `Padding`'s."""
        self.text, self.batch_tokens, self.multiple = text, batch_tokens, multiple
        self.seed, self.special, self.options = seed, special, options
        self.positions: dict[int, tuple[int, int]] = {}  # length: (epoch, batches taken of it)
        self._epochs: dict[int, tuple[Spans, list[np.ndarray]]] = {}  # length: the one being read

    def lay_out(self, seq_len: int, epoch: int) -> tuple[Spans, list[np.ndarray]]:
        """Spans and batches of an epoch: a function of (seed, epoch, seq_len) alone."""
        rng = np.random.default_rng([self.seed, epoch, seq_len])
        text = self.text
        spans = cut_spans(text.lines, text.starts, text.ends, seq_len, rng, self.options)
        padding = Padding(self.multiple, seq_len)
        fill = self.options.fill
        return spans, bucket_batches(spans.lengths, self.batch_tokens, padding, rng, fill=fill)

    def next(self, seq_len: int) -> Batch:
        """The next batch of examples of at most `seq_len` tokens.

        Raises ValueError where such an example does not fit into `batch_tokens`.
        """
        epoch, index = self.positions.get(seq_len, (0, 0))
        if seq_len not in self._epochs:
            self._epochs[seq_len] = self.lay_out(seq_len, epoch)
        if index >= len(self._epochs[seq_len][1]):
            epoch, index = epoch + 1, 0
            self._epochs[seq_len] = self.lay_out(seq_len, epoch)

        spans, batches = self._epochs[seq_len]
        self.positions[seq_len] = epoch, index + 1
        padding = Padding(self.multiple, seq_len)
        return collate_spans(self.text.tokens, spans, batches[index], padding, self.special)

    def state(self) -> dict[int, tuple[int, int]]:
        """{sequence length: (epoch, batches taken of it)}"""
        return dict(self.positions)

    def load(self, state: dict[int, tuple[int, int]]) -> None:
        """Continue where `state` was taken."""
        self.positions = {length: (epoch, index) for length, (epoch, index) in state.items()}
        self._epochs = {}
