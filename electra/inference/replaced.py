"""The words of a text that an ELECTRA takes for replaced, and a view that marks them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

from electra.data.examples import Encoded, example_ids
from electra.data.sentencepiece import WORD_START
from electra.data.tokenizer import Tokenizer
from electra.inference.predictor import Predictor, batches_of, round_probability
from electra.inference.texts import Record
from electra.model.electra import Electra
from electra.model.side_by_side import predict_batches

SUSPICIOUS = 0.5  # a word above this probability is marked
REDS = (224, 217, 210, 203, 196)  # of a terminal's 256 colours, from pale to full, for 0.5 to 1
PLAIN = "\033[0m"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


class Word(NamedTuple):
    """A word as the tokenizer spells it, and the probability that it was replaced."""

    text: str
    replaced: float


def replaced_words(predictor: Predictor, records: list[Record]) -> Iterator[list[Word]]:
    """The words of each record. Raises ValueError for a pair of texts."""
    for record in records:
        if record.text_b is not None:
            raise ValueError(
                f'{record.source}: "text_b" is for a classifier of pairs, not for an ELECTRA'
            )
    texts = predictor.tokenizer.encode_batch([record.text for record in records])
    for ids, probabilities in zip(texts, detect(predictor, texts), strict=True):
        yield words_of(predictor.tokenizer, ids, probabilities)


def words_of(
    tokenizer: Tokenizer, ids: list[int], probabilities: Sequence[float] | np.ndarray
) -> list[Word]:
    """Put tokens together to words. A word has the probability of its most suspicious token."""
    pieces = tokenizer.pieces(ids)
    starts = [i for i, piece in enumerate(pieces) if i == 0 or piece.startswith(WORD_START)]
    return [
        Word(tokenizer.decode(ids[start:end]), round_probability(max(probabilities[start:end])))
        for start, end in pairwise([*starts, len(ids)])
    ]


def detect(predictor: Predictor, texts: list[list[int]]) -> list[np.ndarray]:
    """Probabilities that the tokens of each text were replaced, (tokens,) float32 each.

    A text that is too long for one example is read in several; none of it is left out.
    """
    model, special = predictor.model, predictor.tokenizer.special
    assert isinstance(model, Electra)
    room = predictor.max_len - 2  # beside [CLS] and [SEP]
    pieces = [
        (number, ids[start : start + room])
        for number, ids in enumerate(texts)
        for start in range(0, len(ids), room)
    ]
    examples = [example_ids(piece, None, predictor.max_len, "head", special) for _, piece in pieces]
    encoded = Encoded(
        [ids for ids, _ in examples],
        [types for _, types in examples],
        [0] * len(examples),
        special.pad,
    )

    found = [np.zeros(0, np.float32)] * len(pieces)
    batches, autocast = batches_of(encoded, predictor), predictor.precision.autocast
    for rows, probabilities in predict_batches(
        lambda batch: torch.sigmoid(model.detect(batch.input_ids, batch)),  # (B, T)
        batches,
        predictor.device,
        autocast,
    ):
        for row, values in zip(rows, probabilities, strict=True):
            found[row] = values[1 : 1 + len(pieces[row][1])]

    by_text: list[list[np.ndarray]] = [[np.zeros(0, np.float32)] for _ in texts]
    for (number, _), values in zip(pieces, found, strict=True):
        by_text[number].append(values)
    return [np.concatenate(parts) for parts in by_text]


def mark_words(words: Sequence[tuple[str, float]], colour: bool) -> str:
    """Words in a row, suspicious ones with their probability: `the banana⟨0.93⟩ of`.

    Control characters are escaped: those of the text would act on the terminal.
    """
    return " ".join(_mark_word(text, p, colour) for text, p in words)


def _mark_word(text: str, p: float, colour: bool) -> str:
    text = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
    if p <= SUSPICIOUS:
        return text
    marked = f"{text}⟨{p:.2f}⟩"
    if not colour:
        return marked
    shade = int((p - SUSPICIOUS) / (1 - SUSPICIOUS) * len(REDS))
    return f"\033[38;5;{REDS[min(shade, len(REDS) - 1)]}m{marked}{PLAIN}"
