"""Labels as files spell them: which are one class, which are none, and what a user is told."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from decimal import Decimal

from electra.files import one_line
from electra.tasks.task import TaskData

MOST_CLASSES = 20  # beyond it, numbers are more likely to be scores
COLUMNS = 100  # of a line that shows classes
LONGEST_NAME = 30  # characters of a class's name in it
# Some tables have it in place of a label that is not known, as those of the `datasets` library do.
UNKNOWN = "-1"
EMPTY_CELL = "-"  # in tables of predictions, of an example that has none of several labels
# At most 1,000 digits: more are no number that anybody has written.
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,1000}(?:\.[0-9]{0,1000})?|\.[0-9]{1,1000})")


def label_key(word: str) -> str | Decimal:
    """What the spellings of one label have in common.

    Labels that are equal as numbers are one: `1` and `1.0`, as a table becomes when a tool reads
    its labels as floats.
    """
    return Decimal(word) if _NUMBER.fullmatch(word) else word


def label_word(word: str) -> str:
    """A label without the white space around it.

    Raises ValueError where nothing is left, and for `nan` in any case, as many tools write a value
    that is missing. `None` and `null` are words that a class may have. Also raises as
    `check_one_line`.
    """
    word = word.strip()
    if not word:
        raise ValueError("the label is empty")
    if word.lower() == "nan":
        raise ValueError(f"the label is {word!r}, which is no class")
    check_one_line(word)
    return word


def check_one_line(label: str) -> None:
    """Raises ValueError for a label with a tab or a line end in it, which would break the tables of
    predictions."""
    if any(char in label for char in "\t\r\n"):
        raise ValueError(f"the label {label!r:.60} has a tab or a line end in it; take it out")


def check_several_labels(labels: Iterable[str], separator: str) -> None:
    """Raises ValueError for labels whose cells in the tables of predictions could not be read back:
    with the separator in them, or the word for no label."""
    for label in labels:
        if label == EMPTY_CELL:
            raise ValueError(
                f"{label!r} cannot be a label: it stands for no label in tables of predictions; "
                f"leave the cell empty, or take another word"
            )
        if separator in label:
            raise ValueError(f"the label {label!r:.60} has the separator {separator!r} in it")


def is_missing(word: str | None, classes: Container[str | Decimal]) -> bool:
    """Whether a table states no label here: it is empty, `nan`, or -1 where that is no class.

    classes: the keys of the task's labels.
    """
    if word is None:
        return True
    try:
        key = label_key(label_word(word))
    except ValueError:
        return True
    return key == label_key(UNKNOWN) and key not in classes


def distinct_labels(words: Iterable[str]) -> tuple[str, ...]:
    """The different labels, each in its plainest spelling: the shortest.

    Sorted as strings, or as numbers where all are.
    """
    plainest: dict[str | Decimal, str] = {}
    for word in dict.fromkeys(words):
        key = label_key(word)
        plainest[key] = min(plainest.get(key, word), word, key=lambda one: (len(one), one))
    numbers = [(key, word) for key, word in plainest.items() if isinstance(key, Decimal)]
    if len(numbers) == len(plainest):
        return tuple(word for _, word in sorted(numbers))
    return tuple(sorted(plainest.values()))


def class_lines(data: TaskData) -> list[str]:
    """What to tell a user of the training set's labels, a line each."""
    if data.task.regression:
        scores = [float(example.label) for example in data.train]
        mean = sum(scores) / len(scores)
        return [f"scores from {min(scores):g} to {max(scores):g}, mean {mean:.3g}"]

    if data.task.kind not in ("classes", "labels"):
        return []
    counts = Counter(
        label
        for example in data.train
        for label in (example.label if isinstance(example.label, tuple) else [example.label])
    )
    shown = [f"{_name(label)} ({counts[i]:,})" for i, label in enumerate(data.labels)]
    lines = [_fitting(f"{len(shown)} {data.task.kind}, with their training examples: ", shown)]
    if len(shown) > MOST_CLASSES and all(map(_is_number, data.labels)):
        lines.append(
            f"note: all {len(shown)} classes are numbers. If they are scores, put "
            f"`regression = true` into a task file (--task-file; data/README.md shows one)"
        )
    return lines


def _name(label: str) -> str:
    label = one_line(label)
    return label if len(label) <= LONGEST_NAME else label[: LONGEST_NAME - 1] + "…"


def _is_number(label: str) -> bool:
    try:
        float(label)
    except ValueError:
        return False
    return True


def _fitting(start: str, parts: Sequence[str]) -> str:
    """`start` and the parts, or as many as fit into `COLUMNS`."""
    line = start + ", ".join(parts)
    shown = len(parts)
    while len(line) > COLUMNS and shown > 1:
        shown -= 1
        line = f"{start}{', '.join(parts[:shown])}, … and {len(parts) - shown:,} more"
    return line
