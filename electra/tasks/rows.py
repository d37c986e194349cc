"""From the rows of a table to examples with labels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from electra.tasks.tables import listed, read_table
from electra.tasks.task import NO_LABEL, Example, Task

_BREAKS = re.compile(r"\s*(?:<\s*/?\s*br\b[^<>]*>\s*)+", re.IGNORECASE)


def read_examples(
    path: Path, task: Task, *, label_optional: bool = False, skip_bad: bool = False
) -> tuple[list[Example], int]:
    """(the examples of a table, how many lines were left out); see `read_table`.

    With `label_optional` a file without the column of labels is read, too.
    """
    columns = (*task.text, task.label) if task.label else task.text
    return read_table(
        path,
        columns,
        example_maker(task),
        header=task.header,
        optional=task.label if label_optional and task.label else None,
        skip_bad=skip_bad,
    )


def example_maker(task: Task) -> Callable[..., Example]:
    """A function of one text or two and a label, which is None where the file has no labels.
    Where the task has no column of labels, it takes the texts alone.

    It raises ValueError for a label that is not one of the task's; see `label_of`.
    """
    clean = _cleaner(task)

    def make(*values: Any) -> Example:
        texts, word = (values[:-1], values[-1]) if task.label else (values, None)
        cleaned = [clean(text) for text in texts]
        return Example(cleaned[0], cleaned[1] if len(cleaned) == 2 else None, label_of(task, word))

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


def label_of(task: Task, word: str | None) -> int | float | tuple[int, ...]:
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
        return tuple(sorted({_index(task, one) for one in split_labels(task, word)}))
    word = label_word(word)
    if task.scored:
        return _score(task, word)
    return _index(task, word)


def _index(task: Task, word: str) -> int:
    if word not in task.words:
        raise ValueError(f"label {word!r} is not one of {listed(task.words)}")
    return task.words.index(word)


def split_labels(task: Task, cell: str) -> list[str]:
    """The labels of a cell that holds any number of them, in the order of the file."""
    return [word for part in cell.split(task.separator) if (word := part.strip())]


def _score(task: Task, word: str) -> float:
    try:
        score = float(word)
    except ValueError:
        score = math.nan
    if not math.isfinite(score):
        raise ValueError(f"score {word!r} is not a number")
    if task.scale is not None and not 0 <= score <= task.scale:
        raise ValueError(f"score {word} is not from 0 to {task.scale:g}")
    return score


def label_word(word: str) -> str:
    """A label without the white space around it. Raises ValueError where nothing is left."""
    word = word.strip()
    if not word:
        raise ValueError("the label is empty")
    return word


def clean_review(text: str) -> str:
    """A review whose lines end in a line feed alone.

    Each run of `<br />` (in any spelling), with the white space around it, becomes one line feed,
    so that the words on both sides stay apart. So does a carriage return.
    """
    return _BREAKS.sub("\n", text.replace("\r\n", "\n").replace("\r", "\n"))
