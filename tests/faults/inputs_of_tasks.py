"""Hostile files of the kinds of tasks that are not one label a text, and hostile texts to embed.

READERS is as in `inputs`. What is read must fit into the tables of predictions, be made of
characters that can be written, and become tokens.
"""

from __future__ import annotations

import functools
import io
import json
import math
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from faults.inputs import (
    JSON_LABELS,
    LABELS,
    MARKUP,
    ODD,
    TEXTS,
    Read,
    add_odd_file,
    bytes_of,
    checkpoints,
    place,
    program,
    saved,
    sealed,
    small_shape,
    spoiled_pickle,
    table_bytes,
    text_of,
    through,
    tokenizer,
)

from electra.checkpoint.checkpoint import make_checkpoint
from electra.config import FinetuneConfig
from electra.evaluation.results import SCORINGS, sets_of
from electra.evaluation.scoring import Outputs
from electra.evaluation.tag_scoring import words_of
from electra.inference.vectors import load_text_encoder
from electra.model.embedder import Embedder
from electra.tasks.conll import Columns
from electra.tasks.csv_task import CsvSettings
from electra.tasks.labels import EMPTY_CELL
from electra.tasks.load import load_task
from electra.tasks.tables import ENDINGS
from electra.tasks.task import TaskData
from electra.tasks.task_file import load_task_file
from electra.training.kinds import KINDS

CONFIG = FinetuneConfig(max_len=32, truncate="head", doc_stride=8)
# Words and tags of files in columns.
WORDS = (
    *("film", "漢字", "😀", "#", "# text", "-DOCSTART-", "[MASK]", MARKUP, "x" * 300),
    *(
        "\x1b[31m",
        "a\u2028b",
        "a\x85b",
        "a\xa0b",
        "\u202eb",
        "\ufeff",
        "1-2",
        "1.1",
        "\x1c",
        "\x00",
    ),
)
TAGS = {
    "iob": ("O", "B-X", "I-X", "I-Y", "B-Y"),
    "iobes": ("O", "S-X", "B-X", "E-X", "L-Y", "U-Y"),
    "plain": ("NN", "VB", "O"),
}
ODD_TAGS = (
    "B-",
    "-",
    "X-Y",
    "B-X-Y",
    "b-x",
    "I- ",
    "two words",
    "\u2028",
    "O\x00",
    MARKUP,
    "B-\x1b",
)


def _check(data: TaskData) -> None:
    """What was read can be scored, tabulated, written and tokenised."""
    scoring, kind = SCORINGS[data.task.kind], KINDS[data.task.kind]
    assert data.train and data.dev
    assert all(scoring.is_labelled(example) for example in (*data.train, *data.dev))
    "".join(data.labels).encode()
    for examples in (data.train, *sets_of(data).values()):
        assert len({scoring.is_labelled(example) for example in examples}) == 1
        for example in examples:
            cells = [scoring.text(example)]
            if scoring.is_labelled(example):
                cells.append(scoring.gold_word(data, example))
            assert not any(char in cell for char in "\t\r\n" for cell in cells), cells
            "".join(kind.texts(example)).encode()
        kind.encode(tokenizer(), examples, data, CONFIG)
    kind.label_counts(data)


# ---------------------------------------------------------------- words with tags


def tagged(rng: random.Random, folder: Path) -> Read:
    """A file in columns or a folder of them, alone or with a task file."""
    root = place(rng, folder, "mine")
    root.mkdir()
    scheme = rng.choice(tuple(TAGS))
    ending = rng.choice((".txt", ".conll", ".tsv", ".conllu", ""))
    for part in ("train", rng.choice(("dev", "valid")), "test"):
        data = _columns(rng, TAGS[scheme], ending)
        (root / f"{part}{ending}").write_bytes(bytes_of(rng, data) if rng.random() < 0.3 else data)
    if rng.random() < 0.1:
        add_odd_file(rng, root, ending)
    numbers = (None, None, None, 1, 2, -1, 4, 0, -9, 10**30)
    chosen = Columns(*(rng.choice(numbers) if rng.random() < 0.2 else None for _ in range(2)))
    skip_bad = rng.random() < 0.5
    path = root if rng.random() < 0.8 else root / f"train{ending}"
    if rng.random() < 0.8:
        return lambda: _check_tagged(
            load_task("conll", path, columns=chosen, skip_bad=skip_bad), folder
        )
    settings = {"name": "mine", "kind": "tags", "train": f"train{ending}", "test": f"test{ending}"}
    settings |= {"word_column": 1, "tag_column": 2, "metric": "span_f1"}
    task = _task_file(rng, root, settings)
    return lambda: _check_tagged(load_task_file(task, skip_bad=skip_bad), folder)


def _columns(rng: random.Random, tags: tuple[str, ...], ending: str) -> bytes:
    """Sentences with one to three columns before the tag; sometimes a line of another width."""
    separator = "\t" if ending in (".tsv", ".conllu") else rng.choice((" ", "\t", "  "))
    width, lines = rng.randrange(3), []
    for _ in range(rng.randrange(2, 14)):
        if rng.random() < 0.1:
            lines += [rng.choice(("# text = a film", "-DOCSTART- -X- O", "#", " "))]
        for number in range(rng.randrange(1, 6)):
            word = rng.choice(WORDS) if rng.random() < 0.1 else rng.choice(("a", "fine", "film"))
            tag = rng.choice(ODD_TAGS) if rng.random() < 0.01 else rng.choice(tags)
            cells = [word, *["_"] * width, tag]
            if ending == ".conllu":
                cells = [str(number + 1), word, "_", tag, "_", "_"]
            lines.append(
                separator.join(cells[: rng.randrange(4)] if rng.random() < 0.01 else cells)
            )
        lines.append("")
    return rng.choice(("\n", "\n", "\r\n", "\r")).join(lines).encode(errors="replace")


def _check_tagged(data: TaskData, folder: Path) -> None:
    """Also the cells of a table hold a tag for each word, as significance.py reads them."""
    _check(data)
    for examples in (data.train, *sets_of(data).values()):
        for example in examples:
            assert example.tags is not None and len(example.words) == len(example.tags) > 0
            cell = SCORINGS["tags"].gold_word(data, example)
            assert cell.split(" ") == words_of(data.labels, example.tags), cell
    SCORINGS["tags"].details(data, _certain_tags(data))


def _certain_tags(data: TaskData) -> Outputs:
    """What a model says of dev that is always right: probabilities (W, C) of each sentence."""
    return [np.eye(len(data.labels), dtype=np.float32)[list(one.tags)] for one in data.dev]


def _task_file(rng: random.Random, folder: Path, settings: dict[str, Any]) -> Path:
    """A JSON task file with these keys, sometimes spoiled."""
    path = place(rng, folder, "task.json")
    data = json.dumps(settings).encode()
    path.write_bytes(text_of(rng, settings) if rng.random() < 0.5 else data)
    return path


# ---------------------------------------------------------------- questions


def questions(rng: random.Random, folder: Path) -> Read:
    """A file in the layout of SQuAD or a folder of them, alone or with a task file."""
    root = place(rng, folder, "mine")
    root.mkdir()
    for part in ("train", rng.choice(("dev", "valid", "dev-v2.0")), "test"):
        content = _squad(rng, part)
        data = text_of(rng, content) if rng.random() < 0.3 else json.dumps(content).encode()
        (root / f"{part}.json").write_bytes(bytes_of(rng, data) if rng.random() < 0.05 else data)
    if rng.random() < 0.1:
        add_odd_file(rng, root, ".json")
    skip_bad = rng.random() < 0.5
    path = root if rng.random() < 0.8 else root / "train.json"
    if rng.random() < 0.8:
        return lambda: _check(load_task("squad", path, skip_bad=skip_bad))
    settings = {"name": "mine", "kind": "spans", "train": "train.json", "max_len": 64}
    task = _task_file(rng, root, settings | {"test": "test.json", "metric": "exact_match"})
    return lambda: _check(load_task_file(task, skip_bad=skip_bad))


def _squad(rng: random.Random, part: str) -> dict[str, Any]:
    """Articles with texts of every sort; most answers are where they are said to be."""
    articles = []
    for number in range(rng.randrange(1, 5)):
        context = " ".join(rng.choice(TEXTS) for _ in range(3)) if rng.random() < 0.2 else "a film"
        asked = [_squad_question(rng, f"{number} {i}", context) for i in range(rng.randrange(1, 3))]
        if part == "test" and rng.random() < 0.2:
            asked = [{**one, "answers": None} for one in asked]
        paragraph = {"context": context, "qas": asked}
        articles.append({"title": rng.choice(("a", "b", "c", "d")), "paragraphs": [paragraph]})
    return {"version": "v2.0", "data": articles}


def _squad_question(rng: random.Random, name: str, context: str) -> dict[str, Any]:
    start = rng.randrange(len(context) + 1) if rng.random() < 0.2 else 0
    text = context[start : start + rng.choice((1, 4, 100))]
    answer = {"text": text, "answer_start": start + rng.choice((0,) * 20 + (1, -1, 10**30))}
    if rng.random() < 0.02:
        answer[rng.choice(("text", "answer_start"))] = rng.choice(ODD)
    question = rng.choice(TEXTS) if rng.random() < 0.1 else "which ?"
    values = {"id": name, "question": question, "answers": [answer] * rng.choice((1, 1, 1, 3))}
    if rng.random() < 0.2:
        values |= {"is_impossible": True, "answers": []}
    return values


# ---------------------------------------------------------------- several labels, pairs


def several_labels(rng: random.Random, folder: Path) -> Read:
    """Tables with several labels a text, by --label-separator or by a task file."""
    separator = rng.choice(("|", "|", "|", ";", ", ", "||", '"', "-", "\x1b", "1"))
    usual = rng.sample(("0", "1", "1.0", "red", "blue", "-1", "a b"), 4)

    def cell() -> str:
        words = [rng.choice(usual) for _ in range(rng.choice((0, 1, 1, 2, 3)))]
        if rng.random() < 0.02:
            words.append(rng.choice((*LABELS, EMPTY_CELL, "a\tb", "a\nb", "a|b")))
        return separator.join(words) + rng.choice(("",) * 20 + (separator, " "))

    root, ending = _tables(rng, folder, ("text", "label"), cell)
    skip_bad = rng.random() < 0.5
    if rng.random() < 0.6:
        settings = CsvSettings(label_separator=separator)
        return lambda: _check_several(load_task("csv", root, csv=settings, skip_bad=skip_bad))
    settings = {"name": "mine", "train": f"train{ending}", "test": f"test{ending}"}
    settings |= {"multi_label": True, "separator": separator, "text": ["text"], "label": "label"}
    if rng.random() < 0.3:
        settings["labels"] = usual
    task = _task_file(rng, root, settings)
    return lambda: _check_several(load_task_file(task, skip_bad=skip_bad))


def _check_several(data: TaskData) -> None:
    """Also each cell of a table can be read back."""
    if data.task.kind != "labels":  # the spoiled task file says so
        return
    _check(data)
    for examples in (data.train, *sets_of(data).values()):
        for example in filter(SCORINGS["labels"].is_labelled, examples):
            cell = SCORINGS["labels"].gold_word(data, example)
            words = [data.labels[i] for i in example.label]
            assert ([] if cell == EMPTY_CELL else cell.split(data.task.separator)) == words, cell


def scored_pairs(rng: random.Random, folder: Path) -> Read:
    """Pairs of texts with scores or without, by --task pairs or by a task file."""
    with_scores = rng.random() < 0.7
    name = rng.choice(("label", "score"))
    columns = ("sentence1", "sentence2", *((name,) if with_scores else ()))
    numbers = ("0", "1", "2.5", "5", "-1", "1e-3")

    def cell() -> str:
        return rng.choice(LABELS) if rng.random() < 0.01 else rng.choice(numbers)

    root, ending = _tables(rng, folder, columns, cell)
    skip_bad = rng.random() < 0.5
    if rng.random() < 0.6:
        return lambda: _check_pairs(load_task("pairs", root, skip_bad=skip_bad))
    settings = {"name": "mine", "kind": "vectors", "train": f"train{ending}"}
    settings |= {"text": ["sentence1", "sentence2"], "test": f"test{ending}"}
    if with_scores:
        settings["label"] = name
    task = _task_file(rng, root, settings)
    return lambda: _check_pairs(load_task_file(task, skip_bad=skip_bad))


def _check_pairs(data: TaskData) -> None:
    if data.task.kind != "vectors":  # the spoiled task file says so
        return
    _check(data)
    assert not data.task.scored or 0 < data.task.scale < math.inf
    assert all(math.isfinite(one.label) and one.text_b is not None for one in data.train)


def _tables(
    rng: random.Random, folder: Path, columns: tuple[str, ...], cell: Callable[[], str]
) -> tuple[Path, str]:
    """(a folder with the tables of a task, their ending). `cell` makes what is in the last column,
    unless it is one of a text."""
    root, ending = place(rng, folder, "mine"), rng.choice(ENDINGS)
    root.mkdir()
    texts = [name for name in columns if name.startswith(("text", "sentence"))]
    for part in ("train", rng.choice(("dev", "valid")), "test"):
        rows: list[list[Any]] = []
        for _ in range(rng.randrange(2, 24)):
            row: list[Any] = [rng.choice(TEXTS) for _ in texts]
            if len(columns) > len(texts):
                odd_value = ending == ".jsonl" and rng.random() < 0.02
                row.append(rng.choice(JSON_LABELS) if odd_value else cell())
            rows.append(row)
        if part == "test" and rng.random() < 0.3 and len(columns) > len(texts):
            names, rows = tuple(texts), [row[:-1] for row in rows]
        else:
            names = columns
        (root / f"{part}{ending}").write_bytes(table_bytes(rng, names, rows, ending))
    return root, ending


# ---------------------------------------------------------------- embed.py


@functools.cache
def embeddable() -> tuple[bytes, ...]:
    """Checkpoints of each sort that embed.py reads: those of `inputs`, and an embedder."""
    torch.manual_seed(0)
    embedder = make_checkpoint(Embedder(small_shape(), True), tokenizer(), CONFIG)
    embedder.scale = 5.0
    with tempfile.TemporaryDirectory() as temporary:
        return (*checkpoints(), saved(Path(temporary) / "ckpt.pt", embedder))


@functools.cache
def loaded_encoder(number: int) -> Any:
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "ckpt.pt"
        path.write_bytes(embeddable()[number])
        return load_text_encoder(path)


def embedded_texts(rng: random.Random, folder: Path) -> Read:
    """The texts of embed.py, one a line or JSON lines, printed or written to a file."""
    path = place(rng, folder, rng.choice(("texts.txt", "texts.jsonl")))
    texts = [rng.choice(TEXTS) for _ in range(rng.randrange(5))]
    if path.suffix == ".jsonl":
        objects = [{"text": text} for text in texts]
        if rng.random() < 0.2:
            objects.append({"text": "a", rng.choice(("text_b", "question")): rng.choice(TEXTS)})
        data = b"\n".join(
            text_of(rng, one) if rng.random() < 0.2 else json.dumps(one).encode() for one in objects
        )
    else:
        data = "\n".join(texts).encode(errors="replace")
    path.write_bytes(bytes_of(rng, data) if rng.random() < 0.4 else data)
    number = rng.randrange(len(embeddable()))
    encoder = loaded_encoder(number)
    # Only the code after this is fuzzed.
    program("embed").load_text_encoder = lambda *settings: encoder
    return _embed(rng, folder, "--ckpt", path, "--file", path)


def embedding_checkpoint(rng: random.Random, folder: Path) -> Read:
    """A spoiled checkpoint, whose checksum is mostly right, through embed.py."""
    path = place(rng, folder, "ckpt.pt")
    data = rng.choice(embeddable())
    kind = rng.random()
    if kind < 0.6:
        content = torch.load(io.BytesIO(data), weights_only=True)
        data = sealed(spoiled_pickle(rng, folder, content))
    elif kind < 0.8:
        data = bytes_of(rng, data)
    path.write_bytes(data)
    program("embed").load_text_encoder = load_text_encoder
    (folder / "texts.txt").write_text("a film\n\n漢字 😀\n", encoding="utf-8")
    return _embed(rng, folder, "--ckpt", path, "--file", folder / "texts.txt")


def _embed(rng: random.Random, folder: Path, *given: object) -> Read:
    """Call embed.py, sometimes with a file for the vectors; check what it says."""
    flags: list[object] = list(given)
    if rng.random() < 0.3:
        flags += ["--pooling", rng.choice(("mean", "cls"))]
    if rng.random() < 0.3:
        flags += ["--normalise"]
    if rng.random() < 0.2:
        flags += ["--max-len", rng.choice((8, 16, 32))]
    out = folder / "to" / rng.choice(("vectors.npy", "vectors", "new/vectors.npy"))
    to_file = rng.random() < 0.5

    def read() -> None:
        said = through("embed", *flags, *(("--out", out) if to_file else ()))
        if to_file:
            vectors = np.load(out)
        else:
            vectors = np.array([json.loads(line)["vector"] for line in said.split("\n")[:-1]])
        assert len(vectors) and vectors.shape[1] == small_shape().hidden_size
        assert np.isfinite(vectors).all()
        assert not any(ord(char) < 32 and char != "\n" for char in said)

    return read


READERS: dict[str, Callable[[random.Random, Path], Read]] = {
    "tagged": tagged,
    "questions": questions,
    "several_labels": several_labels,
    "scored_pairs": scored_pairs,
    "embedded_texts": embedded_texts,
    "embedded_ckpt": embedding_checkpoint,
}
