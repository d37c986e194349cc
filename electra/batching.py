"""Spans of documents, or examples of a task, -> length buckets -> batches under a token budget.

Letters: B rows, T tokens. The order of batches is a function of (seed, epoch, length) alone, and the place in it is two
numbers, so that a run resumes exactly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from electra.config import SPECIAL_IDS, SpecialIds


class Batch(NamedTuple):
    """What a model reads."""

    input_ids: Tensor               # (B, T) int64
    token_type_ids: Tensor          # (B, T) int64, 0 or 1
    attention_mask: Tensor | None   # (B, T) bool, True for real tokens; None where there is no padding
    labels: Tensor | None = None    # (B,) int64; float32 where they are values to regress on

    def to(self, device: torch.device) -> Batch:
        """A copy on the device. To a GPU it goes through pinned memory: the host does not wait for it."""
        return self.map(lambda t: (t.pin_memory() if device.type == "cuda" else t).to(device, non_blocking=True))

    def take(self, rows: slice) -> Batch:
        return self.map(lambda t: t[rows])

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """`function` of each tensor that is there."""
        return Batch(*(None if t is None else function(t) for t in self))


class Spans(NamedTuple):
    """Pieces of documents: tokens[start:end], segment A before `split` and B from it; split = end: A alone."""

    start: np.ndarray   # (n,) int64
    split: np.ndarray   # (n,) int64
    end: np.ndarray     # (n,) int64

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each example with [CLS] and one [SEP] a segment."""
        return self.end - self.start + 2 + (self.split < self.end)


def cut_spans(lines: np.ndarray, starts: np.ndarray, ends: np.ndarray, seq_len: int, rng: np.random.Generator
              ) -> Spans:
    """Cut documents tokens[starts:ends] into spans that fit `seq_len` with their special tokens, losing no token.

    A document longer than that is cut at a place that `rng` shifts, 5% of the spans are cut once more at random, 90%
    are split into two segments at the line boundary nearest the middle (`ExampleBuilder` of google-research/electra,
    which however throws away what overflows a target length). `lines` (sorted) are the boundaries.
    """
    longest = seq_len - 3
    length = ends - starts
    first = np.where(length > longest, rng.integers(1, longest + 1, len(starts)), length)
    count = 1 + -(-(length - first) // longest)                                   # spans of each document
    document = np.repeat(np.arange(len(starts)), count)
    number = np.arange(len(document)) - np.repeat(np.cumsum(count) - count, count)
    start = starts[document] + np.where(number > 0, first[document] + (number - 1) * longest, 0)
    end = np.minimum(starts[document] + first[document] + number * longest, ends[document])

    again = np.flatnonzero((rng.random(len(start)) < 0.05) & (end - start > 1))   # random target length
    cut = rng.integers(start[again] + 1, end[again])
    start, end = np.concatenate([start, cut]), np.concatenate([end, end[again]])
    end[again] = cut

    middle = (start + end) // 2
    after = np.searchsorted(lines, middle)
    above, below = lines[np.minimum(after, len(lines) - 1)], lines[np.maximum(after - 1, 0)]
    nearest = np.where(np.abs(above - middle) < np.abs(middle - below), above, below)
    inside = (nearest > start) & (nearest < end) & (rng.random(len(start)) < 0.9)
    return Spans(start, np.where(inside, nearest, end), end)


def plan(lengths: np.ndarray, batch_tokens: int, multiple: int, longest: int, rng: np.random.Generator | None,
         most_rows: int | None = None, fill: bool = False) -> list[np.ndarray]:
    """Group examples by length: a list of index arrays, each a batch with rows x width <= `batch_tokens`.

    Width is the longest row rounded up to `multiple`, at most `longest`. Rows that do not fill a batch of their width
    go on to the next wider one. Every example is in exactly one batch. `rng` shuffles rows and batches; None keeps
    them sorted by length. `most_rows` bounds the rows as well. `fill` completes the last batch, which has what is left,
    with examples that are in another one too: no new shape for a compiler to work on. Raises ValueError where one row
    is over the budget.
    """
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    width = np.minimum(-(-lengths[order] // multiple) * multiple, longest)
    if len(width) and width.max() > batch_tokens:
        raise ValueError(f"an example of {width.max()} tokens does not fit into a batch of {batch_tokens}; raise "
                         f"--batch-tokens or lower --accumulate")
    batches: list[np.ndarray] = []
    rest = order[:0]
    for w in np.unique(width):
        rows = batch_tokens // int(w) if most_rows is None else min(batch_tokens // int(w), most_rows)
        members = np.concatenate([rest, order[width == w]])
        full = len(members) // rows * rows
        batches += np.split(members[:full], full // rows) if full else []
        rest = members[full:]
    if len(rest):
        batches.append(np.concatenate([rest, order[:rows - len(rest)]]) if fill else rest)
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


def _width(longest_row: int, multiple: int, longest: int) -> int:
    return min(-(-longest_row // multiple) * multiple, longest)


def collate_spans(tokens: np.ndarray, spans: Spans, rows: np.ndarray, multiple: int, longest: int,
                  special: SpecialIds = SPECIAL_IDS) -> Batch:
    """Build the batch of the given spans: [CLS] A [SEP] or [CLS] A [SEP] B [SEP]."""
    lengths = spans.lengths[rows] if len(rows) else np.zeros(0, np.int64)
    ids = np.full((len(rows), _width(int(lengths.max()), multiple, longest)), special.pad, np.int64)
    types = np.zeros_like(ids)
    for i, (start, split, end) in enumerate(zip(spans.start[rows], spans.split[rows], spans.end[rows])):
        a = split - start
        ids[i, 0] = special.cls
        ids[i, 1:1 + a] = tokens[start:split]
        ids[i, 1 + a] = special.sep
        if split < end:
            ids[i, 2 + a:2 + a + end - split] = tokens[split:end]
            ids[i, 2 + end - start] = special.sep
            types[i, 2 + a:3 + end - start] = 1
    return _to_batch(ids, types, lengths)


def _to_batch(ids: np.ndarray, types: np.ndarray, lengths: np.ndarray, labels: np.ndarray | None = None) -> Batch:
    padded = lengths.min() < ids.shape[1]
    mask = torch.from_numpy(np.arange(ids.shape[1]) < lengths[:, None]) if padded else None
    return Batch(torch.from_numpy(ids), torch.from_numpy(types), mask,
                 None if labels is None else torch.from_numpy(labels))


def collate(examples: list[list[int]], types: list[list[int]], labels: list[int] | list[float] | None, multiple: int,
            longest: int, pad: int = SPECIAL_IDS.pad) -> Batch:
    """Pad examples of a task, special tokens included, to a common width."""
    lengths = np.array([len(example) for example in examples])
    ids = np.full((len(examples), _width(int(lengths.max()), multiple, longest)), pad, np.int64)
    type_ids = np.zeros_like(ids)
    for i, (example, kinds) in enumerate(zip(examples, types)):
        ids[i, :len(example)], type_ids[i, :len(example)] = example, kinds
    kind = np.float32 if labels and isinstance(labels[0], float) else np.int64
    return _to_batch(ids, type_ids, lengths, None if labels is None else np.array(labels, kind))


class SpanBatches:
    """The endless streams of pre-training batches, one for each length. `state` and `load` carry their places through a
    checkpoint."""

    def __init__(self, tokens: np.ndarray, lines: np.ndarray, starts: np.ndarray, ends: np.ndarray, batch_tokens: int,
                 multiple: int, seed: int, special: SpecialIds = SPECIAL_IDS, fill: bool = False) -> None:
        self.tokens, self.lines, self.starts, self.ends = tokens, lines, starts, ends
        self.batch_tokens, self.multiple, self.seed, self.special = batch_tokens, multiple, seed, special
        self.fill = fill
        self.places: dict[int, tuple[int, int]] = {}   # length: (epoch, batches taken of it)
        self._laid_out: dict[int, tuple[Spans, list[np.ndarray]]] = {}

    def lay_out(self, seq_len: int, epoch: int) -> tuple[Spans, list[np.ndarray]]:
        """Spans and batches of an epoch: a function of (seed, epoch, seq_len)."""
        rng = np.random.default_rng([self.seed, epoch, seq_len])
        spans = cut_spans(self.lines, self.starts, self.ends, seq_len, rng)
        return spans, plan(spans.lengths, self.batch_tokens, self.multiple, seq_len, rng, fill=self.fill)

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
        return collate_spans(self.tokens, spans, batches[index], self.multiple, seq_len, self.special)

    def state(self) -> dict[int, tuple[int, int]]:
        return dict(self.places)

    def load(self, state: dict[int, tuple[int, int]]) -> None:
        self.places, self._laid_out = {length: tuple(place) for length, place in state.items()}, {}


class Encoded(NamedTuple):
    """Examples of a task in ids, special tokens included."""

    ids: list[list[int]]
    types: list[list[int]]
    labels: list[int] | list[float]
    pad: int = SPECIAL_IDS.pad

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(ids) for ids in self.ids], np.int64)

    def batch(self, rows: np.ndarray, multiple: int, longest: int) -> Batch:
        return collate([self.ids[i] for i in rows], [self.types[i] for i in rows], [self.labels[i] for i in rows],
                       multiple, longest, self.pad)


def shorten(ids: list[int], room: int, how: str) -> list[int]:
    """What stays of a text that is longer than `room`: its "head", its "tail", or a quarter of the room from its head
    and the rest from its tail (Sun et al. 2019, section 5.3.1, take 128 and 382 of 510)."""
    if len(ids) <= room:
        return ids
    front = {"head": room, "tail": 0, "head+tail": room // 4}[how]
    return ids[:front] + ids[len(ids) - (room - front):]


def example_ids(a: list[int], b: list[int] | None, max_len: int, how: str, special: SpecialIds = SPECIAL_IDS
                ) -> tuple[list[int], list[int]]:
    """[CLS] a [SEP] or [CLS] a [SEP] b [SEP] of at most `max_len` tokens, and the segment of each. Of a pair the longer
    segment is shortened first."""
    if b is None:
        a = shorten(a, max_len - 2, how)
        return [special.cls, *a, special.sep], [0] * (len(a) + 2)
    room = max_len - 3
    if len(a) + len(b) > room:
        half = room // 2
        keep_b = min(len(b), max(half, room - len(a)))
        a, b = shorten(a, room - keep_b, how), shorten(b, keep_b, how)
    return [special.cls, *a, special.sep, *b, special.sep], [0] * (len(a) + 2) + [1] * (len(b) + 1)


def encode_examples(tokenizer: object, texts_a: list[str], texts_b: list[str | None],
                    labels: list[int] | list[float], max_len: int,
                    how: str) -> Encoded:
    """Tokenise examples. `texts_b` holds None for a single text."""
    ids_a = tokenizer.encode_batch(texts_a)
    ids_b = iter(tokenizer.encode_batch([text for text in texts_b if text is not None]))
    pairs = [example_ids(a, None if text is None else next(ids_b), max_len, how, tokenizer.special)
             for a, text in zip(ids_a, texts_b)]
    return Encoded([ids for ids, _ in pairs], [types for _, types in pairs], labels, tokenizer.special.pad)
