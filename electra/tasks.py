"""The table of fine-tuning tasks, and their readers: files on disk -> lists of `Example`.

The nine tasks of GLUE (Wang et al., ICLR 2019) in its own layout, IMDb, tables of one's own. A reader loses nothing in
silence: a line that is not what its task expects stops it with the file and the line, or is counted.
"""

from __future__ import annotations

import json
import math
import os
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from electra.tables import ENDINGS, listed, read_table, read_text

NO_LABEL = -1   # of a class; a score that is not known is math.nan

CLASS_METRICS = ("accuracy", "f1", "macro_f1", "matthews")
SCORE_METRICS = ("spearman", "pearson")

_BREAK = re.compile(r"\s*(?:<\s*/?\s*br\b[^<>]*>\s*)+", re.IGNORECASE)
_REVIEW_NAME = re.compile(r"(\d+)_(\d+)\.txt")


class Example(NamedTuple):
    """One text, or a pair of texts, with the index of its label or, in a regression, its score in the task's unit."""

    text_a: str
    text_b: str | None
    label: int | float   # `NO_LABEL` or math.nan where it has none


@dataclass(frozen=True)
class Task:
    """A row of the table: what a task is, how it is trained and scored, and what its files look like."""

    name: str
    labels: tuple[str, ...] = ()        # for people; none: a regression, or taken from the data
    words: tuple[str, ...] = ()         # the same labels in files and in a GLUE submission
    metric: str = "accuracy"            # the one that chooses the best epoch
    also: tuple[str, ...] = ()          # further ones
    max_len: int = 128                  # tokens, special ones included
    epochs: int = 3
    regression: bool = False
    scale: float | None = None          # of a regression: the model learns score / scale
    both_orders: bool = False           # train on `with_both_orders`
    folder: str = ""                    # the usual name of its folder
    text: tuple[str, ...] = ("text",)   # the column of the text, or those of the pair
    label: str = "label"                # the column of the label
    header: bool | tuple[str, ...] = True   # as in `read_table`


class TaskData(NamedTuple):
    """A task's examples; `labels[i]` is the word for label i. What `more` holds has the layout of dev or of test."""

    task: Task
    labels: tuple[str, ...]
    train: list[Example]
    dev: list[Example]
    test: list[Example] | None                              # None where there is no test set
    more: Mapping[str, list[Example]] = MappingProxyType({})   # further sets by name
    skipped: int = 0                                        # lines that were left out, in all files


_PAIR = ("sentence1", "sentence2")
_ENTAILMENT = ("entailment", "not_entailment")
# Metrics and epochs as in the ELECTRA paper (Clark et al., ICLR 2020, section 3.1 and appendix B).
TASKS = {task.name: task for task in (
    Task("cola", ("unacceptable", "acceptable"), ("0", "1"), metric="matthews", folder="CoLA", text=("sentence",),
         header=("source", "label", "mark", "sentence")),   # its test set has a header, of `index` and `sentence`
    Task("sst2", ("negative", "positive"), ("0", "1"), folder="SST-2", text=("sentence",)),
    Task("mrpc", ("different", "equivalent"), ("0", "1"), also=("f1",), both_orders=True, folder="MRPC",
         text=("#1 String", "#2 String"), label="Quality"),
    Task("stsb", metric="spearman", also=("pearson",), epochs=10, regression=True, scale=5.0, both_orders=True,
         folder="STS-B", text=_PAIR, label="score"),
    Task("qqp", ("different", "duplicate"), ("0", "1"), also=("f1",), folder="QQP", text=("question1", "question2"),
         label="is_duplicate"),
    Task("mnli", *2 * (("entailment", "neutral", "contradiction"),), folder="MNLI", text=_PAIR, label="gold_label"),
    Task("qnli", _ENTAILMENT, _ENTAILMENT, folder="QNLI", text=("question", "sentence")),
    Task("rte", _ENTAILMENT, _ENTAILMENT, epochs=10, folder="RTE", text=_PAIR),
    Task("wnli", ("not_entailment", "entailment"), ("0", "1"), folder="WNLI", text=_PAIR),
    Task("imdb", ("negative", "positive"), ("0", "1"), max_len=512, folder="aclImdb"),
    Task("csv"),
)}
GLUE = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")


def default_folder(name: str) -> str:
    """Where scripts/download.py puts a task's data, seen from the working folder; of several, the first that exists.

    ValueError for a name that is not in `TASKS`, and for csv, whose files are the user's.
    """
    folder = _named(name).folder
    if not folder:
        raise ValueError(f"task {name} has no folder of its own; name its file or folder")
    places = [f"data/glue/{folder}"] if name in GLUE else [f"data/{folder}"]
    if name == "sst2":
        places.insert(0, f"data/{folder}")
    return next((place for place in places if Path(place).is_dir()), places[0])


def with_fewer(data: TaskData, examples: int | None) -> TaskData:
    """The task with so many training examples, the same ones every time; None: all. Raises ValueError where it has fewer."""
    if examples is None:
        return data
    if not 0 < examples <= len(data.train):
        raise ValueError(f"--train-examples {examples} is not from 1 to {len(data.train)}")
    order = np.random.default_rng(0).permutation(len(data.train))[:examples]
    return data._replace(train=[data.train[i] for i in order])


def load_task(name: str, folder: str | Path, *, text_columns: Sequence[str] = ("text",), label_column: str = "label",
              seed: int = 0, dev_file: str | Path | None = None, test_file: str | Path | None = None,
              skip_bad: bool = False) -> TaskData:
    """Read a task of `TASKS` from its folder, or the folder that holds it (csv: or from one file).

    `seed` draws the held-out tenth where a task has no dev set. It is not the seed of the training, so that runs with
    different training seeds are scored on the same examples. `text_columns`, `label_column`, `dev_file` and
    `test_file` are for csv alone. `skip_bad` leaves out lines that are not what the task expects, and counts them.
    ValueError for an unknown task, settings that the task does not read, and files that are missing or not what the
    task expects.
    """
    task, root, columns = _named(name), Path(folder), tuple(text_columns)
    if not root.exists():
        fetched = name if name in ("sst2", "imdb") else "glue"
        raise ValueError(f"{root}: no such file or folder"
                         + (f"; python scripts/download.py {fetched} fetches it" if task.folder else ""))
    if name == "csv":
        return _load_csv(replace(task, text=columns, label=label_column), root, seed, dev_file, test_file, skip_bad)
    if (columns, label_column, dev_file, test_file) != (("text",), "label", None, None):
        raise ValueError(f"task {name} has files and columns of its own: leave out the settings of task csv")
    if not root.is_dir():
        raise ValueError(f"{root}: task {name} needs a folder, not a file")
    inner = root / task.folder
    root = inner if inner.is_dir() else root
    return _load_glue(task, root, skip_bad) if name in GLUE else _load_imdb(root, seed, skip_bad)


def with_both_orders(pairs: list[Example]) -> list[Example]:
    """Each pair as it is, then each the other way round: twice as many. For tasks whose label knows no order."""
    assert all(pair.text_b is not None for pair in pairs)
    return pairs + [Example(pair.text_b, pair.text_a, pair.label) for pair in pairs]


def _named(name: str) -> Task:
    if name not in TASKS:
        raise ValueError(f"unknown task {name!r}: choose one of {', '.join(TASKS)}")
    return TASKS[name]


# ---------------------------------------------------------------- lines to examples

def _read_examples(path: Path, task: Task, *, label_optional: bool = False, skip_bad: bool = False
                   ) -> tuple[list[Example], int]:
    """(the examples of a table, how many lines were left out); see `read_table`.

    With `label_optional` a file without the column of labels is read, too.
    """
    return read_table(path, (*task.text, task.label), _example_maker(task), header=task.header,
                      optional=task.label if label_optional else None, skip_bad=skip_bad)


def _example_maker(task: Task) -> Callable[..., Example]:
    """What makes an example of one text or two and a label, which is None where the file has no labels."""
    # Sentences of SST-2's train and dev sets end in a space, those of its test set do not; some of MNLI begin or end
    # in one.
    clean = clean_review if task.name == "imdb" else _without_spaces if task.name in GLUE else str

    def make(*values: str | None) -> Example:
        *texts, word = values
        texts = [clean(text) for text in texts]
        return Example(texts[0], texts[1] if len(texts) == 2 else None, _label(task, word))

    return make


def _without_spaces(text: str) -> str:
    return text.strip(" ")


def _label(task: Task, word: str | None) -> int | float:
    """What a file says -> index or score. ValueError for an empty or unknown label, or a score that is none."""
    if word is None:
        return math.nan if task.regression else NO_LABEL
    word = _label_word(word)
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


def _label_word(word: str) -> str:
    """A label without the white space around it. ValueError where nothing is left."""
    word = word.strip()
    if not word:
        raise ValueError("the label is empty")
    return word


# ---------------------------------------------------------------- GLUE

def _load_glue(task: Task, root: Path, skip_bad: bool) -> TaskData:
    """A folder of GLUE; its train and dev sets must be there, others may be."""
    if task.name == "mrpc" and not (root / "train.tsv").exists():
        return _load_mrpc_of_its_authors(task, root, skip_bad)
    sets, skipped = {}, 0
    for part, path in _glue_files(task, root).items():
        unlabelled = part.startswith("test") or part == "ax"
        if path.is_file() or part in ("train", "dev"):
            sets[part], bad = _read_examples(path, replace(task, header=True) if unlabelled else task,
                                             label_optional=unlabelled, skip_bad=skip_bad)
            skipped += bad
    return TaskData(task, task.labels, sets.pop("train"), sets.pop("dev"), sets.pop("test", None), sets, skipped)


def _glue_files(task: Task, root: Path) -> dict[str, Path]:
    """Name of each set -> its file, whether it is there or not."""
    if task.name != "mnli":
        return {part: root / f"{part}.tsv" for part in ("train", "dev", "test")}
    # The diagnostic set has a folder of its own beside MNLI's, and is answered by MNLI's model.
    diagnostics = [root.absolute().parent / "AX" / name for name in ("diagnostic.tsv", "AX.tsv")]
    return {"train": root / "train.tsv", "dev": root / "dev_matched.tsv", "test": root / "test_matched.tsv",
            "dev_mismatched": root / "dev_mismatched.tsv", "test_mismatched": root / "test_mismatched.tsv",
            "ax": next((path for path in diagnostics if path.is_file()), diagnostics[0])}


def _load_mrpc_of_its_authors(task: Task, root: Path, skip_bad: bool) -> TaskData:
    """GLUE's MRPC from msr_paraphrase_train.txt, msr_paraphrase_test.txt and GLUE's list of the dev set's ids.

    The labels in the authors' test file are left aside: GLUE's test set has none.
    """
    source = root / "msr_paraphrase_train.txt"
    if not source.is_file():
        raise ValueError(f"{root / 'train.tsv'}: no such file, and no {source.name} to make it from")
    lists = [root / "dev_ids.tsv", root / "mrpc_dev_ids.tsv"]
    ids, make = ("#1 ID", "#2 ID"), _example_maker(task)
    listed_ids, bad_ids = read_table(next((path for path in lists if path.is_file()), lists[0]), ids,
                                     lambda one, two: (one, two), header=ids, skip_bad=skip_bad)
    labelled, bad = read_table(source, (*ids, *task.text, task.label),
                               lambda one, two, *rest: ((one, two), make(*rest)), kind=".tsv", skip_bad=skip_bad)
    in_dev = set(listed_ids)
    unknown = in_dev - {pair for pair, _ in labelled}
    if unknown and not skip_bad:   # else its line may be one of those left out
        raise ValueError(f"{source}: no sentences {' and '.join(min(unknown))}, a pair that is listed for the dev set")
    test, bad_test, test_source = None, 0, root / "msr_paraphrase_test.txt"
    if test_source.is_file():
        test, bad_test = read_table(test_source, task.text, lambda one, two: make(one, two, None), kind=".tsv",
                                    skip_bad=skip_bad)
    return TaskData(task, task.labels, [example for pair, example in labelled if pair not in in_dev],
                    [example for pair, example in labelled if pair in in_dev], test, skipped=bad_ids + bad + bad_test)


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
        if match is None or not (folder / name).is_file():
            raise ValueError(f"{folder / name}: not a review (reviews are named ID_RATING.txt); move it elsewhere")
        numbered.append((int(match[1]), int(match[2]), name))
    if not numbered:
        raise ValueError(f"{folder}: holds no review; unpack the whole archive (scripts/download.py imdb)")
    return [read_text(folder / name) for _, _, name in sorted(numbered)]


def read_imdb_split(root: Path, split: str) -> list[Example]:
    """The labelled reviews of "train" or "test" under `find_imdb`'s folder, cleaned: negative (0), then positive."""
    return [Example(clean_review(text), None, label)
            for label, word in enumerate(("neg", "pos"))
            for text in read_reviews(root / split / word)]


def _load_imdb(folder: Path, seed: int, skip_bad: bool) -> TaskData:
    """Reviews as train.csv and test.csv (scripts/prepare_imdb.py), or in aclImdb's own folders.

    aclImdb has no dev set: a tenth of train is held out. That tenth shares films with the rest of train, which test
    does not, so its accuracy may be somewhat kinder than the test's.
    """
    task, skipped = TASKS["imdb"], 0
    tables = [folder / "train.csv", folder / "test.csv"]
    if any(path.exists() for path in tables):
        (train, bad_train), (test, bad_test) = (_read_examples(path, task, skip_bad=skip_bad) for path in tables)
        skipped = bad_train + bad_test
    else:
        root = find_imdb(folder)
        _require_imdb_folders(root)
        train, test = read_imdb_split(root, "train"), read_imdb_split(root, "test")
    train, dev = _hold_out(train, seed, folder)
    return TaskData(task, task.labels, train, dev, test, skipped=skipped)


def _require_imdb_folders(root: Path) -> None:
    """All missing folders in one message, rather than one a run."""
    wanted = [f"{split}/{word}" for split in ("train", "test") for word in ("neg", "pos")]
    missing = [part for part in wanted if not (root / part).is_dir()]
    if missing:
        raise ValueError(f"{root}: missing {', '.join(missing)}; needs all of {', '.join(wanted)}, or train.csv and "
                         "test.csv from scripts/prepare_imdb.py")


# ---------------------------------------------------------------- tables of one's own

def _load_csv(task: Task, root: Path, seed: int, dev_file: str | Path | None, test_file: str | Path | None,
              skip_bad: bool) -> TaskData:
    """One file, or a folder with train.*, dev.* (or valid.*) and perhaps test.*; explicit files come first."""
    _check_columns(task)
    train_path, dev_path, test_path = root, None, None
    if root.is_dir():
        train_path = _find_table(root, ("train",))
        dev_path, test_path = _find_table(root, ("dev", "valid")), _find_table(root, ("test",))
    dev_path = Path(dev_file) if dev_file else dev_path
    test_path = Path(test_file) if test_file else test_path
    if train_path is None or (root.is_dir() and dev_path is None):
        missing = "train" if train_path is None else "dev (or valid)"
        raise ValueError(f"{root}: no {missing} file with one of the endings {', '.join(ENDINGS)}")
    return _load_tables(task, train_path, dev_path, test_path, seed, skip_bad)


def _load_tables(task: Task, train_path: Path, dev_path: Path | None, test_path: Path | None, seed: int,
                 skip_bad: bool) -> TaskData:
    """A task's tables. Without a dev set a tenth of train is held out.

    From all of train come the labels, where the task states none, and the scale of a regression: its largest score,
    the sign aside.
    """
    if not task.words and not task.regression:
        words = _labels_in(train_path, task, skip_bad)
        task = replace(task, labels=words, words=words)
    examples, skipped = _read_examples(train_path, task, skip_bad=skip_bad)
    if dev_path is None:
        train, dev = _hold_out(examples, seed, train_path)
    else:
        train = examples
        dev, bad = _read_examples(dev_path, task, skip_bad=skip_bad)
        skipped += bad
    test = None
    if test_path is not None:
        test, bad = _read_examples(test_path, task, label_optional=True, skip_bad=skip_bad)
        skipped += bad
    if task.regression:
        task = replace(task, scale=max(abs(example.label) for example in examples) or 1.0)
    return TaskData(task, task.labels, train, dev, test, skipped=skipped)


def _labels_in(path: Path, task: Task, skip_bad: bool) -> tuple[str, ...]:
    """The distinct labels of a file, at least two: sorted as numbers if all are whole numbers, else as strings."""
    words, _ = read_table(path, (*task.text, task.label), lambda *values: _label_word(values[-1]), header=task.header,
                          skip_bad=skip_bad)
    distinct = sorted(set(words))
    if len(distinct) < 2:
        raise ValueError(f"{path}: every label is {distinct[0]!r}; a classifier needs at least two")
    if all(re.fullmatch(r"-?[0-9]{1,1000}", word) for word in distinct):
        distinct.sort(key=int)
    return tuple(distinct)


def _check_columns(task: Task) -> None:
    if len(task.text) not in (1, 2) or len(set(task.text)) != len(task.text):
        raise ValueError(f"text columns {task.text}: name one column, or two different ones")
    if task.label in task.text:
        raise ValueError(f"column {task.label!r} cannot be both text and label")


def _find_table(folder: Path, stems: tuple[str, ...]) -> Path | None:
    """The one file of these names with a known ending. ValueError where there are several: which is meant?"""
    found = [path for stem in stems for end in ENDINGS if (path := folder / f"{stem}{end}").is_file()]
    if len(found) > 1:
        raise ValueError(f"{folder}: holds {' and '.join(p.name for p in found)}; keep one of them")
    return found[0] if found else None


# ---------------------------------------------------------------- a task described in a file

_KEYS = {"name": str, "train": str, "dev": str, "test": str, "text": list, "label": str, "labels": list,
         "regression": bool, "metric": str, "max_len": int, "epochs": int, "header": bool}
_NEEDED = ("name", "train", "text", "label")
_TYPE_NAMES = {str: "a string", list: "a list of strings", bool: "true or false", int: "a whole number"}


def load_task_file(path: str | Path, skip_bad: bool = False, *, seed: int = 0) -> TaskData:
    """Read the task that a .toml or .json file describes; data/README.md shows one. Its paths start at its folder.

    Where it names no dev set, a tenth of train is held out, drawn by `seed`. ValueError names the file, and the key
    that is unknown, missing or not what it must be; for the tables, see `load_task`.
    """
    path = Path(path)
    settings = _read_settings(path)
    try:
        task = _task_of(settings)
    except ValueError as problem:
        raise ValueError(f"{path}: {problem}") from None
    train, dev, test = (path.parent / settings[key] if key in settings else None for key in ("train", "dev", "test"))
    data = _load_tables(task, train, dev, test, seed, skip_bad)
    if task.metric == "f1" and len(data.labels) != 2:
        raise ValueError(f"{path}: metric: f1 is for two labels, and there are {len(data.labels)}; take macro_f1")
    return data


def _read_settings(path: Path) -> dict[str, object]:
    """The keys and values of a .toml or .json file."""
    if path.suffix not in (".toml", ".json"):
        raise ValueError(f"{path}: the name of a task file must end in .toml or .json")
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    text = read_text(path)
    try:
        settings = (tomllib if path.suffix == ".toml" else json).loads(text)
    except RecursionError:
        raise ValueError(f"{path}: nested too deep") from None
    except ValueError as error:   # also of a number with thousands of digits
        raise ValueError(f"{path}: not valid {path.suffix[1:].upper()} ({error})") from None
    if not isinstance(settings, dict):
        raise ValueError(f"{path}: expected an object of keys and values, got {type(settings).__name__}")
    return settings


def _task_of(settings: dict[str, object]) -> Task:
    """The row that these settings describe. ValueError begins with the key that is at fault."""
    for key, value in settings.items():
        kind = _KEYS.get(key)
        if kind is None:
            raise ValueError(f"{key}: unknown key; the keys are {', '.join(_KEYS)}")
        if type(value) is not kind or (kind is list and not all(isinstance(word, str) for word in value)):
            raise ValueError(f"{key}: expected {_TYPE_NAMES[kind]}, got {value!r}")
    missing = [key for key in _NEEDED if key not in settings]
    if missing:
        raise ValueError(f"{missing[0]}: missing; a task needs {', '.join(_NEEDED)}")
    name, labels, regression = settings["name"], tuple(settings.get("labels", ())), settings.get("regression", False)
    if not re.fullmatch("[a-z0-9_-]+", name):
        raise ValueError(f"name: {name!r} may hold a to z, 0 to 9, _ and - only")
    if name in (*TASKS, "glue"):
        raise ValueError(f"name: there is a task {name} already; take another")
    if "labels" in settings:
        _check_labels(labels, regression)
    task = Task(name, labels, labels, metric=_metric_of(settings, regression), max_len=settings.get("max_len", 128),
                epochs=settings.get("epochs", 3), regression=regression, text=tuple(settings["text"]),
                label=settings["label"], header=settings.get("header", True))
    for key, least in (("max_len", 8), ("epochs", 1)):
        if getattr(task, key) < least:
            raise ValueError(f"{key}: must be {least} or more, not {getattr(task, key)}")
    try:
        _check_columns(task)
    except ValueError as problem:
        raise ValueError(f"text: {problem}") from None
    return task


def _check_labels(labels: tuple[str, ...], regression: bool) -> None:
    if regression:
        raise ValueError("labels: a regression has scores, not labels")
    if len(labels) < 2 or len(set(labels)) != len(labels):
        raise ValueError(f"labels: {list(labels)} are not two or more different ones")
    odd = [label for label in labels if not label or label != label.strip()]
    if odd:
        raise ValueError(f"labels: {odd[0]!r} is empty or has white space around it, which labels in files lose")
    if any("\ud800" <= char <= "\udfff" for label in labels for char in label):
        raise ValueError("labels: half a surrogate pair, which is no character and cannot be written")


def _metric_of(settings: dict[str, object], regression: bool) -> str:
    fitting, others = (SCORE_METRICS, CLASS_METRICS) if regression else (CLASS_METRICS, SCORE_METRICS)
    metric = settings.get("metric", fitting[0])
    if metric not in fitting:
        raise ValueError(f"metric: {metric!r} is {'not for' if metric in others else 'no metric for'} "
                         f"{'a regression' if regression else 'labels'}; choose one of {', '.join(fitting)}")
    return metric


# ---------------------------------------------------------------- held-out examples

def _hold_out(examples: list[Example], seed: int, source: Path) -> tuple[list[Example], list[Example]]:
    """Split off a tenth (rounded down) at random, classes in proportion: (the rest, the tenth). Scores are no classes.

    Both keep the order of the input. A function of the examples' labels and the seed alone.
    ValueError for fewer than ten examples.
    """
    if len(examples) < 10:
        raise ValueError(f"{source}: a tenth of {len(examples)} examples cannot be held out; give a dev file")
    # RandomState: numpy promises its stream for good, so that the split is the same in every version.
    order = np.random.RandomState(seed).permutation(len(examples))
    # Each class in turn, shuffled; every tenth of that row takes a tenth of each class, to within one example.
    by_label = sorted(order.tolist(), key=lambda i: 0 if isinstance(examples[i].label, float) else examples[i].label)
    held = set(by_label[9::10])
    return ([e for i, e in enumerate(examples) if i not in held],
            [e for i, e in enumerate(examples) if i in held])
