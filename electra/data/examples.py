"""Fine-tuning examples: single texts or pairs as ids."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from electra.config import SPECIAL_IDS, SpecialIds
from electra.data.batch import Batch, collate


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
        return collate(
            [self.ids[i] for i in rows],
            [self.types[i] for i in rows],
            [self.labels[i] for i in rows],
            multiple,
            longest,
            self.pad,
        )


def truncate(ids: list[int], room: int, how: str) -> list[int]:
    """What stays of a text that is longer than `room`: its "head", its "tail", or a quarter of the room from its head
    and the rest from its tail (Sun et al. 2019, section 5.3.1, take 128 and 382 of 510)."""
    if len(ids) <= room:
        return ids
    front = {"head": room, "tail": 0, "head+tail": room // 4}[how]
    return ids[:front] + ids[len(ids) - (room - front) :]


def example_ids(
    a: list[int], b: list[int] | None, max_len: int, how: str, special: SpecialIds = SPECIAL_IDS
) -> tuple[list[int], list[int]]:
    """[CLS] a [SEP] or [CLS] a [SEP] b [SEP] of at most `max_len` tokens, and the segment of each. Of a pair the longer
    segment is shortened first."""
    if b is None:
        a = truncate(a, max_len - 2, how)
        return [special.cls, *a, special.sep], [0] * (len(a) + 2)
    room = max_len - 3
    if len(a) + len(b) > room:
        half = room // 2
        keep_b = min(len(b), max(half, room - len(a)))
        a, b = truncate(a, room - keep_b, how), truncate(b, keep_b, how)
    return [special.cls, *a, special.sep, *b, special.sep], [0] * (len(a) + 2) + [1] * (len(b) + 1)


def encode_examples(
    tokenizer: object,
    texts_a: list[str],
    texts_b: list[str | None],
    labels: list[int] | list[float],
    max_len: int,
    how: str,
) -> Encoded:
    """Tokenise examples. `texts_b` holds None for a single text."""
    ids_a = tokenizer.encode_batch(texts_a)
    ids_b = iter(tokenizer.encode_batch([text for text in texts_b if text is not None]))
    pairs = [
        example_ids(a, None if text is None else next(ids_b), max_len, how, tokenizer.special)
        for a, text in zip(ids_a, texts_b)
    ]
    return Encoded(
        [ids for ids, _ in pairs], [types for _, types in pairs], labels, tokenizer.special.pad
    )
