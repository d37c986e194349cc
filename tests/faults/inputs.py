"""Hostile input for every reader.

READERS has one function for each reader. It writes one input into an empty folder and returns a
function that reads the input:

    read = corpus(rng, folder)
    read()  # returns if the input is sound, else raises ValueError or OSError

An input is sound, a sound one that was spoiled, or garbage; it depends on `rng` alone. Programs are
called through their `main`, and exit code 2 becomes `Refused`. A reader may only write into
`folder / "to"`.
"""

from __future__ import annotations

import bz2
import contextlib
import copy
import csv
import dataclasses
import functools
import gzip
import hashlib
import importlib.util
import io
import json
import lzma
import math
import os
import pickle
import random
import stat
import struct
import sys
import tarfile
import tempfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import torch

ROOT = Path(__file__).resolve().parent.parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from electra.checkpoint.checkpoint import Checkpoint, TrainingState, make_checkpoint
from electra.checkpoint.storage import save_checkpoint
from electra.config import (
    SPECIAL_TOKENS,
    FinetuneConfig,
    ModelConfig,
    Origin,
    PretrainConfig,
)
from electra.data import raw_text, sources, text_files, token_store
from electra.data.sentencepiece import train_tokenizer
from electra.data.tokenizer import Tokenizer, load_tokenizer
from electra.data.wordpiece import WordPieceTokenizer
from electra.download import archives as archives_module
from electra.huggingface.safetensors import read_safetensors, write_safetensors
from electra.huggingface.tokenizer_files import read_tokenizer, write_tokenizer
from electra.huggingface.weight_files import read_weights
from electra.inference.predictor import load_predictor
from electra.model.classifier import Classifier
from electra.model.electra import Electra
from electra.model.reader import Reader
from electra.model.tagger import Tagger
from electra.tasks.csv_task import CsvSettings
from electra.tasks.labels import class_lines, label_key
from electra.tasks.load import load_task
from electra.tasks.tables import ENDINGS
from electra.tasks.task import TaskData
from electra.tasks.task_file import load_task_file

Read = Callable[[], None]

MARKUP = """<script>alert(1)</script>"><img src=x onerror=alert(1)>'"""
TEXTS = (
    "a warm and funny film",
    "Ünïcode 漢字 😀",
    "= Title =",
    "",
    " ",
    'a,b\t"c"',
    "no .<br /><br>yes",
    MARKUP,
    "\x1b[31mred\x07",
    "half \ud800 pair",
    "\u202eleft",
    "line\u2028end\x85",
    "\ufeff",
    "[MASK] [CLS]",
    "x" * 300,
)
NAMES = (
    "two\nlines",
    "\x1b[31mred",
    "\u202egnp",
    "é" * 60,
    os.fsdecode(b"\xff\xfe"),
    "-rf",
    "a'b\"c",
    " ",
    "[x]*?",
    "\x9b2J",
    "<script>",
    "\r",
    "\\",
)
ODD = (
    None,
    True,
    False,
    0,
    -1,
    7,
    2**31,
    2**63,
    10**400,
    -(10**30),
    0.5,
    1e308,
    -1e308,
    1e-320,
    math.nan,
    math.inf,
    "",
    "0",
    "nan",
    "1e400",
    MARKUP,
    "\x1b[2J\n",
    "\ud800",
    "x" * 100_000,
    [],
    {},
    [[]],
    [None],
    [0],
    {"": None},
    ["a", "b"],
)
EXTREMES = (
    b"\0" * 8,
    b"\xff" * 8,
    b"\x7f" + b"\xff" * 7,
    struct.pack("<q", 1 << 62),
    struct.pack("<i", -1),
    b"\n",
    b"\r",
    b"\t",
    b'"',
    b",",
    b"{",
    b"}",
    b"[" * 50_000,
    b"9" * 5_000,
    b"\xef\xbb\xbf",
    b"\xc3",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\0",
    b"\x1b[31m",
    b" " * 100,
    b"NaN",
    b"1e999",
    b"null",
    b"-1",
)


class Refused(ValueError):
    """A program ended with exit code 2; the message is its line on standard error."""


# ---------------------------------------------------------------- spoiling


def garbage(rng: random.Random) -> bytes:
    """Nothing, noise, zeros, deep nesting, or the beginning of some format."""
    kind = rng.randrange(6)
    if kind == 0:
        return b""
    if kind == 1:
        return b"\0" * rng.choice((1, 8, 512, 10_240))
    if kind == 2:
        return rng.choice((b"[", b'{"a":', b"a = [")) * rng.choice((1, 100, 100_000))
    start = rng.choice(
        (
            b"",
            b"{",
            b"[",
            b"PK\3\4",
            b"PK\5\6",
            b"\x1f\x8b\x08",
            b"\xfd7zXZ\0",
            b"BZh9",
            b"\x80\2",
            b"\x80\4\x95",
            b"= Title =\n",
        )
    )
    return start + rng.randbytes(rng.choice((1, 10, 100, 5_000)))


def spoiled(rng: random.Random, data: bytes) -> bytes:
    """`data` changed, cut, doubled or replaced in one to four places."""
    content = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        at = rng.randrange(len(content) + 1)
        # Half of them are near an end, where formats keep lengths and tables.
        if rng.random() < 0.5:
            at = (
                min(at, rng.randrange(64))
                if rng.random() < 0.5
                else max(at, len(content) - rng.randrange(128), 0)
            )
        length = rng.choice((1, 1, 4, 8, 50, 1_000))
        kind = rng.randrange(6)
        if kind == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            content[at : at + length] = rng.randbytes(min(length, len(content) - at))
        elif kind == 2:
            del content[at : at + length]
        elif kind == 3:
            content[at:at] = content[at : at + length]
        elif kind == 4:
            extreme = rng.choice(EXTREMES)
            content[at : at + len(extreme) * rng.randrange(2)] = extreme
        else:
            del content[at if rng.random() < 0.3 else len(content) :]
    return bytes(content)


def odd(rng: random.Random, value: Any) -> Any:
    """A copy of nested dictionaries and lists with one to three spoiled entries.

    An entry is replaced, lost, moved, added or nested.
    """
    value = copy.deepcopy(value)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        places = _places(value)
        if not places:
            break
        holder, key = rng.choice(places)
        kind = rng.randrange(8)
        if kind < 4:
            holder[key] = copy.deepcopy(rng.choice(ODD))
        elif kind == 4:
            del holder[key]
        elif kind == 5:
            other, place = rng.choice(places)
            holder[key] = (
                copy.deepcopy(other[place]) if place in _keys(other) and key in _keys(holder) else 0
            )
        elif kind == 6 and isinstance(holder, dict):
            holder[rng.choice(("", "x", MARKUP, "\x1b\n"))] = copy.deepcopy(rng.choice(ODD))
        else:
            holder[key] = rng.choice(
                ([holder[key]], {"x": holder[key]}, str(holder[key]), [holder[key]] * 30)
            )
    return value


def _keys(holder: dict | list) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def _places(value: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value inside nested dictionaries and lists."""
    found = []
    if isinstance(value, (dict, list)):
        for key in _keys(value):
            found += [(value, key), *_places(value[key])]
    return found


def text_of(rng: random.Random, value: Any) -> bytes:
    """JSON of `value`: its entries are spoiled, its bytes are, both are, or neither is."""
    kind = rng.randrange(10)
    if kind == 0:
        return garbage(rng)
    data = json.dumps(odd(rng, value) if kind < 8 else value).encode()
    return spoiled(rng, data) if kind in (1, 8) else data


def bytes_of(rng: random.Random, data: bytes) -> bytes:
    """Mostly `data` spoiled, sometimes garbage, rarely `data` unchanged."""
    kind = rng.randrange(10)
    return data if kind == 0 else garbage(rng) if kind == 1 else spoiled(rng, data)


def place(rng: random.Random, folder: Path, name: str) -> Path:
    """`folder / name`; one time in eight an odd string precedes the name."""
    return folder / ((rng.choice(NAMES) if rng.random() < 0.125 else "") + name)


# ---------------------------------------------------------------- what is sound


@functools.cache
def program(name: str) -> ModuleType:
    """A program of scripts/ as a module; every call returns the same one."""
    spec = importlib.util.spec_from_file_location(
        f"{name}_program", ROOT / "scripts" / f"{name}.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def through(name: str, *arguments: object) -> str:
    """Call a program's `main`; returns its standard output.

    Raises Refused if the exit code is 2, and AssertionError for any other error code or if standard
    error is not exactly one printable line.
    """
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=errors)
        for errors in ("strict", "backslashreplace")
    )
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = program(name).main([str(argument) for argument in arguments])
    out.flush(), err.flush()
    said = err.buffer.getvalue().decode()
    if code == 0:
        return out.buffer.getvalue().decode()
    assert code == 2, f"exit code {code}"
    line = said.removesuffix("\n")
    assert said.endswith("\n") and line.isprintable() and line.startswith(f"{name}.py: error: "), (
        said
    )
    raise Refused(line)


@functools.cache
def tokenizer() -> Tokenizer:
    return train_tokenizer(
        (ROOT / "data" / "sample" / "wiki.raw").read_text(encoding="utf-8").splitlines()[:200], 400
    )


@functools.cache
def wordpiece() -> bytes:
    """A vocab.txt."""
    return "\n".join(
        (*SPECIAL_TOKENS, *"abcdefghijklmnopqrstuvwxyz.,", *(f"##{c}" for c in "abcdefgh"), "film")
    ).encode()


def small_shape() -> ModelConfig:
    """The sizes of all models here."""
    return ModelConfig(
        objective="electra",
        vocab_size=tokenizer().vocab_size,
        embedding_size=8,
        hidden_size=12,
        num_layers=1,
        num_heads=2,
        intermediate_size=16,
        generator_hidden_size=8,
        generator_num_layers=1,
        generator_num_heads=1,
        generator_intermediate_size=8,
        max_positions=32,
        dropout=0.0,
        attention_dropout=0.0,
    )


@functools.cache
def checkpoints() -> tuple[bytes, ...]:
    """Checkpoints of an ELECTRA, of a classifier of texts, and of a classifier of pairs."""
    shape = small_shape()
    torch.manual_seed(0)
    one, words = Electra(shape), ("negative", "positive")
    settings = FinetuneConfig(max_len=32)
    packed = [
        make_checkpoint(
            one,
            tokenizer(),
            PretrainConfig(seq_len=32),
            TrainingState(step=3, optimizer={"step": 3}),
        ),
        dataclasses.replace(
            make_checkpoint(Classifier(shape, 2), tokenizer(), settings), labels=words
        ),
        dataclasses.replace(
            make_checkpoint(Classifier(shape, 1), tokenizer(), settings), pairs=True, scale=5.0
        ),
    ]
    packed[0].origin = Origin(imported=True, tokens=5)
    with tempfile.TemporaryDirectory() as temporary:
        return tuple(saved(Path(temporary) / "ckpt.pt", one) for one in packed)


def saved(path: Path, checkpoint: Checkpoint) -> bytes:
    save_checkpoint(path, checkpoint)
    return path.read_bytes()


@functools.cache
def exported() -> dict[str, bytes]:
    """The files in the folder of a released discriminator."""
    return _exported(checkpoints()[0])


@functools.cache
def exported_fine_tuned() -> list[dict[str, bytes]]:
    """The files in the folders of a classifier of several labels, of a tagger and of a reader."""
    torch.manual_seed(0)
    shape, settings, words = small_shape(), FinetuneConfig(max_len=32), ("O", "B-X", "I-X")
    classifier = Classifier(shape, 3, multi_label=True)
    several = dataclasses.replace(make_checkpoint(classifier, tokenizer(), settings), labels=words)
    packed = [
        dataclasses.replace(several, thresholds=(0.5,) * 3),
        dataclasses.replace(make_checkpoint(Tagger(shape, 3), tokenizer(), settings), labels=words),
        dataclasses.replace(
            make_checkpoint(Reader(shape), tokenizer(), settings), thresholds=(1.0,)
        ),
    ]
    with tempfile.TemporaryDirectory() as temporary:
        return [_exported(saved(Path(temporary) / "ckpt.pt", one)) for one in packed]


def _exported(checkpoint: bytes) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as temporary:
        (Path(temporary) / "ckpt.pt").write_bytes(checkpoint)
        through("convert", "export", Path(temporary) / "ckpt.pt", Path(temporary) / "out")
        return {
            path.name: path.read_bytes()
            for path in (Path(temporary) / "out").iterdir()
            if path.is_file()
        }


# ---------------------------------------------------------------- text

PACKERS = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": functools.partial(lzma.compress, preset=0),
}


def corpus(rng: random.Random, folder: Path) -> Read:
    """Text files in every layout, compressed or not; folders of them."""
    path = place(rng, folder, "corpus")
    documents = [
        [rng.choice(TEXTS) for _ in range(rng.randrange(4))] for _ in range(rng.randrange(1, 6))
    ]
    plain = lambda lines: "\n".join(lines).encode(
        errors="surrogatepass" if rng.random() < 0.1 else "replace"
    )
    if rng.random() < 0.2:
        path.mkdir()
        for number, lines in enumerate(documents):
            (path / f"{number}.txt").write_bytes(bytes_of(rng, plain(lines)))
        add_odd_file(rng, path, ".txt")
    else:
        kind, ending = rng.choice(("wiki", "blank", "jsonl")), rng.choice(tuple(PACKERS))
        if kind == "wiki":
            data = plain(
                [f" = Title {i} = \n\n" + "\n".join(lines) for i, lines in enumerate(documents)]
            )
        elif kind == "blank":
            data = plain(["\n".join(lines) + "\n" for lines in documents])
        else:
            data = b"\n".join(
                text_of(rng, {"text": "\n".join(lines), "id": 1}) for lines in documents
            )
        if rng.random() < 0.7:
            data = bytes_of(rng, data)
        packed = PACKERS[ending](data)
        path = path.with_name(path.name + (".jsonl" if kind == "jsonl" else ".txt") + ending)
        path.write_bytes(bytes_of(rng, packed) if rng.random() < 0.5 else packed)
        if ending == ".xz" and rng.random() < 0.3:
            path.write_bytes(huge_dictionary(path.read_bytes()))
    return _lines_of(rng, folder, path)


def _lines_of(rng: random.Random, folder: Path, path: Path, text_field: str | None = None) -> Read:
    """Read a corpus line by line, sometimes into a token store."""
    errors, store = rng.choice(("strict", "replace")), rng.random() < 0.1

    def read() -> None:
        for source in sources.find_sources((str(path),)):
            for _ in raw_text.read_lines(source, errors, text_field):
                pass
        if store:
            token_store.hold_out(
                token_store.open_store(
                    *((str(path),), tokenizer(), errors, str(folder / "to")),
                    workers=1,
                    text_field=text_field,
                )
            )

    return read


def _wikiextractor_text(rng: random.Random) -> str:
    """What WikiExtractor writes, with lines of it lost, doubled or nested."""
    lines = []
    for number in range(rng.randrange(1, 5)):
        lines += [f'<doc id="{number}" url="u" title="{rng.choice(TEXTS)}">', rng.choice(TEXTS)]
        lines += [rng.choice(TEXTS), rng.choice(("</doc>", "</doc>", "", "<doc>", "</doc> x"))]
    if rng.random() < 0.3:
        rng.shuffle(lines)
    return "\n".join(lines)


def _records_text(rng: random.Random, kind: str) -> bytes:
    """Objects in an array or a line each, or rows of a table, with texts of every sort."""
    objects = [
        {"id": i, "text": rng.choice(TEXTS), "body": rng.choice(TEXTS)}
        for i in range(rng.randrange(1, 6))
    ]
    if kind in (".csv", ".tsv"):
        stored = io.StringIO()
        quoting = rng.choice((csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
        writer = csv.writer(stored, delimiter="," if kind == ".csv" else "\t", quoting=quoting)
        writer.writerows([list(objects[0]), *(list(one.values()) for one in objects)])
        return stored.getvalue().encode(errors="replace")
    if kind == "array":
        return text_of(rng, objects) if rng.random() < 0.5 else json.dumps(objects).encode()
    return b"\n".join(
        text_of(rng, one) if rng.random() < 0.3 else json.dumps(one).encode() for one in objects
    )


def wikiextractor(rng: random.Random, folder: Path) -> Read:
    """A corpus as WikiExtractor writes it: a file, a folder, packed or not."""
    ending = rng.choice(tuple(PACKERS))
    path = place(rng, folder, rng.choice(("wiki_00", "corpus.txt", "in/AA/wiki_00")) + ending)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _wikiextractor_text(rng).encode(errors="replace")
    text = bytes_of(rng, text) if rng.random() < 0.6 else text
    packed = PACKERS[ending](text)
    path.write_bytes(bytes_of(rng, packed) if rng.random() < 0.2 else packed)
    return _lines_of(rng, folder, folder / "in" if path.parent.name == "AA" else path)


def records(rng: random.Random, folder: Path) -> Read:
    """A corpus of JSON lines, of a JSON array, or of a column of a table."""
    kind, ending = rng.choice(("lines", "array", ".csv", ".tsv")), rng.choice(tuple(PACKERS))
    name = "corpus" + (kind if kind.startswith(".") else rng.choice(("", ".json", ".jsonl")))
    path = place(rng, folder, name + ending)
    data = _records_text(rng, kind)
    data = bytes_of(rng, data) if rng.random() < 0.5 else data
    path.write_bytes(PACKERS[ending](data))
    return _lines_of(rng, folder, path, rng.choice(("text", "text", "body", "none", None)))


def encodings(rng: random.Random, folder: Path) -> Read:
    """A corpus in UTF-16 or UTF-32, with a byte-order mark or without."""
    kind = rng.choice(("wiki", "blank", "lines", "array", ".csv", ".tsv"))
    if kind in ("wiki", "blank"):
        between = " = Title = \n" if kind == "wiki" else "\n\n"
        text = between + between.join(rng.choice(TEXTS) for _ in range(rng.randrange(1, 6)))
    else:
        text = _records_text(rng, kind).decode(errors="replace")
    encoding = rng.choice(("utf-8", "utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"))
    mark = "\ufeff" if rng.random() < 0.8 else ""
    data = (mark + text).encode(encoding, "replace")
    path = place(rng, folder, "corpus" + (kind if kind.startswith(".") else ""))
    path.write_bytes(bytes_of(rng, data) if rng.random() < 0.5 else data)
    return _lines_of(rng, folder, path, "text")


def huge_dictionary(data: bytes) -> bytes:
    """An .xz file whose header asks for 4 GiB of memory and whose checksum is right."""
    size = 4 * (data[12] + 1) if len(data) > 13 else 0
    header = bytearray(data[12 : 12 + size - 4])
    if len(header) < 5 or header[2] != 0x21:
        return data
    header[4] = 40
    return data[:12] + header + struct.pack("<I", zlib.crc32(header)) + data[12 + size :]


def add_odd_file(rng: random.Random, folder: Path, ending: str) -> None:
    """Sometimes put something into a folder that is not a readable file."""
    path = folder / (rng.choice(("odd", *NAMES)) + ending)
    kind = rng.randrange(12)
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind == 2:
        path.symlink_to(rng.choice(("nowhere", ".", path.name, "/dev/zero")))
    elif kind == 3:
        path.write_bytes(garbage(rng))


def tables(rng: random.Random, folder: Path) -> Read:
    """A user's own tables, and a task of GLUE."""
    glue = rng.random() < 0.3
    ending = ".tsv" if glue else rng.choice(ENDINGS)
    root = place(rng, folder, "SST-2" if glue else "mine")
    root.mkdir()
    pair = rng.random() < 0.3 and not glue
    columns = ("sentence", "label") if glue else ("text", *(("other",) if pair else ()), "label")
    for part in ("train", "dev", "test"):
        words = [
            rng.choice(TEXTS) if rng.random() < 0.1 else rng.choice("01")
            for _ in range(rng.randrange(3, 14))
        ]
        rows = [[rng.choice(TEXTS) for _ in columns[1:]] + [word] for word in words]
        (root / f"{part}{ending}").write_bytes(table_bytes(rng, columns, rows, ending))
    skip_bad = rng.random() < 0.3
    if glue:
        return lambda: _check_task(load_task("sst2", root, skip_bad=skip_bad))
    named = (rng.choice(TEXTS), "label") if rng.random() < 0.05 else (columns[0], columns[-1])
    return lambda: _check_task(
        load_task(
            "csv",
            root,
            csv=CsvSettings((named[0], *columns[1:-1]), named[1]),
            skip_bad=skip_bad,
        )
    )


def table_bytes(
    rng: random.Random, columns: tuple[str, ...], rows: list[list[str]], ending: str
) -> bytes:
    if ending == ".jsonl":
        return b"\n".join(
            text_of(rng, dict(zip(columns, row)))
            if rng.random() < 0.05
            else json.dumps(dict(zip(columns, row))).encode()
            for row in rows
        )
    quoted = lambda cell: (
        '"' + cell.replace('"', '""') + '"' if ending == ".csv" else cell.replace("\t", " ")
    )
    text = "\n".join(
        ("," if ending == ".csv" else "\t").join(map(quoted, row)) for row in (columns, *rows)
    )
    data = text.encode(errors="replace")
    return bytes_of(rng, data) if rng.random() < 0.4 else data


def _check_task(data: TaskData) -> None:
    assert data.train and data.dev and (data.task.regression or len(data.labels) >= 2)
    for example in (*data.train, *data.dev, *(data.test or ())):  # result files will hold them
        f"{example.text_a}{example.text_b}".encode()
    "".join(data.labels).encode()


LABELS = (
    *("0", "1", "1.0", "01", "+1", "1.", ".5", "0.50", "-0", "-1", "-1.0", "1e0", "1_0", "١"),
    *(
        "nan",
        "NaN",
        " NAN ",
        "None",
        "null",
        "",
        " ",
        "inf",
        "-inf",
        "1e400",
        "9" * 900,
        "9" * 5_000,
    ),
    *(
        "0x1",
        "--1",
        "1.0.0",
        "x" * 300,
        "\x1b[31mred",
        "two\u2028lines",
        "half \ud800 pair",
        MARKUP,
    ),
)
JSON_LABELS = (
    None,
    True,
    False,
    0,
    1,
    1.0,
    -1,
    -1.0,
    0.5,
    math.nan,
    math.inf,
    10**30,
    "1",
    "nan",
    "",
)


def labels(rng: random.Random, folder: Path) -> Read:
    """Tables whose labels are numbers, missing, or odd words; classes or scores."""
    root = place(rng, folder, "mine")
    root.mkdir()
    ending = rng.choice(ENDINGS)
    usual = rng.sample(("0", "1", "1.0", "2", "-1", "0.0", "2.50", "2.5", "yes"), 4)
    for part in ("train", rng.choice(("dev", "valid", "validation", "val")), "test"):
        table = _labelled(rng, part, usual, ending)
        (root / f"{part}{ending}").write_bytes(table)
    if rng.random() < 0.05:
        (root / f"{rng.choice(('dev', 'val'))}.tsv").write_text("text\tlabel\na\t1\n")
    skip_bad = rng.random() < 0.5
    if rng.random() < 0.7:
        return lambda: _check_labels(load_task("csv", root, skip_bad=skip_bad))
    names = json.dumps(
        next(path.name for path in root.iterdir() if path.stem.startswith(("d", "v")))
    )
    task = place(rng, root, "task.toml")
    task.write_text(
        f'name = "mine"\ntrain = "train{ending}"\ndev = {names}\ntest = "test{ending}"\n'
        f'text = ["text"]\nlabel = "label"\nregression = true\n'
    )
    return lambda: _check_labels(load_task_file(task, skip_bad=skip_bad))


def _labelled(rng: random.Random, part: str, usual: list[str], ending: str) -> bytes:
    """A table with the columns text and label. Of a test set all labels may be missing."""
    unlabelled = part == "test" and rng.random() < 0.4
    missing = rng.sample(("-1", "-1.0", "", "nan"), rng.randrange(1, 3))
    rows = []
    for _ in range(rng.randrange(3, 30)):
        word: Any = rng.choice(missing if unlabelled else usual)
        if rng.random() < 0.02:
            word = rng.choice(LABELS)
        if ending == ".jsonl" and rng.random() < 0.05:
            word = rng.choice(JSON_LABELS)
        rows.append([rng.choice(TEXTS), word])
    return table_bytes(rng, ("text", "label"), rows, ending)


def _check_labels(data: TaskData) -> None:
    """No class is there twice, no label is outside them, and what is printed is a line."""
    _check_task(data)
    assert len(set(map(label_key, data.labels))) == len(data.labels)
    for part in (data.train, data.dev, data.test or []):
        assert len({_is_unknown(example.label) for example in part}) <= 1
        assert data.task.regression or all(e.label < len(data.labels) for e in part)
    assert not any(_is_unknown(example.label) for example in data.train + data.dev)
    lines = class_lines(data)
    assert all(line.isprintable() for line in lines) and len(lines[0]) <= 100, lines


def _is_unknown(label: int | float) -> bool:
    return math.isnan(label) if isinstance(label, float) else label < 0


def imdb(rng: random.Random, folder: Path) -> Read:
    """The folders of aclImdb, with files in them that do not belong there."""
    root = folder / rng.choice(("aclImdb", "mine"))
    for part in ("train/pos", "train/neg", "test/pos", "test/neg"):
        (root / part).mkdir(parents=True)
        for number in range(0 if rng.random() < 0.05 else 6):
            data = rng.choice(TEXTS).encode(errors="replace")
            data = bytes_of(rng, data) if rng.random() < 0.02 else data
            (root / part / f"{number}_{rng.randrange(11)}.txt").write_bytes(data)
        if rng.random() < 0.3:
            add_odd_file(
                rng, root / part, rng.choice((".txt", "1_7.txt", "9" * 100 + "_1.txt", "٣_٤.txt"))
            )
    if rng.random() < 0.1:
        os.rename(root / "train" / "pos", root / "train" / "gone")
    odd_name = root / "train" / "neg" / "77_1.txt"
    if rng.random() < 0.1:
        rng.choice((os.mkfifo, os.mkdir))(odd_name)
    return lambda: _check_task(load_task("imdb", folder if root.name == "aclImdb" else root))


def task_file(rng: random.Random, folder: Path) -> Read:
    """A task described in TOML or JSON, beside its table."""
    (folder / "train.csv").write_text(
        "text,stars\n" + "".join(f"film {i},{i % 3}\n" for i in range(24))
    )
    settings = {
        "name": "mine",
        "train": "train.csv",
        "text": ["text"],
        "label": "stars",
        "labels": ["0", "1", "2"],
        "metric": "macro_f1",
        "max_len": 64,
        "epochs": 3,
        "header": True,
        "regression": False,
    }
    if rng.random() < 0.3:
        settings = {**settings, "regression": True, "metric": "pearson"}
        del settings["labels"]
    path = place(rng, folder, rng.choice(("task.toml", "task.json")))
    if path.suffix == ".json":
        path.write_bytes(text_of(rng, settings))
    else:
        values = odd(rng, settings) if rng.random() < 0.6 else settings
        lines = "".join(
            f"{key or 'x'} = {json.dumps(value)}\n" for key, value in values.items()
        ).encode()
        path.write_bytes(bytes_of(rng, lines) if rng.random() < 0.5 else lines)
    return lambda: _check_task(load_task_file(path, skip_bad=rng.random() < 0.5))


# ---------------------------------------------------------------- tokenizers


def vocabulary(rng: random.Random, folder: Path) -> Read:
    """A vocab.txt, or a WordPiece tokenizer as a run folder keeps it."""
    if rng.random() < 0.5:
        path = place(rng, folder, "vocab.txt")
        path.write_bytes(bytes_of(rng, wordpiece()))
    else:
        path = place(rng, folder, "tokenizer.model")
        path.write_bytes(
            text_of(
                rng,
                {
                    "type": "wordpiece",
                    "lower_case": True,
                    "strip_accents": None,
                    "split_chinese": True,
                    "tokens": wordpiece().decode().split("\n"),
                },
            )
        )
    return lambda: _use(load_tokenizer(path), folder)


def sentencepiece(rng: random.Random, folder: Path) -> Read:
    """A SentencePiece model."""
    path = place(rng, folder, "tokenizer.model")
    path.write_bytes(bytes_of(rng, tokenizer().to_bytes()))
    return lambda: _use(load_tokenizer(path), folder)


def tokenizer_folder(rng: random.Random, folder: Path) -> Read:
    """The tokenizer of a downloaded folder, with every file that says how text is split."""
    root = place(rng, folder, "downloaded")
    root.mkdir()
    files = dict(rng.choice(tokenizer_files()))
    for name in list(files):
        if rng.random() < 0.25 and name != "tokenizer.json":
            del files[name]
    for name in rng.sample(sorted(files), min(len(files), rng.choice((0, 1, 1, 1, 2)))):
        binary = name in ("vocab.txt", "tokenizer.model")
        files[name] = (
            bytes_of(rng, files[name]) if binary else text_of(rng, json.loads(files[name]))
        )
    for name, data in files.items():
        (root / name).write_bytes(data)
    return lambda: _use(read_tokenizer(root), folder)


@functools.cache
def tokenizer_files() -> tuple[dict[str, bytes], ...]:
    """The files of a WordPiece tokenizer of each class, and those of an exported SentencePiece."""
    tokens = wordpiece().decode().split("\n")
    added = [
        {"id": id_, "content": token, "normalized": False, "lstrip": False, "special": True}
        for id_, token in enumerate(SPECIAL_TOKENS)
    ]
    settings: dict[str, Any] = {
        "do_lower_case": True,
        "strip_accents": None,
        "tokenize_chinese_chars": True,
        "never_split": ["[MASK]"],
        "do_basic_tokenize": True,
        "word_tokenizer_type": "basic",
        "auto_map": {"AutoModel": "code.Own"},
        "fast_tokenizer_files": ["tokenizer.json"],
        "mask_token": added[4],
        "additional_special_tokens": ["[SEP]"],
        "extra_special_tokens": {"x_token": "[SEP]"},
        "added_tokens_decoder": {"4": added[4]},
    }
    found = []
    for class_ in ("BertTokenizer", "PreTrainedTokenizerFast"):
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            write_tokenizer(root, WordPieceTokenizer(tokens), 512)
            (root / "tokenizer.model").unlink()
            for name, content in (
                ("tokenizer_config.json", {**settings, "tokenizer_class": class_}),
                ("special_tokens_map.json", {"unk_token": "[UNK]", "mask_token": added[4]}),
                ("added_tokens.json", {"[MASK]": 4}),
                ("config.json", {"model_type": "electra", "tokenizer_class": class_}),
            ):
                (root / name).write_text(json.dumps(content), encoding="utf-8")
            found.append({path.name: path.read_bytes() for path in root.iterdir()})
    with tempfile.TemporaryDirectory() as temporary:
        write_tokenizer(Path(temporary), tokenizer(), 512)
        found.append({path.name: path.read_bytes() for path in Path(temporary).iterdir()})
    return tuple(found)


def _use(one: Tokenizer, folder: Path) -> None:
    """Use a tokenizer in every way that the project does, export included."""
    for ids in one.encode_batch([text.encode(errors="replace").decode() for text in TEXTS]):
        assert all(0 <= id_ < one.vocab_size for id_ in ids)
        one.decode(ids), one.pieces(ids)
    write_tokenizer(folder / "to", one, 512)


# ---------------------------------------------------------------- weights


def safetensors(rng: random.Random, folder: Path) -> Read:
    """A safetensors file whose header is spoiled, as bytes or in its values."""
    path = place(rng, folder, "model.safetensors")
    data = exported()["model.safetensors"]
    if rng.random() < 0.6:
        length = int.from_bytes(data[:8], "little")
        header = text_of(rng, json.loads(data[8 : 8 + length]))
        data = len(header).to_bytes(8, "little") + header + data[8 + length :]
    else:
        data = bytes_of(rng, data)
    path.write_bytes(data)
    return lambda: _use_tensors(read_safetensors(path), len(data))


def _use_tensors(tensors: dict[str, torch.Tensor], size: int) -> None:
    assert sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) <= size


def released(rng: random.Random, folder: Path) -> Read:
    """Read the folder of a released checkpoint, with one spoiled file, through convert.py."""
    root = place(rng, folder, "released")
    root.mkdir()
    files = dict(exported())
    if rng.random() < 0.6:
        del files["tokenizer.model"]
        # What export writes for SentencePiece is no WordPiece tokenizer.json.
        if rng.random() < 0.7:
            del files["tokenizer.json"], files["tokenizer_config.json"]
            files["vocab.txt"] = wordpiece()
    if rng.random() < 0.5:
        tensors = read_safetensors(_written(folder / "whole", files.pop("model.safetensors")))
        os.unlink(folder / "whole")
        files["pytorch_model.bin"] = spoiled_pickle(rng, folder, tensors)
    name = rng.choice(sorted(files))
    files[name] = (
        text_of(rng, json.loads(files[name]))
        if name.endswith(".json")
        else files[name]
        if name == "pytorch_model.bin"
        else bytes_of(rng, files[name])
    )
    for name, data in files.items():
        (root / name).write_bytes(data)
    if rng.random() < 0.05:
        os.rename(root / name, root / "gone")
        os.mkfifo(root / name)
    return lambda: _printed(through("convert", "import", root, "--out", folder / "to" / "out.pt"))


def fine_tuned(rng: random.Random, folder: Path) -> Read:
    """Import a fine-tuned folder whose labels, settings or head are spoiled, and load it."""
    root = place(rng, folder, "tuned")
    root.mkdir()
    files = dict(rng.choice(exported_fine_tuned()))
    values = json.loads(files["config.json"])
    part = rng.choice(("id2label", "fine_tuning", "architectures", "problem_type", "sound"))
    if part in values:
        values |= odd(rng, {part: values[part]})
    files["config.json"] = json.dumps(values).encode()
    if rng.random() < 0.2:
        tensors = read_safetensors(_written(folder / "whole", files["model.safetensors"]))
        os.unlink(folder / "whole")
        name = rng.choice([one for one in sorted(tensors) if not one.startswith("electra.")])
        tensors[name] = rng.choice((tensors[name][:1], tensors[name] + 1, torch.ones(())))
        write_safetensors(root / "model.safetensors", tensors)
        del files["model.safetensors"]
    for name, data in files.items():
        (root / name).write_bytes(data)

    def read() -> None:
        through("convert", "import", root, "--out", folder / "to" / "out.pt")
        load_predictor(folder / "to" / "out.pt")

    return read


def parts(rng: random.Random, folder: Path) -> Read:
    """Read weights in two parts, of which the index or a part is spoiled."""
    root = place(rng, folder, "parts")
    root.mkdir()
    pickled = rng.random() < 0.3
    whole = "pytorch_model.bin" if pickled else "model.safetensors"
    names = [f"{number}-of-2{Path(whole).suffix}" for number in (1, 2)]
    places = {f"layer.{number}": rng.choice(names) for number in range(6)}
    for part in names:
        own = {name: torch.ones(3, 4) for name in places if places[name] == part}
        torch.save(own, root / part) if pickled else write_safetensors(root / part, own)
    size = 10 * sum((root / part).stat().st_size for part in names)

    if rng.random() < 0.4:
        elsewhere = (
            *NAMES,
            "../to",
            "/etc/passwd",
            "..",
            "",
            "a\0b",
            "x" * 9_999,
            "a/../" + names[0],
        )
        places[rng.choice(sorted(places))] = rng.choice(elsewhere)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    kind = rng.randrange(6)
    (root / f"{whole}.index.json").write_bytes(
        text_of(rng, index) if kind < 2 else json.dumps(index).encode()
    )
    if kind == 2:
        (root / names[0]).write_bytes(bytes_of(rng, (root / names[0]).read_bytes()))
    elif kind == 3:
        os.unlink(root / names[0])
    elif kind == 4 and rng.random() < 0.3:
        os.unlink(root / names[1])
        os.mkfifo(root / names[1])
    return lambda: _use_tensors(read_weights(root), size)


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def _printed(said: str) -> None:
    assert said


class Payload:
    """Unpickling this would write a file next to the input."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, tuple]:
        return os.system, (f"touch '{self.marker}'",)


def spoiled_pickle(rng: random.Random, folder: Path, content: dict[str, Any]) -> bytes:
    """What torch.save writes for a dictionary, mostly spoiled.

    It may be unchanged, hold code, hold tensors that do not match their description, or unpack to
    far more than its size.
    """
    kind, content = rng.randrange(10), dict(content)
    whole = "model" in content  # a checkpoint, not just weights
    tensors = dict(content["model"]) if whole else content
    name = rng.choice(sorted(tensors))
    if kind == 0:
        content[name] = Payload(folder / "executed")
        if rng.random() < 0.3:
            return rng.choice((pickle.dumps(content[name]), pickle.dumps(content[name], 0)))
    elif kind == 1:
        tensors[name] = rng.choice(
            (
                torch.zeros(1).expand(1 << 40),
                torch.zeros(2, 2).to_sparse(),
                torch.empty(9, device="meta"),
                torch.zeros(2, dtype=torch.complex64),
                torch.tensor(math.nan),
                torch.zeros(0, 7),
                tensors[name].double(),
                tensors[name][None],
                torch.zeros(3).long(),
                "text",
                None,
                [1],
            )
        )
    elif kind == 2:
        content = (
            odd(rng, {key: value for key, value in content.items() if key != "model"})
            if whole
            else rng.choice(([tensors], None, {1: tensors[name]}, {name: {name: tensors[name]}}))
        )
    elif kind == 3 and whole:
        part = rng.choice(("model_config", "settings", "labels", "tokenizer"))
        content[part] = (
            odd(rng, content[part])
            if part != "tokenizer"
            else rng.choice(
                (
                    torch.zeros(0),
                    torch.zeros(3, dtype=torch.uint8),
                    torch.tensor(list(b"{}")),
                    torch.zeros(9, 9),
                    None,
                    b"x",
                )
            )
        )
    if whole:
        content["model"] = tensors
    stored = io.BytesIO()
    torch.save(content, stored, _use_new_zipfile_serialization=rng.random() < 0.9)
    data = stored.getvalue()
    if kind == 4:
        data = _deflated(rng, data)
    return data if kind < 5 and rng.random() < 0.9 else bytes_of(rng, data)


def _deflated(rng: random.Random, data: bytes) -> bytes:
    """The same zip archive with compressed members, one of which is many zeros."""
    source = io.BytesIO(data)
    if not zipfile.is_zipfile(source):
        return data
    target = io.BytesIO()
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        names = old.namelist()
        large = rng.choice(names)
        for name in names:
            new.writestr(
                name,
                bytes(rng.choice((1 << 16, 1 << 20, 1 << 24))) if name == large else old.read(name),
            )
    return target.getvalue()


def pickled(rng: random.Random, folder: Path) -> Read:
    """Read a pytorch_model.bin without the other files of its folder."""
    tensors = {"one.weight": torch.ones(3, 4), "two.bias": torch.zeros(5)}
    data = spoiled_pickle(rng, folder, tensors)
    (folder / "pytorch_model.bin").write_bytes(data)
    return lambda: _use_tensors(read_weights(folder), 10 * len(data))


def stored(rng: random.Random, folder: Path) -> Read:
    """Read a spoiled checkpoint, whose checksum is mostly right, through predict.py."""
    path = place(rng, folder, "ckpt.pt")
    data = rng.choice(checkpoints())
    if rng.random() < 0.7:
        content = torch.load(io.BytesIO(data), weights_only=True)
        data = sealed(spoiled_pickle(rng, folder, content))
    else:
        data = bytes_of(rng, data)
    path.write_bytes(data)
    pair = {"text_b": "?"} if data == checkpoints()[2] else {}
    (folder / "one.jsonl").write_text(json.dumps({"text": "a film"} | pair))
    longest = ("--max-len", 16) if rng.random() < 0.5 else ()
    return lambda: _printed(
        through("predict", "--ckpt", path, "--file", folder / "one.jsonl", *longest)
    )


def sealed(data: bytes) -> bytes:
    """`data` with the checksum that a checkpoint has in its zip comment."""
    comment = b"sha256:" + hashlib.sha256(data[:-2]).hexdigest().encode()
    return data[:-2] + struct.pack("<H", len(comment)) + comment


# ---------------------------------------------------------------- archives


SST2_NAMES = (
    "SST-2/train.tsv",
    "SST-2/dev.tsv",
    "SST-2/test.tsv",
    "SST-2/",
    "SST-2",
    "__MACOSX/._x",
    "SST-2/a/b",
)
CORPUS_NAMES = (
    "d/1.txt",
    "d/2.txt",
    "3.TXT",
    "d/4.txt.gz",
    "d/5.txt.xz",
    "d/urls_pos.txt",
    "d/wiki_00",
    "d/lines.jsonl",
    "d/table.csv",
    "d/inner.zip",
    "d/.hidden.txt",
    "d/",
)


def _member_name(rng: random.Random, folder: Path, names: tuple[str, ...]) -> str:
    kind = rng.randrange(12)
    if kind == 0:
        return rng.choice(
            (
                "../x",
                "SST-2/../../x",
                str(folder / "outside"),
                "..\\x",
                "C:\\x",
                "a/../../x",
                "/",
                "..",
                ".",
                "",
                "//x",
                "./../x",
                "a\0b",
            )
        )
    if kind == 1:
        return "SST-2/" + rng.choice(NAMES)
    if kind == 2:
        return "/".join(["d"] * rng.choice((3, 60, 1_500, 3_000))) + rng.choice(("", "/"))
    return rng.choice(names)


def _sst2_member(rng: random.Random) -> bytes:
    return rng.choice(TEXTS).encode(errors="replace")


def _corpus_member(rng: random.Random) -> bytes:
    """A text, records, or what is none of them; sometimes packed, sometimes far larger unpacked."""
    kind = rng.randrange(8)
    data = {
        0: lambda: _wikiextractor_text(rng).encode(errors="replace"),
        1: lambda: _records_text(rng, rng.choice(("lines", "array"))),
        2: lambda: b"http://x.org\n" * 3,
        3: lambda: garbage(rng),
    }.get(kind, lambda: "\n".join(rng.choices(TEXTS, k=3)).encode(errors="replace"))()
    data = b"word " * 600_000 if rng.random() < 0.01 else data
    return rng.choice(tuple(PACKERS.values()))(data) if rng.random() < 0.2 else data


def corpus_archives(rng: random.Random, folder: Path) -> Read:
    """A corpus in an archive of any name, with hostile members as in `archives`."""
    make = rng.choice((_zip, _tar))
    data = make(rng, folder, CORPUS_NAMES, _corpus_member)
    if rng.random() < 0.05:  # an archive within one
        data = _tar(rng, folder, CORPUS_NAMES, lambda rng: data)
    data = bytes_of(rng, data) if rng.random() < 0.3 else data
    pack = rng.choice(tuple(PACKERS.values())) if make is _tar else bytes
    data = pack(data)
    path = place(rng, folder, rng.choice(("corpus", "corpus.txt", "corpus.tar.gz", "corpus.zip")))
    path.write_bytes(bytes_of(rng, data) if rng.random() < 0.2 else data)
    text_files.ALWAYS_ALLOWED = 1 << 20
    return _lines_of(rng, folder, path)


def archives(rng: random.Random, folder: Path) -> Read:
    """Archives with hostile members.

    Members have names that leave the folder, are links or devices, come twice, or unpack to far
    more than their size.
    """
    ending = rng.choice((".zip", ".tar", ".tar.gz", ".tar.xz", ".tgz"))
    path = place(rng, folder, "archive" + ending)
    make = _zip if ending == ".zip" else _tar
    data = make(rng, folder, SST2_NAMES, _sst2_member)
    raw = lambda data: bytes_of(rng, data) if rng.random() < 0.3 else data
    data = raw(data)
    if ending in (".tar.gz", ".tgz"):
        data = raw(gzip.compress(data, 1))
    elif ending == ".tar.xz":
        data = raw(
            huge_dictionary(packed)
            if len(packed := PACKERS[".xz"](data)) and rng.random() < 0.1
            else packed
        )
    path.write_bytes(data)
    # The usual minimum limit on an archive's content is too much to write thousands of times.
    archives_module.ALWAYS_ALLOWED = 1 << 20
    return lambda: _printed(through("download", "sst2", "--from", path, "--to", folder / "to"))


def _zip(
    rng: random.Random, folder: Path, names: tuple[str, ...], content: Callable[..., bytes]
) -> bytes:
    stored = io.BytesIO()
    methods = (
        zipfile.ZIP_STORED,
        zipfile.ZIP_DEFLATED,
        zipfile.ZIP_DEFLATED,
        zipfile.ZIP_BZIP2,
        zipfile.ZIP_LZMA,
    )
    with warnings.catch_warnings(), zipfile.ZipFile(stored, "w") as archive:
        warnings.simplefilter("ignore")  # duplicate names
        for _ in range(rng.randrange(5)):
            name = _member_name(rng, folder, names)
            info = zipfile.ZipInfo(name.encode(errors="replace").decode())
            if rng.random() < 0.1:
                info.create_system, info.external_attr = (
                    3,
                    rng.choice(
                        (
                            stat.S_IFLNK,
                            stat.S_IFIFO,
                            stat.S_IFCHR,
                            stat.S_IFBLK,
                            stat.S_IFSOCK,
                            stat.S_IFDIR,
                        )
                    )
                    << 16,
                )
            info.compress_type = rng.choice(methods)
            data = bytes(8 << 20) if rng.random() < 0.01 else content(rng)
            archive.writestr(info, data)
        # This spoils the directory alone: the members are already written.
        for info in archive.infolist():
            if rng.random() < 0.05:
                info.file_size = rng.choice((0, 1, 1 << 40))
            if rng.random() < 0.05:
                info.flag_bits |= rng.choice((1, 0x20, 0x40, 0x800))
            if rng.random() < 0.03:
                info.header_offset = rng.choice((0, 5, 1 << 31))
    return stored.getvalue()


def _tar(
    rng: random.Random, folder: Path, names: tuple[str, ...], content: Callable[..., bytes]
) -> bytes:
    stored = io.BytesIO()
    form = rng.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    for _ in range(rng.randrange(5)):
        name = _member_name(rng, folder, names).replace("\0", "")
        info = tarfile.TarInfo(name)
        data = bytes(8 << 20) if rng.random() < 0.01 else content(rng)
        info.size = len(data)
        if rng.random() < 0.3:
            info.type = bytes([rng.choice(b"0\0001234567SLKxgXz")])
            info.linkname = rng.choice(("../../secret", "/etc", "SST-2/x", str(folder / "outside")))
        if rng.random() < 0.1:
            info.pax_headers = {
                rng.choice(
                    (
                        "size",
                        "path",
                        "linkpath",
                        "mtime",
                        "GNU.sparse.size",
                        "GNU.sparse.map",
                        "GNU.sparse.major",
                        "GNU.sparse.name",
                        "GNU.sparse.realsize",
                    )
                ): rng.choice(("1", "-1", "0", "x", "../x", "1e400", str(1 << 62), "0,1,2"))
            }
        if rng.random() < 0.1:
            info.size = rng.choice((-512, -1, 1 << 40, 1 << 62, 100))
        try:
            header = info.tobuf(form, errors="surrogateescape")
        except ValueError:  # a size or a name that this format cannot write
            header = info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")
        stored.write(header + data + bytes(-len(data) % 512))
    return stored.getvalue() + bytes(1024)


# ---------------------------------------------------------------- programs


@functools.cache
def loaded(number: int) -> Any:
    """A predictor of one of `checkpoints`."""
    with tempfile.TemporaryDirectory() as temporary:
        path = _written(Path(temporary) / "ckpt.pt", checkpoints()[number])
        return load_predictor(path)


def lines(rng: random.Random, folder: Path) -> Read:
    """The input of predict.py: texts, or JSON lines."""
    path = place(rng, folder, rng.choice(("texts.txt", "texts.jsonl")))
    texts = [rng.choice(TEXTS) for _ in range(rng.randrange(1, 5))]
    if path.suffix == ".jsonl":
        good = [
            {"text": text} if rng.random() < 0.8 else {"text": text, "text_b": rng.choice(TEXTS)}
            for text in texts
        ]
        data = b"\n".join(
            text_of(rng, one) if rng.random() < 0.3 else json.dumps(one).encode() for one in good
        )
    else:
        data = "\n".join(texts).encode(errors="replace")
    path.write_bytes(bytes_of(rng, data) if rng.random() < 0.5 else data)
    number = rng.randrange(len(checkpoints()))
    view = ("--view",) if number == 0 and rng.random() < 0.5 else ()
    # Only the code after this is fuzzed.
    program("predict").load_predictor = lambda *settings: loaded(number)

    def read() -> None:
        said = through("predict", "--ckpt", "whole", "--file", path, *view)
        assert view or all(isinstance(json.loads(line), dict) for line in said.split("\n")[:-1])
        assert not any(ord(character) < 32 and character != "\n" for character in said)

    return read


def _result(
    rng: random.Random, words: tuple[str, ...], gold: list[str], seeds: list[int]
) -> tuple[dict[str, Any], list[list[str]]]:
    """A result.json, and the predictions of each seed that it lists."""
    found = [[word if rng.random() < 0.7 else rng.choice(words) for word in gold] for _ in seeds]
    scores = [sum(map(str.__eq__, gold, one)) / len(gold) for one in found]
    counts = [[sum((x, y) == pair for pair in zip(gold, found[0])) for y in words] for x in words]
    return {
        "task": "sst2",
        "metric": "accuracy",
        "also": ["f1"],
        "labels": list(words),
        "regression": False,
        "seeds": [
            {
                "seed": seed,
                "dev": score,
                "test": None,
                "dev_metrics": {"accuracy": score, "f1": 0.5},
                "test_metrics": None,
                "dev_last_epoch": score,
                "dev_head_only": None,
                "loss": 0.5,
                "ece": 0.1,
                "collapsed": False,
                "retried": False,
            }
            for seed, score in zip(seeds, scores)
        ],
        "best_seed": seeds[0],
        "dev_mean": 0.5,
        "dev_sd": 0.1,
        "dev_median": 0.5,
        "dev_best": 0.6,
        "test_mean": None,
        "test_sd": None,
        "more": {},
        "seconds": 12.5,
        "train_examples": 100,
        "skipped_lines": 0,
        "confusion": counts,
        "calibration": [{"from": 0.5, "to": 0.6, "count": 9, "confidence": 0.55, "accuracy": 0.5}],
        "settings": {"init": "runs/a/ckpt.pt", "lr": 4e-4, "seeds": seeds},
    }, found


def comparison(rng: random.Random, folder: Path) -> Read:
    """Read two results of finetune.py, one of them spoiled, through significance.py."""
    words = ("negative", "positive") if rng.random() < 0.8 else (MARKUP, "\x1b[31m", "")
    gold, seeds = [rng.choice(words) for _ in range(12)], [1, 2]
    paths = []
    for side in "ab":
        (folder / side).mkdir()
        result, found = _result(rng, words, gold, seeds)
        if rng.random() < 0.2:
            result["metric"] = rng.choice(("f1", "macro_f1", "matthews", "pearson", "spearman"))
        rows = ["\t".join(("index", "gold", *(f"seed {seed}" for seed in seeds)))]
        rows += [
            "\t".join((str(i), word, *(one[i] for one in found))) for i, word in enumerate(gold)
        ]
        table = "\n".join(rows).encode()
        path = place(rng, folder / side, "result.json")
        path.write_bytes(
            text_of(rng, result) if rng.random() < 0.6 else json.dumps(result).encode()
        )
        if rng.random() < 0.8:
            (folder / side / "dev_predictions.tsv").write_bytes(
                bytes_of(rng, table) if rng.random() < 0.3 else table
            )
        paths.append(path)
    as_json = ("--json",) if rng.random() < 0.5 else ()
    return lambda: _printed(through("significance", *paths, "--samples", 100, *as_json))


def report(rng: random.Random, folder: Path) -> Read:
    """Read results.json, or result.json and predictions.tsv, through report.py.

    No markup from these files may reach the page.
    """
    out = folder / "to" / "report.html"
    if rng.random() < 0.5:
        path = place(rng, folder, "results.json")
        path.write_bytes(text_of(rng, comparison_of_models(rng)))
    else:
        path = place(rng, folder, "result.json")
        gold = [rng.choice(("bad", "good")) for _ in range(12)]
        result, found = _result(rng, ("bad", "good"), gold, [1, 2])
        path.write_bytes(text_of(rng, _marked(rng, result)))
        rows = ["\t".join(("split", "index", "gold", "prediction", "p(bad)", "p(good)", "text"))]
        rows += [
            "\t".join(("dev", str(i), word, found[0][i], "0.7", "0.3", rng.choice(TEXTS)))
            for i, word in enumerate(gold)
        ]
        table = "\n".join(rows).encode(errors="replace")
        (folder / "predictions.tsv").write_bytes(
            bytes_of(rng, table) if rng.random() < 0.3 else table
        )

    def read() -> None:
        through("report", path, "--out", out)
        page = out.read_text(encoding="utf-8")
        assert "<script" not in page and "<img" not in page

    return read


def curves(rng: random.Random, folder: Path) -> Read:
    """Draw two run folders of train.py through report.py, as a picture that is well-formed XML."""
    out = folder / "to" / "curves.svg"
    runs = [folder / rng.choice(("a", MARKUP.replace("/", ""), "漢字 😀")), folder / "to" / "b"]
    for run, init in zip(runs, (None, f"{runs[0]}/ckpt.pt"), strict=True):
        lines: list[dict[str, Any]] = []
        for step in (0, 300, 600):
            seconds = step * 2.0
            losses = {"mlm_loss": 5 - step / 500, "mlm_acc": 0.2, "rtd_auc": 0.6}
            lines.append({"step": step, "split": "valid", **losses, "seconds": seconds})
            lines.append({"step": step, "split": "train", "tokens": 4096, "seconds": seconds})
        run.mkdir(parents=True)
        settings = _marked(rng, {"objective": "electra", "init": init})
        config = text_of(rng, settings) if rng.random() < 0.2 else json.dumps(settings).encode()
        (run / "config.json").write_bytes(config)
        spoiled_lines = [text_of(rng, line) if rng.random() < 0.05 else b"" for line in lines]
        log = [bad or json.dumps(line).encode() for bad, line in zip(spoiled_lines, lines)]
        (run / "metrics.jsonl").write_bytes(b"\n".join(log) + b"\n")

    by = rng.choice(("minutes", "tokens"))

    def read() -> None:
        through("report", *runs, "--by", by, "--out", out)
        assert "<script" not in out.read_text(encoding="utf-8")
        ElementTree.parse(out)

    return read


def _marked(rng: random.Random, value: Any) -> Any:
    """A copy of `value` in which markup replaces some strings."""
    if isinstance(value, dict):
        return {key: _marked(rng, one) for key, one in value.items()}
    if isinstance(value, list):
        return [_marked(rng, one) for one in value]
    return MARKUP if isinstance(value, str) and rng.random() < 0.05 else value


def comparison_of_models(rng: random.Random) -> dict[str, Any]:
    """A results.json of compare_models.py."""
    curve = [
        {
            "step": step,
            "minutes": step / 10,
            "tokens": step * 4096,
            "mlm_loss": 5 - step / 500,
            "mlm_acc": 0.2,
            "rtd_auc": 0.6,
            "rtd_auc_unigram": 0.7,
        }
        for step in (0, 300, 600)
    ]
    run = {
        "name": "BERT",
        "objective": "mlm",
        "stage": "pre-training",
        "init": None,
        "command": "python train.py",
        "minutes": 60.0,
        "steps": 600,
        "tokens": 2_457_600,
        "tokens_per_s": 682.7,
        "flops": 3.1e14,
        "curve": curve,
    }
    scores = {
        "metric": "accuracy",
        "seeds": [1, 2],
        "head_dev": [0.7, 0.71],
        "dev": [0.86, 0.85],
        "test": None,
        "seconds": 61.5,
        "command": "python finetune.py",
    }
    token = {
        "original": "woman",
        "shown": "banana",
        "replaced": True,
        "masked": True,
        "p": 0.9,
        "space": True,
    }
    row = lambda name, kind: {
        "name": name,
        "kind": kind,
        "pretraining_minutes": 60.0,
        "scores": {"imdb": scores},
    }
    chain = (
        [{**run, "name": f"run {i}", "init": f"run {i - 1}"} for i in range(2_000)]
        if rng.random() < 0.01
        else []
    )
    return _marked(
        rng,
        copy.deepcopy(
            {
                "format": 1,
                "title": "A comparison",
                "date": "2026-11-23",
                "machine": "two cores",
                "command": "compare_models.py",
                "equal": {"by": "time", "text": "60 minutes each"},
                "pretraining": [
                    run,
                    {**run, "name": "post", "init": "BERT", "stage": "post-pre-training"},
                    *chain,
                ],
                "rows": [row("Floor", "reference"), row("BERT", "model"), row("post", "model")],
                "replaced_view": [
                    {"model": "BERT", "tokens": [token, {**token, "replaced": False}]}
                ],
            }
        ),
    )


READERS: dict[str, Callable[[random.Random, Path], Read]] = {
    "corpus": corpus,
    "corpus_archives": corpus_archives,
    "wikiextractor": wikiextractor,
    "records": records,
    "encodings": encodings,
    "tables": tables,
    "labels": labels,
    "imdb": imdb,
    "task_file": task_file,
    "vocabulary": vocabulary,
    "sentencepiece": sentencepiece,
    "tokenizer_folder": tokenizer_folder,
    "safetensors": safetensors,
    "pickled": pickled,
    "released": released,
    "fine_tuned": fine_tuned,
    "parts": parts,
    "checkpoint": stored,
    "archives": archives,
    "lines": lines,
    "comparison": comparison,
    "report": report,
    "curves": curves,
}
