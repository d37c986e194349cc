"""What a task is, and what its examples look like.

What is learned is the `kind` of a task:

    classes       one of several labels for a text or a pair of texts
    regression    a number for a text or a pair
    labels        any number of several labels for a text or a pair
    tags          one of several tags for each word of a sentence
    spans         the answer to a question, as a stretch of a text
    vectors       a vector for each text, from pairs that have scores or belong together
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np

NO_LABEL = -1  # in place of a class that is not known; a score that is not known is math.nan
SCORE_METRICS = ("spearman", "pearson")
# Kinds of tasks -> the metrics that may choose the best epoch, the default first.
KIND_METRICS = {
    "classes": ("accuracy", "f1", "macro_f1", "matthews"),
    "regression": SCORE_METRICS,
    "labels": ("micro_f1", "macro_f1"),
    "tags": ("span_f1", "accuracy"),
    "spans": ("answer_f1", "exact_match"),
    "vectors": (*SCORE_METRICS, "mrr", "recall_at_1"),
}
PARTNER_METRICS = ("mrr", "recall_at_1")  # of pairs without scores
Kind = Literal["classes", "regression", "labels", "tags", "spans", "vectors"]


class Example(NamedTuple):
    """One text, or a pair of texts, with its label."""

    text_a: str
    text_b: str | None  # None: a single text
    # The index of its class or, in a regression, its score in the task's unit; `NO_LABEL` or
    # math.nan where it is not known. Of several labels a tuple: the indices of those it has. Of a
    # pair without scores 1.0: its texts belong together.
    label: Any

    @property
    def texts(self) -> tuple[str, ...]:
        """Those that are there and not empty."""
        return tuple(text for text in (self.text_a, self.text_b) if text)


class Sentence(NamedTuple):
    """The words of one sentence with their tags."""

    words: tuple[str, ...]
    tags: tuple[int, ...] | None  # indices into the task's tags, one a word; None: not known

    @property
    def text(self) -> str:
        """The words with a space between them."""
        return " ".join(self.words)


class Answer(NamedTuple):
    """A stretch of a context."""

    text: str
    start: int  # of its first character in the context


class Question(NamedTuple):
    """A question about a context."""

    id: str
    title: str  # of the article that the context is from
    question: str
    context: str
    answers: tuple[Answer, ...] | None  # empty: there is no answer in the context; None: not known


@dataclass(frozen=True)
class Task:
    """A row of the table: what a task is, how it is trained and scored, and its files."""

    name: str
    labels: tuple[str, ...] = ()  # for people; empty: a regression, or taken from the data
    words: tuple[str, ...] = ()  # the same labels as files and a GLUE submission spell them
    metric: str = "accuracy"  # the one that chooses the best epoch
    also: tuple[str, ...] = ()  # further metrics
    max_len: int = 128  # tokens, special ones included
    truncate: str = "head"  # what stays of a longer text; one of `TRUNCATIONS`
    epochs: int = 3
    epochs_of_few: int = 10  # where it has few training examples, if that is more
    kind: Kind = "classes"
    scale: float | None = None  # of scores: the model learns score / scale
    layout: Literal["glue", "imdb", "tables", "conll", "squad"] = (
        "tables"  # of its files; it chooses the reader
    )
    both_orders: bool = False  # whether it is trained on `with_both_orders`
    folder: str = ""  # the usual name of its folder
    text: tuple[str, ...] = ("text",)  # the column of the text, or the two of a pair
    label: str = "label"  # the column of the label; empty: there is none
    separator: str = "|"  # between the labels of a column that holds several
    header: bool | tuple[str, ...] = True  # as in `read_table`

    @property
    def regression(self) -> bool:
        return self.kind == "regression"

    @property
    def scored(self) -> bool:
        """Whether the labels are scores: of a regression, or of pairs whose vectors are learned."""
        return self.regression or (self.kind == "vectors" and bool(self.label))


class TaskData(NamedTuple):
    """A task's examples."""

    task: Task
    labels: tuple[str, ...]  # the name of each class or tag, by its index
    train: list[Any]  # `Sentence` of tags, `Question` of spans, else `Example`
    dev: list[Any]
    test: list[Any] | None  # None where there is no test set
    more: Mapping[str, list[Any]] = MappingProxyType({})  # further dev and test sets by name
    skipped: int = 0  # lines that were left out, in all files


def several_labels(task: Task, separator: str) -> Task:
    """The task with any number of labels for each text, parted by `separator` in their column.

    Raises ValueError as `check_separator`.
    """
    check_separator(separator)
    metric, *also = KIND_METRICS["labels"]
    return replace(task, kind="labels", separator=separator, metric=metric, also=tuple(also))


def partners_only(task: Task) -> Task:
    """The task of vectors for pairs that have no scores."""
    metric, *also = PARTNER_METRICS
    return replace(task, label="", metric=metric, also=tuple(also))


def check_separator(separator: str) -> None:
    """Raises ValueError for a separator that tables cannot hold, or that is white space: labels
    lose it."""
    if not separator.strip() or any(char in separator for char in "\t\r\n"):
        raise ValueError(
            f"separator: {separator!r} cannot part labels; take a character such as | or ;"
        )


def with_fewer(data: TaskData, examples: int | None) -> TaskData:
    """The task with so many training examples, the same ones every time; None: with all.

    Raises ValueError where it has fewer.
    """
    if examples is None:
        return data
    if not 0 < examples <= len(data.train):
        raise ValueError(f"--train-examples {examples} is not from 1 to {len(data.train)}")
    order = np.random.default_rng(0).permutation(len(data.train))[:examples]
    return data._replace(train=[data.train[i] for i in order])


def with_both_orders(pairs: list[Example]) -> list[Example]:
    """Each pair as it is, then each with its texts swapped: twice as many.

    For tasks whose label does not depend on the order, as in the official fine-tuning code
    (`double_unordered` of google-research/electra).
    """
    swapped = []
    for pair in pairs:
        assert pair.text_b is not None
        swapped.append(Example(pair.text_b, pair.text_a, pair.label))
    return pairs + swapped


def hold_out_examples(examples: list[Any], seed: int, source: Path) -> tuple[list[Any], list[Any]]:
    """(the rest, a tenth, rounded down): a random split with the classes in proportion.

    Both keep the order of the input. The split is a function of the labels and the seed alone;
    without classes it is any tenth. Raises ValueError, with `source`, for fewer than ten examples.
    """
    if len(examples) < 10:
        raise ValueError(
            f"{source}: a tenth of {len(examples)} examples cannot be held out; give a dev file"
        )

    def class_of(i: int) -> int:
        label = getattr(examples[i], "label", 0)
        return label if isinstance(label, int) else 0

    # RandomState: numpy keeps its stream for good, so that the split is the same in every version.
    order = np.random.RandomState(seed).permutation(len(examples)).tolist()
    # Class after class, each shuffled: every tenth is a tenth of each class, to within one example.
    held = set(sorted(order, key=class_of)[9::10])
    rest = [example for i, example in enumerate(examples) if i not in held]
    return rest, [example for i, example in enumerate(examples) if i in held]
