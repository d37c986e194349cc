"""The answers that a reader finds in texts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from electra.evaluation.answers import Prediction, probabilities
from electra.inference.predictor import Predictor, outputs_of, round_probability
from electra.inference.texts import Record
from electra.tasks.task import Question

SHOWN = 5  # of the best answers


def answer_questions(predictor: Predictor, records: list[Record]) -> Iterator[dict[str, Any]]:
    """An answer to each record: its text, its question, and

    answer    the text of the best answer, empty where there is none
    answers   the best ones: text, start and end in characters of the text, score

    Scores are shares of all that was considered. Raises ValueError for a record without a question
    or without a text.
    """
    for record in records:
        if not record.question or not record.question.strip():
            raise ValueError(
                f"{record.source}: the checkpoint answers questions; give --question, or JSON "
                f'lines with "question" and "text"'
            )
        if not record.text.strip():
            raise ValueError(f"{record.source}: an empty text has no answer")
    examples = [
        Question(str(number), "", record.question or "", record.text, None)
        for number, record in enumerate(records)
    ]
    for record, output in zip(records, outputs_of(predictor, examples), strict=True):
        yield {
            "text": record.text,
            "question": record.question,
            "answer": output.text,
            "answers": _best(output),
        }


def _best(prediction: Prediction) -> list[dict[str, Any]]:
    shares = probabilities(prediction)
    return [
        {
            "text": one.text,
            "start": one.start,
            "end": one.end,
            "score": round_probability(share),
        }
        for one, share in zip(prediction.candidates[:SHOWN], shares, strict=False)
    ]
