"""The labels that a classifier, or the values that a regression, gives to texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from electra.data.examples import encode_examples
from electra.inference.predictor import LabelSettings, Predictor, batches_of, round_probability
from electra.inference.texts import Record
from electra.model.classifier import Classifier
from electra.tasks.rows import clean_review


def label_texts(predictor: Predictor, records: list[Record]) -> Iterator[dict[str, Any]]:
    """An answer to each record: its text or texts, and

    label, probability, probabilities   of classes, or
    value                               of a regression, in the unit of its labels.

    Raises ValueError for a pair where the classifier learned from single texts, and the reverse.
    """
    settings = predictor.label_settings
    assert settings is not None
    for record in records:
        _check_pair(record, settings)

    for record, outputs in zip(records, _run(predictor, settings, records), strict=True):
        answer: dict[str, Any] = {"text": record.text}
        if settings.pairs:
            answer["text_b"] = record.text_b
        if settings.scale is not None:
            yield answer | {"value": round(float(outputs[0]), 4)}
            continue
        probabilities = [round_probability(p) for p in outputs]
        best = int(outputs.argmax())
        yield answer | {
            "label": settings.labels[best],
            "probability": probabilities[best],
            "probabilities": dict(zip(settings.labels, probabilities, strict=True)),
        }


def _check_pair(record: Record, settings: LabelSettings) -> None:
    if (record.text_b is not None) == settings.pairs:
        return
    wanted = (
        'pairs of texts; give JSON lines with "text" and "text_b"'
        if settings.pairs
        else 'single texts; leave out "text_b"'
    )
    raise ValueError(f"{record.source}: the checkpoint learned from {wanted}")


@torch.no_grad()
def _run(predictor: Predictor, settings: LabelSettings, records: list[Record]) -> np.ndarray:
    """Probabilities (N, labels), or values (N, 1) of a regression, float32."""
    model = predictor.model
    assert isinstance(model, Classifier)
    clean = clean_review if settings.clean_reviews else str
    encoded = encode_examples(
        predictor.tokenizer,
        [clean(record.text) for record in records],
        [record.text_b for record in records],
        [0] * len(records),
        predictor.max_len,
        settings.truncate,
    )
    outputs = np.zeros((len(records), model.head.out.out_features), np.float32)
    for rows, batch in batches_of(encoded, predictor):
        with predictor.precision.autocast():
            logits = model.logits(batch)
        if settings.scale is None:
            outputs[rows] = torch.softmax(logits, -1).cpu().numpy()
        else:
            outputs[rows] = (logits * settings.scale).cpu().numpy()
    return outputs
