"""Answers to a stream of texts, in memory that does not grow with it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from electra.inference.answers import answer_questions
from electra.inference.entities import tag_texts
from electra.inference.labels import label_texts
from electra.inference.predictor import Predictor
from electra.inference.replaced import mark_words, replaced_words
from electra.inference.similarity import compare_texts
from electra.inference.texts import Record

# Kinds of fine-tuned checkpoints -> what answers their records.
ANSWERS: dict[str, Callable[[Predictor, list[Record]], Iterator[dict[str, Any]]]] = {
    "classifier": label_texts,
    "tagger": tag_texts,
    "reader": answer_questions,
    "embedder": compare_texts,
}
WINDOW = 4_096  # records in memory at a time


def answer_lines(
    predictor: Predictor,
    records: Iterable[Record],
    view: bool,
    colour: bool,
    ascii_only: bool = False,
) -> Iterator[str]:
    """A line for each record, in their order.

    With `view` an ELECTRA gives the text with its suspicious words marked, in `colour` or not;
    everything else is a JSON object, with escapes for what is not ASCII where `ascii_only`. Raises
    ValueError for a record that the model does not take.
    """
    remaining = iter(records)
    while window := list(islice(remaining, WINDOW)):
        if predictor.task is not None:
            for answer in ANSWERS[predictor.model.kind](predictor, window):
                yield json.dumps(answer, ensure_ascii=ascii_only)
            continue
        for record, words in zip(window, replaced_words(predictor, window), strict=True):
            if view:
                yield mark_words(words, colour)
            else:
                answer = {
                    "text": record.text,
                    "words": [{"word": word.text, "replaced": word.replaced} for word in words],
                }
                yield json.dumps(answer, ensure_ascii=ascii_only)
