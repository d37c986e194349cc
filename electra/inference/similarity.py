"""The cosine that a model of vectors finds between two texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from electra.inference.predictor import Predictor, outputs_of
from electra.inference.texts import Record
from electra.tasks.task import NO_LABEL, Example


def compare_texts(predictor: Predictor, records: list[Record]) -> Iterator[dict[str, Any]]:
    """An answer to each record: its two texts, and the cosine of their vectors.

    Raises ValueError for a record that has a single text.
    """
    for record in records:
        if record.text_b is None:
            raise ValueError(
                f'{record.source}: the checkpoint compares two texts; give JSON lines with "text" '
                f'and "text_b" (scripts/embed.py gives the vector of one text)'
            )
    examples = [Example(record.text, record.text_b, NO_LABEL) for record in records]
    for record, output in zip(records, outputs_of(predictor, examples), strict=True):
        yield {
            "text": record.text,
            "text_b": record.text_b,
            "cosine": round(float(output[1]), 6),
        }
