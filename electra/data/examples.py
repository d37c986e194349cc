"""Fine-tuning examples: single texts or pairs of texts as token ids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from electra.config import SPECIAL_IDS, SpecialIds
from electra.data.batch import Batch, Label, Padding, collate
from electra.data.token_cache import CachedTokenizer
from electra.data.tokenizer import Tokenizer


class Encoded(NamedTuple):
    """Examples as token ids, special tokens included."""

    ids: list[list[int]]
    types: list[list[int]]  # 0 for segment A and 1 for segment B, one for each id
    labels: Sequence[Label]
    pad: int = SPECIAL_IDS.pad
    # Where each row is a window of a longer example: which, and what its tokens stand for. Empty
    # where each row is one example.
    windows: Sequence[Any] = ()
    cut_examples: int = 0  # how many were longer than they may be
    cut_tokens: int = 0  # how many tokens these have lost
    # Texts of a row. With 2 the model reads the texts of a pair apart: they follow each other in
    # `ids`, and there is one label for both.
    texts: int = 1

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each row, (n,) int64; of a row of two texts those of the longer one."""
        tokens = np.array([len(ids) for ids in self.ids], np.int64)
        return tokens.reshape(-1, self.texts).max(1)

    def budget(self, batch_tokens: int, padding: Padding) -> int:
        """The sum of `lengths`, padding included, of batches of so many tokens; of one at least."""
        return max(batch_tokens // self.texts, padding.longest)

    def batch(self, rows: np.ndarray, padding: Padding) -> Batch:
        """The batch of the rows with these indices.

        A row of two texts has both side by side, each padded to the same width: (B, 2T).
        """
        numbers = (np.asarray(rows)[:, None] * self.texts + np.arange(self.texts)).ravel().tolist()
        batch = collate(
            [self.ids[i] for i in numbers],
            [self.types[i] for i in numbers],
            [self.labels[i // self.texts] for i in numbers],
            padding,
            self.pad,
        )
        if self.texts == 1:
            return batch
        assert batch.labels is not None
        side_by_side = batch.map(lambda tensor: tensor.reshape(len(rows), -1))
        return side_by_side._replace(labels=batch.labels[:: self.texts])


def truncate(ids: list[int], room: int, truncation: str) -> list[int]:
    """Cut a text to at most `room` tokens.

    `truncation` says what stays: "head", "tail", or "head+tail", which is a quarter of the room
    from the head and the rest from the tail (Sun et al. 2019, section 5.3.1, take 128 and 382 of
    510).
    """
    if len(ids) <= room:
        return ids
    front = {"head": room, "tail": 0, "head+tail": room // 4}[truncation]
    return ids[:front] + ids[len(ids) - (room - front) :]


def example_ids(
    a: list[int],
    b: list[int] | None,
    max_len: int,
    truncation: str,
    special: SpecialIds = SPECIAL_IDS,
) -> tuple[list[int], list[int]]:
    """(ids, segments) of [CLS] a [SEP] or [CLS] a [SEP] b [SEP], of at most `max_len` tokens.

    The longer text of a pair is cut first.
    """
    if b is None:
        a = truncate(a, max_len - 2, truncation)
        return [special.cls, *a, special.sep], [0] * (len(a) + 2)

    room = max_len - 3
    if len(a) + len(b) > room:
        keep_b = min(len(b), max(room // 2, room - len(a)))
        a, b = truncate(a, room - keep_b, truncation), truncate(b, keep_b, truncation)
    ids = [special.cls, *a, special.sep, *b, special.sep]
    return ids, [0] * (len(a) + 2) + [1] * (len(b) + 1)


def encode_examples(
    tokenizer: Tokenizer | CachedTokenizer,
    texts_a: list[str],
    texts_b: list[str | None],
    labels: Sequence[Label],
    max_len: int,
    truncation: str,
) -> Encoded:
    """Tokenise examples. `texts_b` has None where an example is a single text."""
    ids_a = tokenizer.encode_batch(texts_a)
    of_pairs = iter(tokenizer.encode_batch([text for text in texts_b if text is not None]))
    ids_b = [None if text is None else next(of_pairs) for text in texts_b]
    special = tokenizer.special

    examples, lost = [], []
    for a, b in zip(ids_a, ids_b, strict=True):
        ids, types = example_ids(a, b, max_len, truncation, special)
        examples.append((ids, types))
        lost.append(len(a) + 2 - len(ids) if b is None else len(a) + len(b) + 3 - len(ids))
    return Encoded(
        [ids for ids, _ in examples],
        [types for _, types in examples],
        labels,
        special.pad,
        cut_examples=sum(tokens > 0 for tokens in lost),
        cut_tokens=sum(lost),
    )
