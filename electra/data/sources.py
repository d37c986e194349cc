"""The files of a corpus, which is given as files, folders and globs; and what was read of it.

The names of a folder's files say which of them are text. Members of an archive follow the same
rules (`archives.py` beside this file).
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn

_PACKED = r"(\.gz|\.xz|\.bz2)?"
# What a folder or an archive stands for: its files of the first kind; without any, of the second.
WANTED_NAMES = (
    re.compile(r".+\.txt" + _PACKED, re.IGNORECASE),
    re.compile(r"(.+\.(jsonl|raw|tokens)|wiki_[0-9]+)" + _PACKED, re.IGNORECASE),
)
ADDRESSES_NAME = re.compile(r"urls_.*\.txt")  # of aclImdb: the address of each review's film
ARCHIVE_NAME = re.compile(r".+\.(zip|tar|tgz|tbz2?|txz|tar\.[a-z0-9]+)", re.IGNORECASE)
MACOS_FOLDER = "__MACOSX"  # what the macOS archiver adds

# Why something was left out.
HIDDEN = "hidden"
OTHER_KIND = "of another kind"
ADDRESSES = "of addresses only (urls_*.txt)"
NESTED = "archives"
LINKS = "links or devices"


class MissingCorpusError(ValueError):
    """Nothing has the name of a corpus."""


class Source(NamedTuple):
    """One file of a corpus."""

    path: Path
    is_document: bool  # a .txt of a folder: it is one document unless it holds records
    size: int  # bytes
    mtime_ns: int


@dataclass
class ReadingReport:
    """What was read of a corpus, and what was not. Reading adds to it."""

    files: int = 0  # files that were read; of an archive, its members
    text_bytes: int = 0  # unpacked
    left_out: Counter[str] = field(default_factory=Counter)  # how many files by the reason
    undivided: int = 0  # files of many lines that were named and are one document
    markup: int = 0  # files that begin like HTML or XML
    # Bytes of the corpus's files that are behind, for a progress bar.
    finished_bytes: int = 0
    position: Callable[[], int] = int  # in the file that is open

    @property
    def bytes_done(self) -> int:
        """Bytes of the files, packed as they are, that were read."""
        return self.finished_bytes + self.position()


def find_sources(patterns: tuple[str, ...], report: ReadingReport | None = None) -> list[Source]:
    """The files of a corpus that is given as files, folders and globs.

    The files of one pattern are sorted; the patterns keep their order. A folder stands for the
    .txt files in it, however deep, packed or not; one without any for its .jsonl files, WikiText
    (.raw, .tokens) and the wiki_00, wiki_01, ... of WikiExtractor. What else is in it goes into
    the report.

    Raises ValueError naming what is missing or cannot be read.
    """
    report = report or ReadingReport()
    sources = []
    for pattern in patterns:
        if not pattern:  # as of an empty variable of the shell; Path("") is the working folder
            raise MissingCorpusError("the name of a file, folder or glob is empty")
        paths = [Path(pattern)]
        if not paths[0].exists():
            paths = [Path(path) for path in sorted(glob.glob(pattern, recursive=True))]
        if not paths:
            raise MissingCorpusError(f"no such corpus: {pattern}")
        for path in paths:
            folder = path.is_dir()
            sources += _sources_of_folder(path, report) if folder else [_source(path, False)]
    return sources


def left_out_lines(left_out: Mapping[str, int], name: str) -> list[str]:
    """A line that says how many files were left out by the reason; no line where none was.

    name: of the setting that named the files.
    """
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in left_out.items() if count)
    return [f"{name}: left out: {reasons}"] if reasons else []


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden."""
    return name.startswith(".") or name == MACOS_FOLDER


def why_left_out(name: str, wanted: re.Pattern[str]) -> str:
    """Why a file of this name, of a folder or an archive, is not read; empty where it is."""
    if wanted.fullmatch(name):
        return ""
    return NESTED if ARCHIVE_NAME.fullmatch(name) else OTHER_KIND


def _sources_of_folder(folder: Path, report: ReadingReport) -> list[Source]:
    found: list[Path] = []
    for root, folders, names in os.walk(folder, onerror=_cannot_list):
        hidden = [name for name in folders if is_hidden(name)]
        folders[:] = [name for name in folders if name not in hidden]
        visible = [name for name in names if not is_hidden(name)]
        report.left_out[HIDDEN] += len(hidden) + len(names) - len(visible)
        found += [Path(root, name) for name in visible]

    for wanted in WANTED_NAMES:
        paths = sorted(path for path in found if wanted.fullmatch(path.name))
        if paths:
            report.left_out.update(filter(None, (why_left_out(p.name, wanted) for p in found)))
            return [_source(path, wanted is WANTED_NAMES[0]) for path in paths]
    raise ValueError(
        f"the folder {folder} has no .txt file, nor .jsonl, .raw or wiki_00; name the files "
        f"themselves, or a glob"
    )


def _cannot_list(problem: OSError) -> NoReturn:
    raise ValueError(f"cannot read the folder {problem.filename}: {problem.strerror}") from None


def _source(path: Path, is_document: bool) -> Source:
    try:
        facts = path.stat()
        if not stat.S_ISREG(facts.st_mode):  # a pipe would be waited for, a device never ends
            raise ValueError(f"cannot read {path}: not a file")
        if not os.access(path, os.R_OK):
            raise PermissionError(13, "permission denied")
    except OSError as problem:
        raise ValueError(f"cannot read {path}: {problem.strerror}") from None
    return Source(path, is_document, facts.st_size, facts.st_mtime_ns)
