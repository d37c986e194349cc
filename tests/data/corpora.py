"""Corpora on disk and what is read of them, for the tests of raw text, stores and caches."""

import bz2
import gzip
import lzma
from itertools import pairwise

import numpy as np
import pytest

from electra.data.raw_text import read_lines
from electra.data.sources import find_sources
from electra.data.token_store import TokenStore, open_store

PACKERS = {".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress}


def write(path, content):
    """The path, with this content in the file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


def documents(*patterns, errors="strict", text_field=None):
    """Lines of the documents of a corpus, as lists of texts."""
    found = []
    for source in find_sources(tuple(map(str, patterns))):
        for line in read_lines(source, errors, text_field):
            if line.opens:
                found.append([])
            found[-1].append(line.text)
    return found


def refused(match, *patterns, errors="strict", text_field=None):
    """Reading the corpus raises a ValueError of one line that matches."""
    with pytest.raises(ValueError, match=match) as caught:
        documents(*patterns, errors=errors, text_field=text_field)
    assert "\n" not in str(caught.value)


def store_of(tokenizer, cache, *patterns, workers=1, errors="strict"):
    return open_store(tuple(map(str, patterns)), tokenizer, errors, str(cache), workers)


def decoded(store, tokenizer):
    """Documents of a store as lists of lines of text."""
    lines = [tokenizer.decode(store.tokens[a:b].tolist()) for a, b in pairwise(store.lines)]
    return [lines[a:b] for a, b in pairwise(store.documents)]


def same(a, b):
    """Whether two stores have the same arrays, and were made from the same text."""
    return a.summary.fingerprint == b.summary.fingerprint and all(
        np.array_equal(x, y) and x.dtype == y.dtype for x, y in zip(a[:-1], b[:-1], strict=True)
    )


def in_memory(store):
    """A store that does not change with its files."""
    return TokenStore(*(np.array(array) for array in store[:-1]), store.summary)


def facts_of(folder):
    """{file: (time of its last change, inode)} of a folder."""
    return {
        path: (path.stat().st_mtime_ns, path.stat().st_ino)
        for path in folder.rglob("*")
        if path.is_file()
    }


def flip(path, at):
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


# Documents as lists of lines.
PAGES = [
    ["= One =", "The cat sat. It slept! Was it well?", "A new line"],
    ["= Two =", 'He said "no." Then left.'],
    ["= Three =", "version 2.0 e.g. this… and that", "日本語。 😀 ok."],
]
