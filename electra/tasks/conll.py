"""Files in columns, as of the CoNLL shared tasks: a word and its tag a line.

    Confidence NN B-NP          columns are parted by tabs, or by other white space
    in IN B-PP                  the first column is the word, the last one the tag; see `Columns`
                                an empty line ends a sentence
    -DOCSTART- -X- O            such a line ends a sentence, too, and is no word
    # text = in the pound       a comment: it begins with # and has other columns than the words

In a .conllu file the word is column 2 and the tag column 4 (UPOS), and the lines of multiword
tokens (1-2) and of empty nodes (1.1) are left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from electra.files import is_encodable
from electra.tasks.tables import listed, read_text
from electra.tasks.tag_schemes import iob2_labels, scheme_of, spans_of, to_iob2
from electra.tasks.task import Sentence, Task, TaskData, hold_out_examples

DOCUMENT = "-DOCSTART-"
# The names that a training, a dev and a test file have in the folders of shared tasks.
NAMES = {
    "train": ("train", "eng.train"),
    "dev": ("dev", "valid", "validation", "eng.testa", "testa"),
    "test": ("test", "eng.testb", "testb"),
}
ENDINGS = ("", ".txt", ".conll", ".iob", ".bio", ".tsv", ".conllu")


class Columns(NamedTuple):
    """Which columns are read, counted from 1."""

    word: int | None = None  # None: the first; of a .conllu file the second
    tag: int | None = None  # None: the last; of a .conllu file the fourth


class TaggedFile(NamedTuple):
    """The sentences of one file."""

    path: Path
    words: list[tuple[str, ...]]
    tags: list[tuple[str, ...]]
    lines: list[int]  # of the first word of each sentence, counted from 1
    skipped: int


def load_conll(task: Task, root: Path, columns: Columns, seed: int, skip_bad: bool) -> TaskData:
    """A folder with a training file and perhaps a dev and a test file, or one file.

    Without a dev file a tenth of the sentences is held out, drawn by `seed`. Spans in any scheme
    become IOB2, and the tags are those of the training file. Raises ValueError for a file that is
    missing or not in columns, and for a tag that the training file does not have.
    """
    paths = find_files(root) if root.is_dir() else {"train": root}
    return load_tagged(task, paths, columns, seed, skip_bad)


def load_tagged(
    task: Task, paths: dict[str, Path], columns: Columns, seed: int, skip_bad: bool
) -> TaskData:
    """Read the files of a task: "train", and perhaps "dev" and "test"."""
    files = {name: read_columns(path, columns, skip_bad) for name, path in paths.items()}
    plain = scheme_of(files["train"].tags) == "plain"
    if plain:
        labels = tuple(sorted({tag for tags in files["train"].tags for tag in tags}))
    else:
        labels = iob2_labels(span.type for tags in files["train"].tags for span in spans_of(tags))
    if len(labels) < 2:
        raise ValueError(
            f"{paths['train']}: every word has the tag {labels[0]!r}; nothing to learn"
        )

    sets = {name: _sentences(file, labels, plain) for name, file in files.items()}
    if "dev" not in sets:
        sets["train"], sets["dev"] = hold_out_examples(sets["train"], seed, paths["train"])
    task = replace(task, labels=labels, words=labels)
    if plain:  # there are no spans to score
        task = replace(task, metric="accuracy", also=("macro_f1",))
    return TaskData(
        task,
        labels,
        sets["train"],
        sets["dev"],
        sets.get("test"),
        skipped=sum(file.skipped for file in files.values()),
    )


def find_files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their names. Raises ValueError where one has two, or train none."""
    found = {}
    for name, stems in NAMES.items():
        paths = [
            path
            for stem in stems
            for ending in ENDINGS
            if (path := folder / f"{stem}{ending}").is_file()
        ]
        if len(paths) > 1:
            both = " and ".join(path.name for path in paths)
            raise ValueError(f"{folder}: holds {both}; keep one of them")
        if paths:
            found[name] = paths[0]
    if "train" not in found:
        raise ValueError(
            f"{folder}: no training file; it is named train.txt, train.conll, eng.train or the like"
        )
    return found


def _sentences(file: TaggedFile, labels: tuple[str, ...], plain: bool) -> list[Sentence]:
    """The sentences of a file with the indices of their tags."""
    index = {label: i for i, label in enumerate(labels)}
    sentences = []
    for words, tags, line in zip(file.words, file.tags, file.lines, strict=True):
        for i, tag in enumerate(tags if plain else to_iob2(tags)):
            if tag not in index:
                known = labels if plain else sorted({label[2:] for label in labels[1:]})
                name = tag if plain else tag[2:]
                raise ValueError(
                    f"{file.path}:{line + i}: the tag {name!r} is not in the training file, which "
                    f"has {listed(known)}"
                )
        indices = tuple(index[tag] for tag in (tags if plain else to_iob2(tags)))
        sentences.append(Sentence(words, indices))
    return sentences


# ---------------------------------------------------------------- one file


def read_columns(path: Path, columns: Columns, skip_bad: bool = False) -> TaggedFile:
    """The sentences of a file in columns.

    Raises ValueError, with file and line, for a line with too few columns, unless `skip_bad` leaves
    its sentence out.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    lines = read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")
    width, separator = _layout(lines)
    word_column, tag_column = _chosen_columns(path, columns, width)

    found = TaggedFile(path, [], [], [], 0)
    skipped = 0
    for first, rows in _blocks(lines, width, separator):
        if path.suffix == ".conllu":
            rows = [row for row in rows if row[0].isdecimal()]
        try:
            pairs = [
                (_cell(row, word_column, first + i), _tag(row, tag_column, first + i))
                for i, row in enumerate(rows)
            ]
        except ValueError as problem:
            if not skip_bad:
                raise ValueError(
                    f"{path}:{problem} (--skip-bad leaves such sentences out)"
                ) from None
            skipped += 1
            continue
        if pairs:
            words, tags = zip(*pairs, strict=True)
            found.words.append(words)
            found.tags.append(tags)
            found.lines.append(first)
    if not found.words:
        raise ValueError(f"{path}: no sentences in it; a line is a word, white space and its tag")
    return found._replace(skipped=skipped)


def _chosen_columns(path: Path, columns: Columns, width: int) -> tuple[int, int]:
    """The columns of word and tag as indices of a list. width: how many a line has."""
    usual = (2, 4) if path.suffix == ".conllu" else (1, -1)
    word, tag = (
        default if given is None else given for given, default in zip(columns, usual, strict=True)
    )
    if 0 in (word, tag) or word == (width if tag == -1 and width > 1 else tag):
        named = f"the last of {width}" if tag == -1 else tag
        raise ValueError(
            f"{path}: columns {word} and {named}: give two different ones, counted from 1"
        )
    return word - (word > 0), tag - (tag > 0)


def _cell(row: list[str], column: int, line: int) -> str:
    if not -len(row) <= column < len(row) or len(row) < 2:
        number = column + 1 if column >= 0 else column
        raise ValueError(f"{line}: {len(row)} columns, and column {number} is needed")
    cell = row[column].strip()
    if not cell or not is_encodable(cell):
        raise ValueError(f"{line}: an empty column")
    return cell


def _tag(row: list[str], column: int, line: int) -> str:
    """A tag. Tables of predictions have the tags of a sentence with a space between them."""
    tag = _cell(row, column, line)
    if len(tag.split()) > 1:
        raise ValueError(f"{line}: the tag {tag!r:.60} has white space in it")
    return tag


def _layout(lines: list[str]) -> tuple[int, str | None]:
    """(how many columns the words of a file have, what parts them: a tab, or None: white space)."""
    for line in lines:
        if line.strip() and not line.startswith(("#", DOCUMENT)):
            separator = "\t" if "\t" in line else None
            return len(line.split(separator)), separator
    return 0, None


def _blocks(
    lines: list[str], width: int, separator: str | None
) -> Iterator[tuple[int, list[list[str]]]]:
    """(number of the first line, rows of columns) of each sentence."""
    rows: list[list[str]] = []
    first = 1
    for number, line in enumerate([*lines, ""], 1):
        row = line.split(separator)
        is_comment = line.startswith("#") and not rows and len(row) != width
        if not line.strip() or line.startswith(DOCUMENT):
            if rows:
                yield first, rows
            rows = []
        elif not is_comment:
            first = first if rows else number
            rows.append(row)
