"""SentencePiece: special ids, any text there and back, and clear refusals."""

import io
import pickle
import re
import signal
import subprocess
import sys
import time
import unicodedata

import pytest
import sentencepiece

from data.wordpieces import TEXTS
from electra.config import MASK, SPECIAL_TOKENS, UNK
from electra.data.sentencepiece import (
    LARGEST_VOCABULARY,
    PIECE_BYTES,
    SentencePieceTokenizer,
    _short_lines,
    _trainer_settings,
    train_tokenizer,
)
from electra.data.tokenizer import load_tokenizer

pytestmark = pytest.mark.fast


def nfkc(text):
    """NFKC, white space as single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def folded(text):
    return nfkc(nfkc(text).casefold())


@pytest.fixture(scope="module")
def cased(sample_path):
    return train_tokenizer(sample_path.read_text(encoding="utf-8").splitlines(), 1_000, cased=True)


@pytest.fixture
def train_with():
    """train_with(**settings) -> the bytes of a SentencePiece model."""

    def train(**settings):
        model = io.BytesIO()
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=iter(["a few words of text"] * 20),
            model_writer=model,
            vocab_size=30,
            hard_vocab_limit=False,
            minloglevel=2,
            **settings,
        )
        return model.getvalue()

    return train


def test_special_tokens_have_ids_0_to_4(tokenizer, cased):
    for each in (tokenizer, cased):
        assert (
            each.pieces(range(5))
            == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
            == list(SPECIAL_TOKENS)
        )


def test_vocabulary_has_the_wanted_size_where_the_text_allows(tokenizer):
    assert tokenizer.vocab_size == 1_000


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_comes_back_up_to_nfkc_and_case(tokenizer, text):
    ids = tokenizer.encode_batch([text])[0]
    assert folded(tokenizer.decode(ids)) == folded(text)
    assert UNK not in ids


def test_text_is_normalised_before_it_is_cut(tokenizer):
    ids = tokenizer.encode_batch(["Cafe\u0301  ΣΟΦΟΣ\tﬁ ２ THE", "caf\u00e9 σοφοσ fi 2 the"])
    assert ids[0] == ids[1] and tokenizer.decode(ids[0]) == "caf\u00e9 σοφοσ fi 2 the"


@pytest.mark.parametrize("text", TEXTS)
def test_a_cased_vocabulary_keeps_capitals(cased, text):
    assert nfkc(cased.decode(cased.encode_batch([text])[0])) == nfkc(text)


def test_text_that_spells_a_special_token_is_ordinary_text(tokenizer, cased):
    texts = [*SPECIAL_TOKENS, "a [MASK] b", "[MASK][MASK]", " [mask] ", "x[SEP]y"]
    for each in (tokenizer, cased):
        assert all(i >= len(SPECIAL_TOKENS) for ids in each.encode_batch(texts) for i in ids)


def test_decode_leaves_special_tokens_out(tokenizer):
    ids = tokenizer.encode_batch(["two words"])[0]
    assert tokenizer.decode([2, *ids, 4, 3, 0, 0]) == "two words"


def test_a_batch_is_its_texts_one_by_one(tokenizer):
    assert tokenizer.encode_batch([]) == []
    assert tokenizer.encode_batch(TEXTS) == [tokenizer.encode_batch([text])[0] for text in TEXTS]
    assert tokenizer.encode_batch(["", "   "]) == [[], []]


def test_a_small_text_gives_a_small_vocabulary(tokenizer):
    small = train_tokenizer(["the cat sat on the mat", "the dog sat on the log"] * 5, 30_522)
    assert 5 + 256 < small.vocab_size < 400
    assert small.decode(small.encode_batch(["a zebra 😀"])[0]) == "a zebra 😀"


@pytest.mark.parametrize("vocab_size", [-1, 0, 5, 261, LARGEST_VOCABULARY + 1])
def test_a_vocabulary_size_out_of_range_raises(vocab_size):
    with pytest.raises(ValueError, match=str(vocab_size)):
        train_tokenizer(["some text"] * 10, vocab_size)


def test_a_vocabulary_that_does_not_hold_the_characters_raises(sample_path):
    lines = sample_path.read_text(encoding="utf-8").splitlines()
    with pytest.raises(ValueError, match="--vocab-size 262 is too small") as caught:
        train_tokenizer(lines, 262)
    said = str(caught.value)
    assert "\n" not in said and "required_chars" not in said
    enough = int(re.search(r"give --vocab-size (\d+) or more", said)[1])
    assert train_tokenizer(lines, enough).vocab_size == enough


@pytest.mark.parametrize("lines", [[], [""], ["", "  ", "\t"]])
def test_text_without_a_character_raises(lines):
    with pytest.raises(ValueError, match="can be trained: the text has no character"):
        train_tokenizer(lines, 1_000)


def test_training_twice_gives_the_same_model(sample_path, tokenizer):
    again = train_tokenizer(sample_path.read_text(encoding="utf-8").splitlines(), 1_000)
    assert again.to_bytes() == tokenizer.to_bytes() and again.fingerprint == tokenizer.fingerprint


def test_the_child_process_trains_what_a_call_does():
    lines = ["a\nline of two", "line ends\r\n", "日本語 テキスト", "naïve café"] * 20
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.Train(
        sentence_iterator=iter(lines), model_writer=model, **_trainer_settings(400, True)
    )
    assert train_tokenizer(lines, 400, cased=True).to_bytes() == model.getvalue()


@pytest.fixture
def children(monkeypatch, tmp_path):
    """children(script) -> the child processes of trainings, which run a shell script instead."""
    started, popen = [], subprocess.Popen

    def start(*arguments, **settings):
        started.append(popen(*arguments, **settings))
        return started[-1]

    def run(script):
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        monkeypatch.setattr(subprocess, "Popen", start)
        return started

    return run


def test_ctrl_c_ends_the_training_at_once(children):
    started = children("exec sleep 60")
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    began = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            train_tokenizer(["some text"] * 10, 400)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert time.monotonic() < began + 20
    assert [child.poll() for child in started] == [-signal.SIGKILL]


@pytest.mark.parametrize("problem", (ValueError("cannot read a.txt"), KeyboardInterrupt()))
def test_what_stops_the_reading_ends_the_child_and_comes_through(problem, children):
    def lines():
        yield "some text"
        raise problem

    started = children("exec sleep 60")
    with pytest.raises(type(problem)) as caught:
        train_tokenizer(lines(), 400)
    assert caught.value is problem
    assert [child.poll() for child in started] == [-signal.SIGKILL]


@pytest.mark.parametrize("lines", (10, 100_000))  # it ends after, or while it is sent its work
def test_a_training_that_is_killed_is_one_line(lines, children):
    children("kill -9 $$")
    with pytest.raises(ValueError, match="ended with code -9; is there enough memory"):
        train_tokenizer(["some text"] * lines, 400)


def test_pickling_keeps_everything(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.fingerprint == tokenizer.fingerprint and copy.to_bytes() == tokenizer.to_bytes()
    assert copy.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


def test_fingerprints_differ_between_tokenizers(tokenizer, cased):
    assert tokenizer.fingerprint != cased.fingerprint


def test_a_file_is_read_and_a_bad_one_refused_by_name(tokenizer, tmp_path):
    good, bad, empty = tmp_path / "good.model", tmp_path / "bad.model", tmp_path / "empty.model"
    good.write_bytes(tokenizer.to_bytes())
    bad.write_bytes(b"this is not a model" * 50)
    empty.write_bytes(b"")
    assert load_tokenizer(good).fingerprint == tokenizer.fingerprint
    for path in (bad, empty, tmp_path / "missing.model", tmp_path):
        with pytest.raises(ValueError, match=str(path)):
            load_tokenizer(path)


def test_another_set_of_special_tokens_is_refused(train_with):
    with pytest.raises(ValueError, match="<unk>"):
        SentencePieceTokenizer(train_with())
    swapped = {
        "pad_id": 1,
        "unk_id": 0,
        "bos_id": 2,
        "eos_id": 3,
        "pad_piece": "[PAD]",
        "unk_piece": "[UNK]",
        "bos_piece": "[CLS]",
        "eos_piece": "[SEP]",
        "control_symbols": ["[MASK]"],
    }
    with pytest.raises(ValueError, match=r"\[UNK\] \[PAD\]"):
        SentencePieceTokenizer(train_with(**swapped))
    right = SentencePieceTokenizer(train_with(**{**swapped, "pad_id": 0, "unk_id": 1}))
    assert right.pieces([MASK]) == ["[MASK]"]


def test_long_lines_are_cut_at_spaces_and_nothing_is_lost():
    words = "wörter " * 2_000
    pieces = list(_short_lines([words, "short", "é" * 5_000]))
    assert all(0 < len(piece.encode()) <= PIECE_BYTES for piece in pieces)
    assert "".join(pieces).replace(" ", "") == (words + "short" + "é" * 5_000).replace(" ", "")
    assert {word for piece in pieces[:-3] for word in piece.split()} == {"wörter", "short"}
