"""Telling what a file of a corpus is, by its first bytes; and refusing what is not text.

To add a format: a kind here, and a reader of it in `raw_text.READERS`.
"""

from __future__ import annotations

import json
import re
import shlex
import tarfile
from pathlib import Path

from electra.data.text_files import HEAD, ZIP_SIGNATURES, TextFile, packing_of, refuse_nul

# The kinds of files, each with a reader in `raw_text.READERS`.
TEXT, DOCUMENT, WIKIEXTRACTOR = "text", "document", "wikiextractor"
JSON_LINES, JSON_ARRAY, CSV = "json lines", "json array", "csv"
TAR, ZIP = "tar", "zip"

WIKI_DOCUMENT = re.compile(r"<doc id=\".*\">")  # the line with which WikiExtractor opens one
OBJECT_START = re.compile(r'\{\s*("(?:[^"\\]|\\.)*"\s*:|\})')
ARRAY_START = re.compile(r"\[\s*" + OBJECT_START.pattern)
MARKUP_START = re.compile(r"<\?xml|<!doctype html|<html", re.IGNORECASE)
NUL_SHARE = 0.01  # a file whose beginning has more NUL bytes is not text, whatever --errors says

CONTROL = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\x80-\xff]")  # what words do not begin with
# First bytes of formats that are not text, as a message names them. Those that could begin a text,
# such as ORC, count where a byte of `CONTROL` is near.
SIGNATURES = {
    b"PAR1": "a Parquet file",
    b"ARROW1": "an Arrow file",
    b"\xff\xff\xff\xff": "an Arrow stream",  # as the library datasets saves it
    b"%PDF-": "a PDF",
    b"SQLite format 3\0": "an SQLite database",
    b"\x7fELF": "a program (ELF)",
    b"\x89PNG": "an image (PNG)",
    b"\xff\xd8\xff": "an image (JPEG)",
    b"GIF8": "an image (GIF)",
    b"RIFF": "an image, sound or film (RIFF)",
    b"\x80\2": "a Python pickle",
    b"\x80\3": "a Python pickle",
    b"\x80\4\x95": "a Python pickle",
    b"\x80\5\x95": "a Python pickle",
    b"\x93NUMPY": "a NumPy array",
    b"\x89HDF": "an HDF5 file",
    b"Obj\1": "an Avro file",
    b"ORC": "an ORC file",
    b"\xd0\xcf\x11\xe0": "an old Office document",
    b"{\\rtf": "an RTF document",
    b"%!PS": "a PostScript document",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"\x04\x22\x4d\x18": "packed with lz4",
    b"\x1f\x9d": "packed with compress",
}
TEXTUAL_SIGNATURES = (b"%PDF-", b"{\\rtf", b"%!PS")
# Module of pyarrow, and what its `p` reads part by part.
COLUMNS_READERS = {
    "a Parquet file": ("pyarrow.parquet", "p.ParquetFile(sys.argv[1]).iter_batches()"),
    "an Arrow file": ("pyarrow.ipc", "p.open_file(sys.argv[1]).read_all().to_batches()"),
    "an Arrow stream": ("pyarrow.ipc", "p.open_stream(sys.argv[1]).read_all().to_batches()"),
}
ADVICE = {
    "archive": "; unpack it, or pack its texts as .tar.gz or .zip",
    "packed": "; unpack it, or pack it as .gz, .xz or .bz2",
    "document": "; save it as plain text",
    "PDF": "; turn it into plain text, as by pdftotext",
}


def kind_of(text: TextFile) -> str:
    """The kind of a file or member that is open. Raises ValueError for what is not text."""
    head = text.head
    if head.startswith(ZIP_SIGNATURES):
        return ZIP
    if is_tar(head):
        return TAR
    _refuse_binary(text)

    if text.ending in (".csv", ".tsv") and not text.is_document:
        return CSV
    start = text.start
    if start.startswith("<doc") and WIKI_DOCUMENT.fullmatch(start.split("\n", 1)[0].rstrip()):
        return WIKIEXTRACTOR
    if ARRAY_START.match(start) or (text.ending == ".json" and start.startswith("[")):
        return JSON_ARRAY
    if text.ending in (".jsonl", ".json") or is_json_lines(start, len(head) < HEAD):
        return JSON_LINES
    return DOCUMENT if text.is_document else TEXT


def is_tar(head: bytes) -> bool:
    """Whether a file begins with the header of a tar archive, whose checksum is right."""
    block = head[: tarfile.BLOCKSIZE]
    if b"\0" not in block:
        return False
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return False
    return True


def is_json_lines(start: str, whole: bool) -> bool:
    """Whether a text that begins so, without white space before it, is JSON lines.

    Its first two lines are objects. Only the beginning is asked of a line that is longer than
    `start`. whole: `start` is all of the text.
    """
    if not OBJECT_START.match(start):
        return False
    lines = [line for line in start.split("\n") if line.strip()]
    if not whole and not start.endswith("\n"):
        lines[-1:] = [] if OBJECT_START.match(lines[-1]) else ["no object"]
    return all(map(_is_object, lines[:2]))


def _is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def is_markup(text: TextFile) -> bool:
    """Whether a text begins like HTML or XML."""
    return bool(MARKUP_START.match(text.start))


def _refuse_binary(text: TextFile) -> None:
    """Raises ValueError for a file that is plainly not text, with what it looks like."""
    head = text.head
    looks_like = "packed twice" if packing_of(head) else ""
    if head.startswith(tuple(SIGNATURES)):
        looks_like = next(name for sign, name in SIGNATURES.items() if head.startswith(sign))
    if looks_like and (head.startswith(TEXTUAL_SIGNATURES) or CONTROL.search(head[:1_000])):
        advice = next((said for word, said in ADVICE.items() if word in looks_like), "")
        if looks_like in COLUMNS_READERS:
            advice = "; turn it into JSON lines: " + _to_json_lines(text.path, looks_like)
        raise ValueError(f"{text.name} is not text but {looks_like}{advice}")

    if text.start.startswith("<mediawiki"):
        raise ValueError(
            f"{text.name} is a dump of MediaWiki; WikiExtractor makes text of it, which can be read"
        )
    if text.encoding == "utf-8" and head.count(0) > NUL_SHARE * len(head):
        refuse_nul(text, head.index(0))


def _to_json_lines(path: Path, looks_like: str) -> str:
    """The command that turns a Parquet or an Arrow file into JSON lines."""
    module, parts = COLUMNS_READERS[looks_like]
    code = (
        f"import json, sys, {module} as p; [print(json.dumps(row, default=str)) "
        f"for part in {parts} for row in part.to_pylist()]"
    )
    return f'python -c "{code}" {shlex.quote(str(path))} > {shlex.quote(path.stem)}.jsonl'
