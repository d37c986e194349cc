"""Fine-tuning examples: single texts or pairs of texts as token ids."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from electra.config import SPECIAL_IDS, SpecialIds
from electra.data.batch import Batch, Label, Padding, bucket_batches, cheapest_batches, collate
from electra.data.token_cache import CachedTokenizer
from electra.data.tokenizer import Tokenizer

MOST_WINDOWS = 16  # over one text; what is longer loses its end


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
    # How many rows of `ids` each example has, (n,) int64: the texts of a pair that the model reads
    # apart, or the windows over a long text. None: one each. There is one label for all.
    parts: NDArray[np.int64] | None = None

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example, (n,) int64; of one of several rows those of its longest row."""
        tokens = np.array([len(ids) for ids in self.ids], np.int64)
        if self.parts is None:
            return tokens
        return np.maximum.reduceat(tokens, self._first_rows()) if len(tokens) else tokens

    def batches(
        self,
        batch_tokens: int,
        padding: Padding,
        rng: np.random.Generator | None,
        max_rows: int | None = None,
    ) -> list[NDArray[np.int64]]:
        """Group the examples as `bucket_batches` does, with those of as many rows.

        `batch_tokens` counts the tokens of all rows. A batch has one example at least.
        """
        batches = self._group(
            lambda lengths, rows: bucket_batches(
                lengths, max(batch_tokens // rows, padding.longest), padding, rng, max_rows
            )
        )
        if rng is not None and self.parts is not None and len(np.unique(self.parts)) > 1:
            batches = [batches[i] for i in rng.permutation(len(batches))]
        return batches

    def cheapest_batches(
        self, batch_tokens: int, padding: Padding, batch_cost: int
    ) -> list[NDArray[np.int64]]:
        """Group the examples as `cheapest_batches` of batch.py does, with those of as many rows.

        `batch_tokens` and `batch_cost` count the tokens of all rows.
        """
        return self._group(
            lambda lengths, rows: cheapest_batches(
                lengths, max(batch_tokens // rows, padding.longest), padding, batch_cost / rows
            )
        )

    def _group(
        self, group: Callable[[NDArray[np.int64], int], list[NDArray[np.int64]]]
    ) -> list[NDArray[np.int64]]:
        """What `group` makes of the lengths of the examples that have as many rows."""
        lengths = self.lengths
        if self.parts is None:
            return group(lengths, 1)
        batches = []
        for rows in np.unique(self.parts):
            members = np.flatnonzero(self.parts == rows)
            batches += [members[batch] for batch in group(lengths[members], int(rows))]
        return batches

    def batch(self, examples: NDArray[np.int64], padding: Padding) -> Batch:
        """The batch of the examples with these indices, which have the same number of rows.

        Of several rows each, (B, P, T) in place of (B, T), all of them padded to the same width.
        """
        parts = 1 if self.parts is None else int(self.parts[examples[0]])
        first = examples if self.parts is None else self._first_rows()[examples]
        rows = (first[:, None] + np.arange(parts)).ravel().tolist()
        batch = collate(
            [self.ids[i] for i in rows],
            [self.types[i] for i in rows],
            [self.labels[i] for i in np.repeat(examples, parts).tolist()],
            padding,
            self.pad,
        )
        if parts == 1:
            return batch
        assert batch.labels is not None
        labels = batch.labels[::parts]
        shape = (len(examples), parts, -1)
        return batch._replace(labels=None).map(lambda t: t.reshape(shape))._replace(labels=labels)

    def with_more(
        self, other: Encoded, chosen: NDArray[np.int64], labels: Sequence[Label]
    ) -> Encoded:
        """These examples, and behind them the chosen ones of another set, with new labels.

        chosen: their indices, (K,) int64, one for each label. Both sets were encoded alike, and
        neither has `windows`.
        """
        rows, parts = chosen, self.parts
        if self.parts is not None:
            assert other.parts is not None
            first, more = other._first_rows()[chosen], other.parts[chosen]
            windows = [np.arange(a, a + n) for a, n in zip(first, more, strict=True)]
            rows = np.concatenate([chosen[:0], *windows])
            parts = np.concatenate([self.parts, more])
        return self._replace(
            ids=self.ids + [other.ids[row] for row in rows],
            types=self.types + [other.types[row] for row in rows],
            labels=[*self.labels, *labels],
            parts=parts,
        )

    def _first_rows(self) -> NDArray[np.int64]:
        """The first row of each example."""
        assert self.parts is not None
        return np.cumsum(self.parts) - self.parts


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


def text_windows(ids: list[int], room: int) -> list[list[int]]:
    """A text in stretches of at most `room` tokens, all about as long; at least one.

    Of a text that needs more than `MOST_WINDOWS` the end is left out.
    """
    ids = ids[: MOST_WINDOWS * room]
    count = max(1, -(-len(ids) // room))
    ends = [len(ids) * (i + 1) // count for i in range(count)]
    return [ids[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def encode_examples(
    tokenizer: Tokenizer | CachedTokenizer,
    texts_a: list[str],
    texts_b: list[str | None],
    labels: Sequence[Label],
    max_len: int,
    truncation: str,
) -> Encoded:
    """Tokenise examples. `texts_b` has None where an example is a single text.

    With the truncation "windows" an example has a row for each of its `text_windows`. Raises
    ValueError for pairs then.
    """
    ids_a = tokenizer.encode_batch(texts_a)
    of_pairs = iter(tokenizer.encode_batch([text for text in texts_b if text is not None]))
    ids_b = [None if text is None else next(of_pairs) for text in texts_b]
    special = tokenizer.special

    examples, lost, parts = [], [], []
    for a, b in zip(ids_a, ids_b, strict=True):
        if truncation == "windows":
            if b is not None:
                raise ValueError("--truncate windows is for single texts; these are pairs")
            windows = text_windows(a, max_len - 2)
        else:
            windows = [a]
        rows = [example_ids(window, b, max_len, truncation, special) for window in windows]
        kept = sum(len(ids) for ids, _ in rows) - 2 * len(rows) - (b is not None)
        lost.append(len(a) + len(b or ()) - kept)
        examples += rows
        parts.append(len(rows))
    return Encoded(
        [ids for ids, _ in examples],
        [types for _, types in examples],
        labels,
        special.pad,
        cut_examples=sum(tokens > 0 for tokens in lost),
        cut_tokens=sum(lost),
        parts=np.array(parts, np.int64) if truncation == "windows" else None,
    )
