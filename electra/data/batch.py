"""A batch, and how sequences of like length become batches under a token budget."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from electra.config import SPECIAL_IDS


class Batch(NamedTuple):
    """What a model reads."""

    input_ids: Tensor  # (B, T) int64
    token_type_ids: Tensor  # (B, T) int64, 0 or 1
    attention_mask: (
        Tensor | None
    )  # (B, T) bool, True for real tokens; None where there is no padding
    labels: Tensor | None = None  # (B,) int64; float32 where they are values to regress on

    def to(self, device: torch.device) -> Batch:
        """A copy on the device. To a GPU it goes through pinned memory: the host does not wait for it."""
        return self.map(
            lambda t: (t.pin_memory() if device.type == "cuda" else t).to(device, non_blocking=True)
        )

    def take(self, rows: slice) -> Batch:
        return self.map(lambda t: t[rows])

    def map(self, function: Callable[[Tensor], Tensor]) -> Batch:
        """`function` of each tensor that is there."""
        return Batch(*(None if t is None else function(t) for t in self))


def bucket_batches(
    lengths: np.ndarray,
    batch_tokens: int,
    multiple: int,
    longest: int,
    rng: np.random.Generator | None,
    most_rows: int | None = None,
    fill: bool = False,
) -> list[np.ndarray]:
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
        raise ValueError(
            f"an example of {width.max()} tokens does not fit into a batch of {batch_tokens}; raise "
            f"--batch-tokens or lower --accumulate"
        )
    batches: list[np.ndarray] = []
    rest = order[:0]
    for w in np.unique(width):
        rows = (
            batch_tokens // int(w) if most_rows is None else min(batch_tokens // int(w), most_rows)
        )
        members = np.concatenate([rest, order[width == w]])
        full = len(members) // rows * rows
        batches += np.split(members[:full], full // rows) if full else []
        rest = members[full:]
    if len(rest):
        batches.append(np.concatenate([rest, order[: rows - len(rest)]]) if fill else rest)
    if rng is not None:
        batches = [batches[i] for i in rng.permutation(len(batches))]
    return batches


def batch_width(longest_row: int, multiple: int, longest: int) -> int:
    return min(-(-longest_row // multiple) * multiple, longest)


def to_batch(
    ids: np.ndarray, types: np.ndarray, lengths: np.ndarray, labels: np.ndarray | None = None
) -> Batch:
    padded = lengths.min() < ids.shape[1]
    mask = torch.from_numpy(np.arange(ids.shape[1]) < lengths[:, None]) if padded else None
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(types),
        mask,
        None if labels is None else torch.from_numpy(labels),
    )


def collate(
    examples: list[list[int]],
    types: list[list[int]],
    labels: list[int] | list[float] | None,
    multiple: int,
    longest: int,
    pad: int = SPECIAL_IDS.pad,
) -> Batch:
    """Pad examples of a task, special tokens included, to a common width."""
    lengths = np.array([len(example) for example in examples])
    ids = np.full(
        (len(examples), batch_width(int(lengths.max()), multiple, longest)), pad, np.int64
    )
    type_ids = np.zeros_like(ids)
    for i, (example, kinds) in enumerate(zip(examples, types)):
        ids[i, : len(example)], type_ids[i, : len(example)] = example, kinds
    kind = np.float32 if labels and isinstance(labels[0], float) else np.int64
    return to_batch(ids, type_ids, lengths, None if labels is None else np.array(labels, kind))
