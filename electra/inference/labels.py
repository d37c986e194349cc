"""The labels that a classifier, or the values that a regression, gives to texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from electra.evaluation.label_scoring import chosen
from electra.inference.predictor import Predictor, TaskSettings, outputs_of, round_probability
from electra.inference.texts import Record
from electra.tasks.rows import clean_review
from electra.tasks.task import NO_LABEL, Example


def label_texts(predictor: Predictor, records: list[Record]) -> Iterator[dict[str, Any]]:
    """An answer to each record: its text or texts, and

    label, probability, probabilities   of classes,
    labels, probabilities               of several labels at once, or
    value                               of a regression, in the unit of its labels.

    Raises ValueError for a pair where the classifier learned from single texts, and the reverse.
    """
    task = predictor.task
    assert task is not None
    for record in records:
        _check_pair(record, task)

    clean = clean_review if task.clean_reviews else str
    examples = [Example(clean(record.text), record.text_b, NO_LABEL) for record in records]
    for record, output in zip(records, outputs_of(predictor, examples), strict=True):
        answer: dict[str, Any] = {"text": record.text}
        if task.pairs:
            answer["text_b"] = record.text_b
        yield answer | _judgement(task, output)


def _check_pair(record: Record, task: TaskSettings) -> None:
    if (record.text_b is not None) == task.pairs:
        return
    wanted = (
        'pairs of texts; give JSON lines with "text" and "text_b"'
        if task.pairs
        else 'single texts; leave out "text_b"'
    )
    raise ValueError(f"{record.source}: the checkpoint learned from {wanted}")


def _judgement(task: TaskSettings, output: np.ndarray) -> dict[str, Any]:
    """What the outputs for one text mean."""
    if task.data.task.kind == "regression":
        return {"value": round(float(output[0]), 4)}
    if task.data.task.kind == "labels":
        given = [task.labels[i] for i in np.flatnonzero(chosen(output))]
        return {"labels": given, "probabilities": _by_label(task, output[:, 0])}
    best = int(output.argmax())
    return {
        "label": task.labels[best],
        "probability": round_probability(output[best]),
        "probabilities": _by_label(task, output),
    }


def _by_label(task: TaskSettings, probabilities: np.ndarray) -> dict[str, float]:
    rounded = [round_probability(p) for p in probabilities]
    return dict(zip(task.labels, rounded, strict=True))
