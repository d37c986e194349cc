"""From the rows of a table to examples with labels."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

from electra.tasks.tables import listed, read_table
from electra.tasks.task import GLUE, NO_LABEL, Example, Task

_BREAK = re.compile(r"\s*(?:<\s*/?\s*br\b[^<>]*>\s*)+", re.IGNORECASE)


def read_examples(
    path: Path, task: Task, *, label_optional: bool = False, skip_bad: bool = False
) -> tuple[list[Example], int]:
    """(the examples of a table, how many lines were left out); see `read_table`.

    With `label_optional` a file without the column of labels is read, too.
    """
    return read_table(
        path,
        (*task.text, task.label),
        example_maker(task),
        header=task.header,
        optional=task.label if label_optional else None,
        skip_bad=skip_bad,
    )


def example_maker(task: Task) -> Callable[..., Example]:
    """What makes an example of one text or two and a label, which is None where the file has no labels."""
    # Sentences of SST-2's train and dev sets end in a space, those of its test set do not; some of MNLI begin or end
    # in one.
    clean = clean_review if task.name == "imdb" else _without_spaces if task.name in GLUE else str

    def make(*values: str | None) -> Example:
        *texts, word = values
        texts = [clean(text) for text in texts]
        return Example(texts[0], texts[1] if len(texts) == 2 else None, label_of(task, word))

    return make


def _without_spaces(text: str) -> str:
    return text.strip(" ")


def label_of(task: Task, word: str | None) -> int | float:
    """What a file says -> index or score. ValueError for an empty or unknown label, or a score that is none."""
    if word is None:
        return math.nan if task.regression else NO_LABEL
    word = label_word(word)
    if not task.regression:
        if word not in task.words:
            raise ValueError(f"label {word!r} is not one of {listed(task.words)}")
        return task.words.index(word)
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
    """A label without the white space around it. ValueError where nothing is left."""
    word = word.strip()
    if not word:
        raise ValueError("the label is empty")
    return word


def clean_review(text: str) -> str:
    """Each run of `<br />` (in any spelling), with the white space around it, becomes one line break.

    Never nothing: the words on both sides would become one. Carriage returns become line breaks too.
    """
    return _BREAK.sub("\n", text.replace("\r\n", "\n").replace("\r", "\n"))
