"""Scores and tables of tasks that look for the answer to a question in a text."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from electra.evaluation.answer_floor import nearest_stretch
from electra.evaluation.answers import Prediction, answer_f1, exact_match
from electra.evaluation.scoring import Outputs, Scoring
from electra.tasks.task import Question, Task, TaskData

MEASURES = {"answer_f1": answer_f1, "exact_match": exact_match}


def answer_texts(question: Question) -> list[str]:
    """The texts of its answers; none where it has no answer."""
    return [answer.text for answer in question.answers or ()]


class AnswerScoring(Scoring):
    """The answer to a question."""

    def is_labelled(self, example: Question) -> bool:
        return example.answers is not None

    def scores(
        self, task: Task, examples: Sequence[Question], outputs: Outputs
    ) -> dict[str, float]:
        return {
            name: float(
                np.mean(
                    [
                        MEASURES[name](output.text, answer_texts(example))
                        for example, output in zip(examples, outputs, strict=True)
                    ]
                )
            )
            for name in (task.metric, *task.also)
        }

    def gold_word(self, data: TaskData, example: Question) -> str:
        """The different answers as a JSON list."""
        return json.dumps(list(dict.fromkeys(answer_texts(example))), ensure_ascii=False)

    def predicted_word(self, data: TaskData, output: Prediction) -> str:
        """The answer as a JSON string; empty: there is none."""
        return json.dumps(output.text, ensure_ascii=False)

    def quality(self, task: Task, example: Question, output: Prediction) -> float:
        """Its F1, and among equal ones how unsure it is."""
        sure = 1 / (1 + abs(output.margin))
        return answer_f1(output.text, answer_texts(example)) + 1e-3 * sure

    def text(self, example: Question) -> str:
        return " ".join(f"{example.question} / {example.context}".split())

    def floor(self, data: TaskData) -> tuple[str, float]:
        """Of the stretch whose surroundings share most words with the question."""
        answers = [nearest_stretch(one.question, one.context) for one in data.dev]
        measure = MEASURES[data.task.metric]
        scores = [
            measure(answer, answer_texts(one))
            for one, answer in zip(data.dev, answers, strict=True)
        ]
        return "words nearest to the question's", float(np.mean(scores))

    def loss_and_ece(self, data: TaskData, outputs: Outputs) -> tuple[None, None]:
        return None, None
