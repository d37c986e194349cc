"""The kinds of tasks that say something of the words of a text, or find a stretch of it.

W: words of a sentence, C: tags, T: tokens.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from electra.config import FinetuneConfig, ModelConfig
from electra.data.examples import Encoded
from electra.data.question_windows import AskedText, encode_questions
from electra.data.tagged_words import encode_words
from electra.data.token_cache import CachedTokenizer
from electra.data.tokenizer import Tokenizer
from electra.evaluation.answer_scoring import answer_texts
from electra.evaluation.answers import Prediction, answer_f1, best_threshold, predict_answer
from electra.evaluation.scoring import Outputs
from electra.model.fine_tuned import FineTunedModel
from electra.model.reader import Reader
from electra.model.tagger import Tagger
from electra.tasks.task import Question, Sentence, TaskData
from electra.training.task_kind import FEWEST, TaskKind


class WordTags(TaskKind):
    """A tag for each word of a sentence."""

    constant = "it gives every word the same tag"

    def texts(self, example: Sentence) -> Iterator[str]:
        yield example.text

    def encode(
        self,
        tokenizer: Tokenizer | CachedTokenizer,
        examples: list[Sentence],
        data: TaskData,
        config: FinetuneConfig,
    ) -> Encoded:
        assert config.max_len is not None
        words = [example.words for example in examples]
        return encode_words(tokenizer, words, [e.tags for e in examples], config.max_len)

    def make_model(
        self, config: ModelConfig, data: TaskData, class_weights: Tensor | None = None
    ) -> FineTunedModel:
        return Tagger(config, len(data.labels), class_weights)

    def activate(self, logits: Tensor) -> Tensor:
        return torch.softmax(logits, -1)

    def outputs(
        self, data: TaskData, examples: Sequence[Any], encoded: Encoded, rows: list[np.ndarray]
    ) -> list[np.ndarray]:
        """Probabilities (W, C) float32 of each sentence, each word's from its own window."""
        found = [np.zeros((len(e.words), len(data.labels)), np.float32) for e in examples]
        for window, row in zip(encoded.windows, rows, strict=True):
            found[window.sentence][window.words] = row[window.positions]
        unknown = np.float32(1 / len(data.labels))
        return [np.where(np.isfinite(output), output, unknown) for output in found]

    def label_counts(self, data: TaskData) -> np.ndarray:
        tags = np.concatenate([example.tags for example in data.train])
        return np.bincount(tags, minlength=len(data.labels))

    def is_constant(self, data: TaskData, outputs: Outputs) -> bool:
        tags = np.concatenate([output.argmax(-1) for output in outputs])
        return len(tags) >= FEWEST and len(set(tags)) == 1


class AnswerSpans(TaskKind):
    """The answer to a question, as a stretch of a text."""

    constant = "it finds no answer to any question"

    def texts(self, example: Question) -> Iterator[str]:
        yield from (example.question, example.context)

    def encode(
        self,
        tokenizer: Tokenizer | CachedTokenizer,
        examples: list[Question],
        data: TaskData,
        config: FinetuneConfig,
    ) -> Encoded:
        assert config.max_len is not None
        asked = [
            AskedText(example.question, example.context, _characters(example))
            for example in examples
        ]
        # Offsets are not cached.
        bare = tokenizer.tokenizer if isinstance(tokenizer, CachedTokenizer) else tokenizer
        return encode_questions(bare, asked, config.max_len, config.doc_stride)

    def make_model(
        self, config: ModelConfig, data: TaskData, class_weights: Tensor | None = None
    ) -> FineTunedModel:
        return Reader(config)

    def activate(self, logits: Tensor) -> Tensor:
        return logits

    def outputs(
        self, data: TaskData, examples: Sequence[Any], encoded: Encoded, rows: list[np.ndarray]
    ) -> list[Prediction]:
        """The best answers of each question, over all of its windows."""
        windows: list[list[tuple[Any, np.ndarray]]] = [[] for _ in examples]
        for window, row in zip(encoded.windows, rows, strict=True):
            windows[window.question].append((window, row))
        return [
            predict_answer(example.context, of_question)
            for example, of_question in zip(examples, windows, strict=True)
        ]

    def choose_thresholds(self, data: TaskData, outputs: Outputs) -> tuple[float, ...]:
        """One, where some questions have no answer."""
        no_answer = [not example.answers for example in data.dev]
        if not any(no_answer):
            return ()
        f1 = [
            answer_f1(output.candidates[0].text if output.candidates else "", answer_texts(example))
            for example, output in zip(data.dev, outputs, strict=True)
        ]
        return (best_threshold([output.margin for output in outputs], f1, no_answer),)

    def with_thresholds(self, outputs: Outputs, thresholds: tuple[float, ...]) -> Outputs:
        if not thresholds:
            return outputs
        return [output._replace(threshold=thresholds[0]) for output in outputs]

    def is_constant(self, data: TaskData, outputs: Outputs) -> bool:
        return len(outputs) >= FEWEST and not any(output.text for output in outputs)


def _characters(question: Question) -> tuple[int, int] | None:
    """The first answer, as the characters of the context."""
    if not question.answers:
        return None
    answer = question.answers[0]
    return answer.start, answer.start + len(answer.text)
