"""From the rows of a table to examples with labels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from electra.tasks.labels import UNKNOWN, check_one_line, is_missing, label_key, label_word
from electra.tasks.tables import listed, read_table
from electra.tasks.task import NO_LABEL, Example, Task

_BREAKS = re.compile(r"\s*(?:<\s*/?\s*br\b[^<>]*>\s*)+", re.IGNORECASE)


def read_examples(
    path: Path, task: Task, *, label_optional: bool = False, skip_bad: bool = False
) -> tuple[list[Example], int]:
    """(the examples of a table, how many lines were left out); see `read_table`.

    With `label_optional` a file without labels is read, too: without their column, or with labels
    that are all missing, as `is_missing` says.
    """
    make = example_maker(task)
    columns = (*task.text, task.label) if task.label else task.text
    optional = task.label if label_optional and task.label else None

    def read(make: Callable[..., Any], skip_bad: bool) -> tuple[list[Any], int]:
        return read_table(
            path, columns, make, header=task.header, optional=optional, skip_bad=skip_bad
        )

    try:
        return read(make, skip_bad)
    except ValueError:
        if not optional or not _lacks_labels(task, read):
            raise
    return read(lambda *values: make(*values[:-1], None), skip_bad)


def _lacks_labels(task: Task, read: Callable[..., tuple[list[Any], int]]) -> bool:
    """Whether no line of a table states a label. `read` is that of `read_examples`."""
    classes: Container[str | Decimal] = _class_indices(task)
    if task.kind == "labels":  # an empty cell says that there is no label
        return False
    if task.scored and task.scale is None:
        classes = {label_key(UNKNOWN)}  # it may be a score; load_tables looks at the others
    try:
        missing, _ = read(lambda *values: is_missing(values[-1], classes), True)
    except ValueError:
        return False
    return all(missing)


def example_maker(task: Task) -> Callable[..., Example]:
    """A function of one text or two and a label, which is None where the file has no labels.
    Where the task has no column of labels, it takes the texts alone.

    It raises ValueError for a label that is not one of the task's; see `label_of`.
    """
    clean, classes = _cleaner(task), _class_indices(task)

    def make(*values: Any) -> Example:
        given, word = (values[:-1], values[-1]) if task.label else (values, None)
        texts = [clean(text) for text in given]
        return Example(
            texts[0], texts[1] if len(texts) == 2 else None, label_of(task, classes, word)
        )

    return make


def _cleaner(task: Task) -> Callable[[str], str]:
    """What a text goes through before it is an example."""
    if task.layout == "imdb":
        return clean_review
    if task.layout == "glue":
        # Sentences of SST-2's train and dev sets end in a space, those of its test set do not;
        # some of MNLI begin or end in one.
        return lambda text: text.strip(" ")
    return str


def _class_indices(task: Task) -> dict[str | Decimal, int]:
    """The index of each of the task's labels, by its key."""
    return {label_key(word): i for i, word in enumerate(task.words)}


def label_of(
    task: Task, classes: Mapping[str | Decimal, int], word: str | None
) -> int | float | tuple[int, ...]:
    """The label that a file states, as its index or, in a regression, as the score; of several
    labels, their indices.

    Raises ValueError for an empty or unknown label, and for a score that is not a finite number or
    is outside the task's scale.
    """
    if task.kind == "vectors" and not task.label:
        return 1.0
    if word is None:
        return math.nan if task.scored else NO_LABEL
    if task.kind == "labels":
        return tuple(sorted({_index(task, classes, one) for one in split_labels(task, word)}))
    if task.scored:
        return _score(task, word.strip())
    return _index(task, classes, label_word(word))


def _index(task: Task, classes: Mapping[str | Decimal, int], word: str) -> int:
    index = classes.get(label_key(word))
    if index is None:
        raise ValueError(f"label {word!r} is not one of {listed(task.words)}")
    return index


def split_labels(task: Task, cell: str) -> list[str]:
    """The labels of a cell that holds any number of them, in the order of the file.

    Raises ValueError as `check_one_line`.
    """
    labels = [word for part in cell.split(task.separator) if (word := part.strip())]
    for label in labels:
        check_one_line(label)
    return labels


def _score(task: Task, word: str) -> float:
    if not word:
        raise ValueError("the label is empty")
    try:
        score = float(word)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"score {word!r} is not a number")
    if task.scale is not None and not 0 <= score <= task.scale:
        raise ValueError(f"score {word} is not from 0 to {task.scale:g}")
    return score


def clean_review(text: str) -> str:
    """A review whose lines end in a line feed alone.

    Each run of `<br />` (in any spelling), with the white space around it, becomes one line feed,
    so that the words on both sides stay apart. So does a carriage return.
    """
    return _BREAKS.sub("\n", text.replace("\r\n", "\n").replace("\r", "\n"))
