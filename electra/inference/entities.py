"""The entities, or the tags of all words, that a tagger finds in texts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from electra.evaluation.tag_scoring import words_of
from electra.inference.predictor import Predictor, outputs_of, round_probability
from electra.inference.texts import Record
from electra.tasks.tag_schemes import OUTSIDE, spans_of
from electra.tasks.task import Sentence

# Words as corpora of tagged words part them: numbers, clitics such as 's, words with their hyphens,
# and every other character for itself.
WORD = re.compile(r"\d+(?:[.,]\d+)*|(?<=\w)['’]\w{1,2}\b|\w+(?:-\w+)*|[^\w\s]")


def tag_texts(predictor: Predictor, records: list[Record]) -> Iterator[dict[str, Any]]:
    """An answer to each record: its text, and

    entities   of a tagger of spans: type, start and end in characters of the text, text, score
    words      of a tagger of words: start, end, text, tag, score

    The score of an entity is the lowest probability of its words' tags. Raises ValueError for a
    pair of texts.
    """
    for record in records:
        if record.text_b is not None:
            raise ValueError(f'{record.source}: "text_b" is for a classifier of pairs')
    places = [[found.span() for found in WORD.finditer(record.text)] for record in records]
    sentences = [
        Sentence(tuple(record.text[start:end] for start, end in of_text), None)
        for record, of_text in zip(records, places, strict=True)
    ]
    outputs = outputs_of(predictor, sentences)
    assert predictor.task is not None
    labels = predictor.task.labels
    find = _entities if OUTSIDE in labels else _words
    for record, of_text, output in zip(records, places, outputs, strict=True):
        yield {"text": record.text} | find(record.text, of_text, labels, output)


def _entities(
    text: str, places: list[tuple[int, int]], labels: tuple[str, ...], output: np.ndarray
) -> dict[str, Any]:
    """output: probabilities (words, tags)."""
    best = output.max(-1)
    return {
        "entities": [
            {
                "type": span.type,
                "start": places[span.start][0],
                "end": places[span.end - 1][1],
                "text": text[places[span.start][0] : places[span.end - 1][1]],
                "score": round_probability(best[span.start : span.end].min()),
            }
            for span in spans_of(words_of(labels, output.argmax(-1)))
        ]
    }


def _words(
    text: str, places: list[tuple[int, int]], labels: tuple[str, ...], output: np.ndarray
) -> dict[str, Any]:
    """output: probabilities (words, tags)."""
    return {
        "words": [
            {
                "start": start,
                "end": end,
                "text": text[start:end],
                "tag": labels[int(of_word.argmax())],
                "score": round_probability(of_word.max()),
            }
            for (start, end), of_word in zip(places, output, strict=True)
        ]
    }
