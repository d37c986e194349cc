"""The token store: what is in it, that it is made once, and that damage is noticed."""

import json
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

from data.corpora import PAGES, decoded, documents, facts_of, flip, in_memory, same, store_of, write
from electra.data import encode_corpus, token_store
from electra.data.token_cache import corpus_tokenizer, token_dtype


@pytest.mark.fast
def test_store_has_the_ids_of_whole_lines_in_order(tmp_path, tokenizer, pages):
    store = store_of(tokenizer, tmp_path / "cache", pages)
    lines = [line for page in PAGES for line in page]
    expected = [token for ids in tokenizer.encode_batch(lines) for token in ids]
    assert store.tokens.tolist() == expected
    assert store.tokens.dtype == np.uint16
    assert store.unigram.tolist() == [expected.count(i) for i in range(tokenizer.vocab_size)]


@pytest.mark.fast
def test_store_of_the_sample_has_the_ids_of_whole_lines(tmp_path, tokenizer, sample_path):
    store = store_of(tokenizer, tmp_path / "cache", sample_path)
    lines = [line for page in documents(sample_path) for line in page]
    assert store.tokens.tolist() == [
        token for ids in tokenizer.encode_batch(lines) for token in ids
    ]
    assert len(store.documents) - 1 == sum(
        line.startswith("= ") and not line.startswith("= =") for line in lines
    )


@pytest.mark.fast
def test_lines_of_a_store_are_sentences(tmp_path, tokenizer, pages):
    store = store_of(tokenizer, tmp_path / "cache", pages)
    assert decoded(store, tokenizer) == [
        ["= one =", "the cat sat.", "it slept!", "was it well?", "a new line"],
        ["= two =", 'he said "no."', "then left."],
        ["= three =", "version 2.0 e.g.", "this...", "and that", "日本語。 😀 ok."],
    ]
    assert store.lines[0] == store.documents[0] == 0
    assert store.lines[-1] == len(store.tokens) and store.documents[-1] == len(store.lines) - 1


@pytest.mark.fast
def test_a_document_whose_first_lines_have_no_tokens_stays_apart(tmp_path, tokenizer, monkeypatch):
    path = write(
        tmp_path / "a.txt", "one\n\n\u200b\n\u200b\ntwo\n\n\u200b\n\nthree\n\u200b\nfour\n\n\u200b"
    )
    expected = [["one"], ["two"], ["three", "four"]]
    assert decoded(store_of(tokenizer, tmp_path / "whole", path), tokenizer) == expected
    monkeypatch.setattr(encode_corpus, "CHUNK_CHARACTERS", 1)  # every line a chunk of its own
    assert decoded(store_of(tokenizer, tmp_path / "chunks", path), tokenizer) == expected


@pytest.mark.fast
@pytest.mark.parametrize("characters", [1, 40, 1_000])
def test_the_store_does_not_depend_on_the_size_of_chunks(
    tmp_path, tokenizer, pages, monkeypatch, characters
):
    one = store_of(tokenizer, tmp_path / "one", pages)
    monkeypatch.setattr(encode_corpus, "CHUNK_CHARACTERS", characters)
    assert same(one, store_of(tokenizer, tmp_path / "many", pages))


def test_two_processes_make_the_store_of_one(tmp_path, tokenizer, sample_path, monkeypatch):
    monkeypatch.setattr(encode_corpus, "CHUNK_CHARACTERS", 5_000)
    assert same(
        store_of(tokenizer, tmp_path / "one", sample_path, workers=1),
        store_of(tokenizer, tmp_path / "two", sample_path, workers=2),
    )


def test_ctrl_c_leaves_no_worker_and_no_half_store(tmp_path, tokenizer, sample_path, monkeypatch):
    def interrupt(chunks):
        next(chunks)
        assert multiprocessing.active_children()
        raise KeyboardInterrupt

    monkeypatch.setattr(encode_corpus, "CHUNK_CHARACTERS", 5_000)
    monkeypatch.setattr(
        token_store, "_write_arrays", lambda folder, chunks, vocab_size: interrupt(chunks)
    )
    with pytest.raises(KeyboardInterrupt):
        store_of(tokenizer, tmp_path / "cache", sample_path, workers=2)
    assert multiprocessing.active_children() == []
    assert list((tmp_path / "cache").iterdir()) == []


def test_processes_that_die_at_their_start_are_not_waited_for(tmp_path):
    """As those of a script that does not ask whether it is "__main__": each runs it again."""
    script = tmp_path / "script.py"
    script.write_text(
        "from electra.data import encode_corpus\n"
        "from electra.data.waiting import Waiting\n"
        "encode_corpus.read_chunks = lambda *rest: iter([[]])\n"
        "tokenizer = 'x' * 1_000_000\n"  # more than a pipe holds
        "list(encode_corpus.encode_corpus([], tokenizer, None, 2, Waiting('x')))\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1 and "if __name__ == '__main__'" in done.stderr
    assert "a process that encodes the text was killed" in done.stderr.splitlines()[-1]


@pytest.mark.fast
def test_ids_have_16_bits_where_the_vocabulary_fits():
    assert (token_dtype(65_536), token_dtype(65_537)) == (np.uint16, np.uint32)


@pytest.mark.fast
def test_a_store_is_made_once(tmp_path, tokenizer, pages):
    first = store_of(tokenizer, tmp_path / "cache", pages)
    before = facts_of(tmp_path / "cache")
    assert len(before) == 6  # tokens, lines, documents, unigram, summary, meta
    assert same(first, store_of(tokenizer, tmp_path / "cache", pages))
    assert facts_of(tmp_path / "cache") == before


@pytest.mark.fast
def test_a_changed_source_or_tokenizer_makes_another_store(tmp_path, tokenizer, pages):
    cache = tmp_path / "cache"
    store_of(tokenizer, cache, pages)
    content = pages.read_bytes()
    facts = pages.stat()
    write(pages, content.replace(b"cat", b"dog"))  # of the same size
    os.utime(pages, ns=(facts.st_atime_ns, facts.st_mtime_ns + 1))
    assert "the dog sat." in decoded(store_of(tokenizer, cache, pages), tokenizer)[0]
    other = corpus_tokenizer((str(pages),), 300, False, "strict", str(cache))
    assert decoded(store_of(other, cache, pages), other)[0][1] == "the dog sat."
    assert len(list(cache.glob("tokens-*"))) == 3


@pytest.mark.fast
def test_a_store_that_another_run_made_meanwhile_is_used(
    tmp_path, tokenizer, pages, monkeypatch, capsys
):
    """The store is missing at first; the other run ends before this one begins to write."""
    find, made = token_store.find_corruption, []

    def find_after_another_run(folder, identity):
        problem = find(folder, identity)
        if not made:
            made.append(0)
            store_of(tokenizer, tmp_path / "cache", pages)
            made[0] = folder.stat().st_ino
        return problem

    monkeypatch.setattr(token_store, "find_corruption", find_after_another_run)
    store = store_of(tokenizer, tmp_path / "cache", pages)
    [folder] = (tmp_path / "cache").iterdir()  # and nothing else
    assert folder.stat().st_ino == made[0] and capsys.readouterr().out == ""
    assert same(store, store_of(tokenizer, tmp_path / "alone", pages))


@pytest.mark.fast
@pytest.mark.parametrize(
    "name", ["tokens.bin", "lines.bin", "documents.bin", "unigram.bin", "meta.json"]
)
@pytest.mark.parametrize("damage", ["cut", "gone"])
def test_a_store_that_is_not_whole_is_made_again(tmp_path, tokenizer, pages, name, damage):
    cache = tmp_path / "cache"
    expected = in_memory(store_of(tokenizer, cache, pages))
    [path] = cache.glob(f"tokens-*/{name}")
    path.write_bytes(path.read_bytes()[:-8]) if damage == "cut" else path.unlink()
    assert same(expected, store_of(tokenizer, cache, pages))


@pytest.mark.fast
@pytest.mark.parametrize("name", ["tokens.bin", "lines.bin", "documents.bin", "unigram.bin"])
def test_one_changed_byte_of_a_store_is_noticed(tmp_path, tokenizer, pages, name, capsys):
    cache = tmp_path / "cache"
    expected = in_memory(store_of(tokenizer, cache, pages))
    [path] = cache.glob(f"tokens-*/{name}")
    size = path.stat().st_size
    for at in (0, size // 2, size - 1):
        flip(path, at)
        assert same(expected, store_of(tokenizer, cache, pages))
        problem = f"is damaged (the checksum of {name} is wrong); making it again"
        assert capsys.readouterr().out == f"the token store {path.parent} {problem}\n"
    store_of(tokenizer, cache, pages)
    assert capsys.readouterr().out == ""


@pytest.mark.fast
def test_one_changed_byte_of_the_metadata_does_no_harm(tmp_path, tokenizer, pages):
    cache = tmp_path / "cache"
    expected = in_memory(store_of(tokenizer, cache, pages))
    [path] = cache.glob("tokens-*/meta.json")
    for at in range(0, path.stat().st_size, 7):
        flip(path, at)
        assert same(expected, store_of(tokenizer, cache, pages))


@pytest.mark.fast
def test_a_store_without_checksums_is_made_again(tmp_path, tokenizer, pages, capsys):
    store_of(tokenizer, tmp_path, pages)
    [path] = tmp_path.glob("tokens-*/meta.json")
    meta = json.loads(path.read_text())
    del meta["crc32"]
    path.write_text(json.dumps(meta))
    store_of(tokenizer, tmp_path, pages)
    assert "without checksums" in capsys.readouterr().out and "crc32" in json.loads(
        path.read_text()
    )


@pytest.mark.fast
def test_a_half_written_store_is_never_used(tmp_path, tokenizer, pages, monkeypatch):
    """A killed run leaves a folder with the temporary name; one that fails leaves nothing."""
    cache = tmp_path / "cache"
    expected = store_of(tokenizer, cache, pages)
    [folder] = cache.iterdir()
    leftover = cache / f".{folder.name}.{os.getpid()}"
    folder.rename(leftover)
    (leftover / "tokens.bin").write_bytes(bytes(2 * len(expected.tokens)))
    expected = store_of(tokenizer, tmp_path / "elsewhere", pages)
    assert same(expected, store_of(tokenizer, cache, pages))
    assert [path.name for path in cache.iterdir()] == [folder.name]

    bad = write(tmp_path / "bad.txt", b"good words\n" * 50 + b"\xff")
    monkeypatch.setattr(encode_corpus, "CHUNK_CHARACTERS", 100)
    with pytest.raises(ValueError, match="offset 550"):
        store_of(tokenizer, cache, bad)
    assert [path.name for path in cache.iterdir()] == [folder.name]
