"""What a run says about its corpus, and when a resume takes it for the same."""

import numpy as np
import pytest
from data.corpora import store_of, write

from electra.checkpoint.checkpoint import TrainingState
from electra.config import SPECIAL_TOKENS
from electra.data.wordpiece import WordPieceTokenizer
from electra.training.pretraining_corpus import check_same_text, describe
from electra.training.pretraining_run import Corpus

pytestmark = pytest.mark.fast


def said_of(tokenizer, tmp_path, path):
    return describe(store_of(tokenizer, tmp_path / "cache", path), tokenizer, "corpus")


def test_files_documents_bytes_and_what_is_left_out_are_said(tmp_path, tokenizer):
    write(tmp_path / "d" / "a.txt", "The cat sat. " * 100_000)
    write(tmp_path / "d" / "b.txt", "It slept.")
    write(tmp_path / "d" / ".hidden.txt", "no")
    write(tmp_path / "d" / "c.csv", "no")
    first, second = said_of(tokenizer, tmp_path, tmp_path / "d")
    assert (
        first
        == "corpus: 2 files, 2 documents, 1.3 MB of text; 0.00% of the tokens are single bytes"
    )
    assert second == "corpus: left out: 1 hidden, 1 of another kind"


@pytest.mark.parametrize("words, warned", [(400, False), (40, True)])
def test_a_share_of_single_bytes_above_two_percent_is_warned_of(tmp_path, tokenizer, words, warned):
    """The Klingon character is three bytes, which the tokenizer has no piece for."""
    path = write(tmp_path / "a.txt", "the " * words + "\uf8d0")
    store = store_of(tokenizer, tmp_path / "cache", path)
    share = 3 / len(store.tokens)
    lines = describe(store, tokenizer, "corpus")
    assert f"{share:.2%} of the tokens are single bytes" in lines[0]
    assert [line.startswith(f"warning: {share:.0%} of the") for line in lines[1:]] == [
        True
    ] * warned


def test_of_a_wordpiece_tokenizer_unknown_words_are_counted(tmp_path):
    tokenizer = WordPieceTokenizer([*SPECIAL_TOKENS, "the"])
    path = write(tmp_path / "a.txt", "the the the \u0416")
    first, second = said_of(tokenizer, tmp_path, path)
    assert "25.00% of the tokens are [UNK]" in first and "25% of the tokens are [UNK]" in second


def test_many_lines_that_make_one_document_are_warned_of(tmp_path, tokenizer):
    lines = "a line\n" * 1_001
    match = "warning: 1 file of many lines without a blank line between documents"
    assert said_of(tokenizer, tmp_path, write(tmp_path / "a.txt", lines))[1].startswith(match)
    for other in (lines[7:], lines + "\nanother\n"):
        assert len(said_of(tokenizer, tmp_path, write(tmp_path / "b.txt", other))) == 1
    write(tmp_path / "folder" / "a.txt", lines)  # there a file is a document
    assert len(said_of(tokenizer, tmp_path, tmp_path / "folder")) == 1


@pytest.mark.parametrize(
    "start", ["<!DOCTYPE html>", "\n<html lang='en'>", "<?xml version='1.0'?>"]
)
def test_markup_is_warned_of(tmp_path, tokenizer, start):
    path = write(tmp_path / "a.txt", start + "\n<p>the cat</p>\n" + "the cat sat. " * 99)
    assert said_of(tokenizer, tmp_path, path)[1].startswith("warning: HTML or XML in 1 file")


def corpus_of(tokens, **fingerprints):
    return Corpus(None, None, tokens, fingerprints, np.zeros(0))


@pytest.mark.parametrize(
    "tokens, before, now, match",
    [
        (9, {"corpus": "a"}, {"corpus": "b"}, "corpus has changed .*: 9 tokens, not 8;"),
        (9, {}, {"corpus": "b"}, "corpus has changed .*: 9 tokens, not 8, or an earlier version"),
        (8, {"corpus": "a"}, {"corpus": "b"}, "corpus has changed .*: as many tokens"),
        (
            8,
            {"corpus": "a", "valid": "a"},
            {"corpus": "a", "valid": "b"},
            "held-out text has changed",
        ),
        (8, {"corpus": "a", "valid": "a"}, {"corpus": "a"}, "held-out text has"),
        (8, {"corpus": "a"}, {"corpus": "a", "valid": "b"}, "held-out text has"),
    ],
)
def test_another_text_is_refused(tokens, before, now, match):
    training = TrainingState(corpus_tokens=8, fingerprints=before)
    with pytest.raises(ValueError, match=match):
        check_same_text(training, corpus_of(tokens, **now))


@pytest.mark.parametrize("before", [{}, {"corpus": "a", "valid": "b"}])
def test_the_same_text_is_taken(before):
    check_same_text(
        TrainingState(corpus_tokens=8, fingerprints=before), corpus_of(8, corpus="a", valid="b")
    )
