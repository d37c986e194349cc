"""The table of fine-tuning tasks and their readers: files on disk -> lists of `Example`.

A reader loses nothing in silence: a line that is not what its task expects stops it with the file and the line.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

NO_LABEL = -1

# One field of a CSV may hold a long document; the csv module's own limit is 131,072 characters.
MAX_FIELD_CHARS = 1 << 26

_BREAK = re.compile(r"\s*(?:<\s*/?\s*br\b[^<>]*>\s*)+", re.IGNORECASE)
_REVIEW_NAME = re.compile(r"(\d+)_(\d+)\.txt")
_EXTENSIONS = (".csv", ".tsv", ".jsonl")


class Example(NamedTuple):
    """One text, or a pair of texts, and the index of its label (`NO_LABEL` where it has none)."""

    text_a: str
    text_b: str | None
    label: int


@dataclass(frozen=True)
class Task:
    """A row of the table. `max_len` is in tokens, special tokens included; no `labels`: taken from the data."""

    name: str
    labels: tuple[str, ...]
    metric: str
    max_len: int
    epochs: int


class TaskData(NamedTuple):
    """A task's examples. `labels[i]` is the word for label i; `test` is None where there is no test set."""

    task: Task
    labels: tuple[str, ...]
    train: list[Example]
    dev: list[Example]
    test: list[Example] | None


TASKS = {
    "sst2": Task("sst2", ("negative", "positive"), metric="accuracy", max_len=128, epochs=3),
    "imdb": Task("imdb", ("negative", "positive"), metric="accuracy", max_len=512, epochs=3),
    "csv": Task("csv", (), metric="accuracy", max_len=128, epochs=3),
}


def load_task(name: str, folder: str | Path, *, text_columns: Sequence[str] = ("text",), label_column: str = "label",
              seed: int = 0, dev_file: str | Path | None = None, test_file: str | Path | None = None) -> TaskData:
    """Read a task of `TASKS` from its folder (csv: or from one file).

    `seed` draws the held-out tenth where a task has no dev set. It is not the seed of the training, so that runs with
    different training seeds are scored on the same examples. `text_columns`, `label_column`, `dev_file` and
    `test_file` are for csv alone. ValueError for an unknown task, settings that the task does not read, and files
    that are missing or not what the task expects.
    """
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    root, columns = Path(folder), tuple(text_columns)
    if not root.exists():
        raise ValueError(f"{root}: no such file or folder; scripts/download.py fetches the data of sst2 and imdb")
    if name == "csv":
        return _load_csv(root, columns, label_column, seed, dev_file, test_file)
    if (columns, label_column, dev_file, test_file) != (("text",), "label", None, None):
        raise ValueError(f"task {name} has files and columns of its own: leave out the settings of task csv")
    if not root.is_dir():
        raise ValueError(f"{root}: task {name} needs a folder, not a file")
    return _load_sst2(root) if name == "sst2" else _load_imdb(root, seed)


# ---------------------------------------------------------------- SST-2

def _load_sst2(root: Path) -> TaskData:
    """GLUE's layout: train.tsv, dev.tsv (`sentence`, `label`) and perhaps test.tsv (`index`, `sentence`)."""
    task = TASKS["sst2"]

    def read(file_name: str) -> list[Example]:
        rows = _read_rows(root / file_name, ("sentence",), "label", label_optional=file_name == "test.tsv")
        # GLUE's train and dev sentences end in a space, its test sentences do not.
        return [e._replace(text_a=e.text_a.rstrip(" ")) for e in _examples(rows, ("0", "1"))]

    test = read("test.tsv") if (root / "test.tsv").exists() else None
    return TaskData(task, task.labels, read("train.tsv"), read("dev.tsv"), test)


# ---------------------------------------------------------------- IMDb

def clean_review(text: str) -> str:
    """Each run of `<br />` (in any spelling), with the white space around it, becomes one line break.

    Never nothing: the words on both sides would become one. Carriage returns become line breaks too.
    """
    return _BREAK.sub("\n", text.replace("\r\n", "\n").replace("\r", "\n"))


def find_imdb(folder: Path) -> Path:
    """The folder that holds train/ and test/: `folder` itself or `folder`/aclImdb."""
    inner = folder / "aclImdb"
    return inner if inner.is_dir() else folder


def read_reviews(folder: Path) -> list[str]:
    """All reviews of a folder of ID_RATING.txt files, sorted by ID, as they are on disk.

    ValueError for a folder that is missing or holds no review, for another kind of file in it, and for bytes that
    are not UTF-8.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: missing; unpack the whole archive (scripts/download.py imdb)")
    numbered = []
    for name in os.listdir(folder):
        if name.startswith("."):  # what file managers leave behind
            continue
        match = _REVIEW_NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"{folder / name}: not a review (reviews are named ID_RATING.txt); move it elsewhere")
        numbered.append((int(match[1]), int(match[2]), name))
    if not numbered:
        raise ValueError(f"{folder}: holds no review; unpack the whole archive (scripts/download.py imdb)")
    return [_read_text(folder / name) for _, _, name in sorted(numbered)]


def read_imdb_split(root: Path, split: str) -> list[Example]:
    """The labelled reviews of "train" or "test" under `find_imdb`'s folder, cleaned: negative (0), then positive."""
    return [Example(clean_review(text), None, label)
            for label, word in enumerate(("neg", "pos"))
            for text in read_reviews(root / split / word)]


def _load_imdb(folder: Path, seed: int) -> TaskData:
    """Reviews as train.csv and test.csv (scripts/prepare_imdb.py), or in aclImdb's own folders.

    aclImdb has no dev set: a tenth of train is held out. That tenth shares films with the rest of train, which test
    does not, so its accuracy may be somewhat kinder than the test's.
    """
    task = TASKS["imdb"]
    tables = [folder / "train.csv", folder / "test.csv"]
    if any(path.exists() for path in tables):
        rows = [_read_rows(path, ("text",), "label") for path in tables]
        train, test = (_examples(r, ("0", "1")) for r in rows)
        train, test = ([e._replace(text_a=clean_review(e.text_a)) for e in split] for split in (train, test))
    else:
        root = find_imdb(folder)
        _require_imdb_folders(root)
        train, test = read_imdb_split(root, "train"), read_imdb_split(root, "test")
    train, dev = _hold_out(train, seed, folder)
    return TaskData(task, task.labels, train, dev, test)


def _require_imdb_folders(root: Path) -> None:
    """All missing folders in one message, rather than one a run."""
    wanted = [f"{split}/{word}" for split in ("train", "test") for word in ("neg", "pos")]
    missing = [part for part in wanted if not (root / part).is_dir()]
    if missing:
        raise ValueError(f"{root}: missing {', '.join(missing)}; needs all of {', '.join(wanted)}, or train.csv and "
                         "test.csv from scripts/prepare_imdb.py")


# ---------------------------------------------------------------- CSV, TSV, JSON lines

def _load_csv(root: Path, text_columns: tuple[str, ...], label_column: str, seed: int,
              dev_file: str | Path | None, test_file: str | Path | None) -> TaskData:
    """One file, or a folder with train.*, dev.* (or valid.*) and perhaps test.*; explicit files come first."""
    if len(text_columns) not in (1, 2) or len(set(text_columns)) != len(text_columns):
        raise ValueError(f"text columns {text_columns}: name one column, or two different ones")
    if label_column in text_columns:
        raise ValueError(f"column {label_column!r} cannot be both text and label")
    train_path, dev_path, test_path = root, None, None
    if root.is_dir():
        train_path = _find_table(root, ("train",))
        dev_path, test_path = _find_table(root, ("dev", "valid")), _find_table(root, ("test",))
    dev_path = Path(dev_file) if dev_file else dev_path
    test_path = Path(test_file) if test_file else test_path
    if train_path is None or (root.is_dir() and dev_path is None):
        missing = "train" if train_path is None else "dev (or valid)"
        raise ValueError(f"{root}: no {missing} file with one of the endings {', '.join(_EXTENSIONS)}")

    rows = _read_rows(train_path, text_columns, label_column)
    labels = _sorted_labels(rows)
    if len(labels) < 2:
        raise ValueError(f"{train_path}: every label is {labels[0]!r}; a classifier needs at least two")
    train = _examples(rows, labels)
    if dev_path is None:
        train, dev = _hold_out(train, seed, train_path)
    else:
        dev = _examples(_read_rows(dev_path, text_columns, label_column), labels)
    test = None
    if test_path is not None:
        test = _examples(_read_rows(test_path, text_columns, label_column, label_optional=True), labels)
    return TaskData(TASKS["csv"], labels, train, dev, test)


def _find_table(folder: Path, stems: tuple[str, ...]) -> Path | None:
    """The one file of these names with a known ending. ValueError where there are several: which is meant?"""
    found = [path for stem in stems for end in _EXTENSIONS if (path := folder / f"{stem}{end}").is_file()]
    if len(found) > 1:
        raise ValueError(f"{folder}: holds {' and '.join(p.name for p in found)}; keep one of them")
    return found[0] if found else None


def _sorted_labels(rows: list[_Row]) -> tuple[str, ...]:
    """The distinct labels of rows; in the order of numbers where all are whole numbers, else of strings."""
    distinct = sorted({row.label for row in rows if row.label is not None})
    if all(re.fullmatch(r"-?[0-9]+", label) for label in distinct):
        distinct.sort(key=int)
    return tuple(distinct)


# ---------------------------------------------------------------- rows of any table

class _Row(NamedTuple):
    """A record before its label is looked up, with the place it came from for messages."""

    place: str              # "file:line"
    texts: tuple[str, ...]  # one or two
    label: str | None       # None: the file has no labels


def _examples(rows: list[_Row], labels: tuple[str, ...]) -> list[Example]:
    """Rows -> examples. ValueError for a label that is not among `labels`."""
    index: dict[str | None, int] = {label: i for i, label in enumerate(labels)}
    index[None] = NO_LABEL
    for row in rows:
        if row.label not in index:
            raise ValueError(f"{row.place}: label {row.label!r} is not one of {_listed(labels)}")
    return [Example(row.texts[0], row.texts[1] if len(row.texts) == 2 else None, index[row.label]) for row in rows]


def _read_rows(path: Path, text_columns: tuple[str, ...], label_column: str,
               label_optional: bool = False) -> list[_Row]:
    """All records of a .csv, .tsv or .jsonl file, at least one. Labels lose the white space around them.

    With `label_optional` a file without the label column is read with label None throughout. ValueError for a missing
    file or column, a malformed or blank line, and an empty label.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    readers = {".csv": _csv_records, ".tsv": _tsv_records, ".jsonl": _jsonl_records}
    if path.suffix not in readers:
        raise ValueError(f"{path}: the name must end in one of {', '.join(_EXTENSIONS)}")
    rows = []
    has_labels = True
    for line, record in readers[path.suffix](path):
        place = f"{path}:{line}"
        if not rows:
            has_labels = label_column in record or not label_optional
        elif not has_labels and label_column in record:
            raise ValueError(f"{place}: has a {label_column!r}, the lines before have none; give it to all or none")
        wanted = (*text_columns, label_column) if has_labels else text_columns
        missing = [column for column in wanted if column not in record]
        if missing:
            raise ValueError(f"{place}: no column {_listed(missing)}; the columns are {_listed(record)}")
        odd = [column for column in wanted if not isinstance(record[column], str)]
        if odd:
            raise ValueError(f"{place}: {odd[0]!r} is {record[odd[0]]!r}; expected a string")
        label = record[label_column].strip() if has_labels else None
        if label == "":
            raise ValueError(f"{place}: the label is empty")
        rows.append(_Row(place, tuple(record[column] for column in text_columns), label))
    if not rows:
        raise ValueError(f"{path}: no examples in it")
    return rows


def _tsv_records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(line number, record) of a tab-separated file without quoting, as GLUE's are: a `"` is a character."""
    # Only \n ends a line: str.splitlines would also break at U+0085 and U+2028, which occur inside texts.
    lines = _read_text(path).removesuffix("\n").split("\n")
    header = _checked_header(path, lines[0].removesuffix("\r").split("\t"))
    for number, line in enumerate(lines[1:], start=2):
        yield number, _record(f"{path}:{number}", header, line.removesuffix("\r").split("\t"))


def _csv_records(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """(number of the record's first line, record) of a comma-separated file with the usual quoting."""
    csv.field_size_limit(max(csv.field_size_limit(), MAX_FIELD_CHARS))
    # strict: otherwise a quote that is never closed swallows the rest of the file without a word.
    reader = csv.reader(io.StringIO(_read_text(path), newline=""), strict=True)
    header, number = None, 1
    try:
        for fields in reader:
            if header is None:
                header = _checked_header(path, fields)
            else:
                yield number, _record(f"{path}:{number}", header, fields)
            number = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path}:{number}: not valid CSV ({error}); a quote inside a quoted field is doubled") \
            from None


def _jsonl_records(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """(line number, record) of a file with one JSON object a line; whole numbers and booleans become strings."""
    for number, line in enumerate(_read_text(path).removesuffix("\n").split("\n"), start=1):
        place = f"{path}:{number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{place}: not a JSON object ({error.msg}, column {error.colno})") from None
        if not isinstance(record, dict):
            raise ValueError(f"{place}: expected a JSON object, got {type(record).__name__}")
        # A label may be written 1 or true as well as "1" or "true". (A bool is an int.)
        yield number, {key: json.dumps(value) if isinstance(value, int) else value for key, value in record.items()}


def _checked_header(path: Path, header: list[str]) -> list[str]:
    """The header, which may not name a column twice: one of the two would be lost."""
    if not any(header):
        raise ValueError(f"{path}:1: empty; the first line must name the columns")
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        raise ValueError(f"{path}:1: column {_listed(twice)} is there twice")
    return header


def _record(place: str, header: list[str], fields: list[str]) -> dict[str, str]:
    """Names to fields. ValueError where their numbers differ, as they do on a blank line."""
    if len(fields) != len(header):
        if not any(fields):
            raise ValueError(f"{place}: blank line; remove it")
        raise ValueError(f"{place}: {len(fields)} columns where the header has {len(header)} ({_listed(header)})")
    return dict(zip(header, fields, strict=True))


def _read_text(path: Path) -> str:
    """A whole UTF-8 file, without its byte-order mark; line ends stay as they are. ValueError names a bad byte."""
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ValueError(f"{path}:{line}: byte 0x{data[error.start]:02x} is not UTF-8; convert the file to UTF-8") \
            from None


def _listed(names: Iterable[str]) -> str:
    """For messages; long lists are cut, so that an error stays one line."""
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:12])
    return shown if len(names) <= 12 else f"{shown} and {len(names) - 12} more"


# ---------------------------------------------------------------- held-out examples

def _hold_out(examples: list[Example], seed: int, source: Path) -> tuple[list[Example], list[Example]]:
    """Split off a tenth (rounded down) at random with the classes in proportion: (the rest, the tenth).

    Both keep the order of the input. A function of the examples' labels and the seed alone.
    ValueError for fewer than ten examples.
    """
    if len(examples) < 10:
        raise ValueError(f"{source}: a tenth of {len(examples)} examples cannot be held out; give a dev file")
    # RandomState: numpy promises its stream for good, so that the split is the same in every version.
    order = np.random.RandomState(seed).permutation(len(examples))
    # Each class in turn, shuffled; every tenth of that row takes a tenth of each class, to within one example.
    by_label = sorted(order.tolist(), key=lambda i: examples[i].label)
    held = set(by_label[9::10])
    return ([e for i, e in enumerate(examples) if i not in held],
            [e for i, e in enumerate(examples) if i in held])
