"""Padded batches: examples of like length are grouped under a token budget.

B: rows of a batch, T: its width in tokens, P: rows of one example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from electra.config import SPECIAL_IDS

IGNORE = -100  # the label of a token that has none; torch's cross-entropy leaves it out
# `cheapest_batches` makes batches of a multiple of this many rows: a CPU prepares itself for each
# new shape of a batch, which takes longer than to read a few texts (docs/performance-log.md).
ROWS = 4
# Of one example: a class, a value, one number for each of several outputs, or a class per token.
Label = int | float | tuple[float, ...] | tuple[int, ...] | list[int]


class Batch(NamedTuple):
    """What a model reads.

    Where an example has several rows, a model reads (B, P, T), and B counts the examples.
    """

    input_ids: Tensor  # (B, T) int64
    token_type_ids: Tensor  # (B, T) int64, 0 for segment A and 1 for segment B
    attention_mask: Tensor | None  # (B, T) bool, True for real tokens; None without padding
    # (B,) int64 classes or float32 values of a regression; (B, L) of several outputs; (B, T) int64
    # classes of tokens, `IGNORE` where a token has none
    labels: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """A copy on the device. A GPU copies from pinned memory while the host goes on."""
        pin = device.type == "cuda"
        return self.map(lambda t: (t.pin_memory() if pin else t).to(device, non_blocking=True))

    def take(self, rows: slice) -> Batch:
        """These rows of the batch, at the same width."""
        return self.map(lambda t: t[rows])

    def rows(self) -> Batch:
        """All rows of all examples, (B * P, T), without labels."""
        return self._replace(labels=None).map(lambda t: t.flatten(0, -2))

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """Apply `function` to each tensor that is there."""
        return Batch._make(None if t is None else function(t) for t in self)


class Padding(NamedTuple):
    """Which widths batches have: the multiples of `multiple`, and `longest` in place of more."""

    multiple: int
    longest: int

    def widths(self, lengths: np.ndarray) -> np.ndarray:
        """Widths of batches whose longest rows have these lengths, both in tokens."""
        return np.minimum(-(-lengths // self.multiple) * self.multiple, self.longest)


def bucket_batches(
    lengths: np.ndarray,
    batch_tokens: int,
    padding: Padding,
    rng: np.random.Generator | None,
    max_rows: int | None = None,
    fill: bool = False,
) -> list[np.ndarray]:
    """Group examples of like length: for each batch an int64 array of their indices.

    A batch has at most `batch_tokens` tokens, padding included, and at most `max_rows` rows.
    Examples that do not fill a batch of their width join those of the next width. Every example
    is in exactly one batch. `rng` shuffles examples and batches; without it they are sorted by
    length. `fill` completes the last batch with examples that are in another batch too, so that a
    compiler meets no new shape.

    Raises ValueError where one example is over the budget.
    """
    order = np.arange(len(lengths)) if rng is None else rng.permutation(len(lengths))
    widths = padding.widths(lengths[order])
    _check_fits(widths, batch_tokens, "raise --batch-tokens or lower --accumulate")

    batches: list[np.ndarray] = []
    rest = order[:0]
    for width in np.unique(widths):
        rows = batch_tokens // int(width)
        rows = rows if max_rows is None else min(rows, max_rows)
        members = np.concatenate([rest, order[widths == width]])
        full = len(members) // rows * rows
        batches += np.split(members[:full], full // rows) if full else []
        rest = members[full:]
    if len(rest):
        batches.append(np.concatenate([rest, order[: rows - len(rest)]]) if fill else rest)

    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


def cheapest_batches(
    lengths: np.ndarray, batch_tokens: int, padding: Padding, batch_cost: float
) -> list[np.ndarray]:
    """Group examples of like length so that they are read in the least time.

    As `bucket_batches` without `rng`, but a batch need not be full: fewer tokens of padding can pay
    for one more. A batch costs its tokens, padding included, and `batch_cost` tokens beside them.
    All batches but the one of the shortest examples have a multiple of `ROWS` rows, unless so many
    do not fit.

    The best split of the examples in the order of their lengths, by dynamic programming. Raises
    ValueError where one example is over the budget.
    """
    order = np.argsort(lengths, kind="stable")
    widths = padding.widths(lengths[order])
    _check_fits(widths, batch_tokens, "raise --batch-tokens")
    costs = np.zeros(len(order) + 1)  # of the examples before each
    starts = np.zeros(len(order) + 1, np.int64)  # of the batch that ends there
    for end in range(1, len(order) + 1):
        width = int(widths[end - 1])
        most = min(batch_tokens // width, end)
        rows = np.arange(ROWS, most + 1, ROWS)
        if most == end or most < ROWS:
            rows = np.append(rows, most)
        found = costs[end - rows] + rows * width + batch_cost
        costs[end], starts[end] = found.min(), end - rows[found.argmin()]

    batches, end = [], len(order)
    while end:
        batches.append(order[starts[end] : end])
        end = starts[end]
    return batches[::-1]


def _check_fits(widths: np.ndarray, batch_tokens: int, advice: str) -> None:
    widest = widths.max(initial=0)
    if widest > batch_tokens:
        raise ValueError(
            f"an example of {widest} tokens does not fit into a batch of {batch_tokens}; {advice}"
        )


def to_batch(
    ids: np.ndarray, types: np.ndarray, lengths: np.ndarray, labels: np.ndarray | None = None
) -> Batch:
    """A batch of padded arrays: ids and types (B, T) int64, lengths (B,) without the padding."""
    mask = None
    if lengths.min() < ids.shape[1]:
        mask = torch.from_numpy(np.arange(ids.shape[1]) < lengths[:, None])
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(types),
        mask,
        None if labels is None else torch.from_numpy(labels),
    )


def collate(
    examples: list[list[int]],
    types: list[list[int]],
    labels: Sequence[Label] | None,
    padding: Padding,
    pad: int = SPECIAL_IDS.pad,
) -> Batch:
    """Pad examples to a common width. Their ids have the special tokens already.

    `types` are the segments of the tokens. Labels that are floats, or tuples of floats, stay
    float32, others are int64. A list is one label for each token and is padded with `IGNORE`.
    """
    lengths = np.array([len(example) for example in examples])
    ids = np.full((len(examples), int(padding.widths(lengths).max())), pad, np.int64)  # (B, T)
    type_ids = np.zeros_like(ids)
    for row, (example, segments) in enumerate(zip(examples, types, strict=True)):
        ids[row, : len(example)] = example
        type_ids[row, : len(example)] = segments

    return to_batch(
        ids, type_ids, lengths, None if labels is None else _stack(labels, ids.shape[1])
    )


def _stack(labels: Sequence[Label], width: int) -> np.ndarray:
    """The labels of a batch as one array; those of tokens become rows of `width`."""
    first = labels[0]
    if isinstance(first, list):
        stacked = np.full((len(labels), width), IGNORE, np.int64)  # (B, T)
        for row, of_tokens in zip(stacked, labels, strict=True):
            assert isinstance(of_tokens, list)
            row[: len(of_tokens)] = of_tokens
        return stacked
    number = first[0] if isinstance(first, tuple) else first
    return np.array(labels, np.float32 if isinstance(number, float) else np.int64)
