"""WordPiece tokenizers as bytes, pickles and vocabulary files."""

import itertools
import pickle
import re

import pytest

from data.wordpieces import HAND_PICKED, SWITCHES, specials_and
from electra.config import SPECIAL_TOKENS, SpecialIds
from electra.data.tokenizer import load_tokenizer, tokenizer_from_bytes
from electra.data.wordpiece import WordPieceTokenizer

pytestmark = pytest.mark.fast

# A tokenizer file with the special tokens alone, up to its next key.
SPECIAL_ONLY = b'{"type": "wordpiece", "tokens": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]'


def test_pickling_a_wordpiece_tokenizer_keeps_everything(wordpiece):
    for lower_case, strip_accents in SWITCHES:
        tokenizer = wordpiece(
            lower_case=lower_case, strip_accents=strip_accents, split_chinese=lower_case
        )
        copy = pickle.loads(pickle.dumps(tokenizer))
        assert (copy.fingerprint, copy.special, copy.tokens) == (
            tokenizer.fingerprint,
            tokenizer.special,
            tokenizer.tokens,
        )
        assert copy.encode_batch(HAND_PICKED) == tokenizer.encode_batch(HAND_PICKED)


def test_a_wordpiece_tokenizer_comes_back_from_its_bytes(wordpiece, tmp_path):
    for lower_case, strip_accents in SWITCHES:
        tokenizer = wordpiece(
            lower_case=lower_case, strip_accents=strip_accents, split_chinese=strip_accents
        )
        (tmp_path / "tokenizer.model").write_bytes(tokenizer.to_bytes())  # as in a run folder
        for copy in (
            tokenizer_from_bytes(tokenizer.to_bytes()),
            load_tokenizer(tmp_path / "tokenizer.model"),
        ):
            assert copy.to_bytes() == tokenizer.to_bytes() and copy.special == (
                0,
                100,
                101,
                102,
                103,
            )
            assert copy.encode_batch(HAND_PICKED) == tokenizer.encode_batch(HAND_PICKED)
            assert (copy.lower_case, copy.strip_accents) == (lower_case, strip_accents)
            assert copy.split_chinese == strip_accents


def test_fingerprints_differ_between_switches_and_vocabularies(vocabulary):
    found = [
        WordPieceTokenizer(vocabulary, *on) for on in itertools.product((True, False), repeat=3)
    ]
    found += [
        WordPieceTokenizer(tokens)
        for tokens in (vocabulary[:-1], [*vocabulary[:-2], *vocabulary[:-3:-1]])
    ]
    assert len({tokenizer.fingerprint for tokenizer in found}) == 10
    # strip_accents is by default as lower_case.
    assert found[0].fingerprint == WordPieceTokenizer(list(vocabulary)).fingerprint


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False], ids=["final-newline", "no-final-newline"])
def test_a_vocabulary_is_read_with_any_line_ends(tmp_path, end, last):
    # A line separator is a token like others.
    tokens = specials_and(["the", "##re", "\u2028", "The", "b"])
    path = tmp_path / "vocab.txt"
    path.write_bytes((end.join(tokens) + end * last).encode())
    uncased, cased = load_tokenizer(path), load_tokenizer(path, cased=True)
    assert uncased.tokens == cased.tokens == tuple(tokens) and uncased.vocab_size == 109
    assert uncased.special == cased.special == SpecialIds(0, 100, 101, 102, 103)
    assert uncased.encode_batch(["There b"]) == [[104, 105, 108]]
    assert cased.encode_batch(["There b"]) == [[107, 105, 108]]
    assert uncased.strip_accents and not cased.strip_accents


@pytest.mark.parametrize(
    "missing", [["[PAD]"], ["[MASK]"], ["[UNK]", "[SEP]"], list(SPECIAL_TOKENS)]
)
def test_special_tokens_that_a_vocabulary_lacks_are_named(tmp_path, missing):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(token for token in specials_and(["a", "b"]) if token not in missing))
    with pytest.raises(ValueError, match=re.escape(f"{path} has no {' '.join(missing)}: ")):
        load_tokenizer(path)


@pytest.mark.parametrize(
    "data",
    [
        b"{",
        b"{}",
        b"{\xff}",
        b'{"type": "wordpiece"}',
        b'{"type": "bpe", "tokens": []}',
        b'{"type": [], "tokens": []}',
        b'{"type": "wordpiece", "tokens": 5}',
        b'{"type": "wordpiece", "tokens": [5]}',
        b'{"type": "wordpiece", "tokens": []}',
        b'{"type": "wordpiece", "tokens": null}',
        b'{"a":' * 100_000,
        SPECIAL_ONLY + b', "more": 1}',
        SPECIAL_ONLY + b', "name": "a"}',
    ],
)
def test_bytes_that_are_not_a_tokenizer_are_refused_in_one_line(data):
    with pytest.raises(ValueError, match="^my.file") as caught:
        tokenizer_from_bytes(data, "my.file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"[PAD]\n\xff\n", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".encode("utf-16")]
)
def test_a_vocabulary_that_is_not_text_or_has_no_tokens_is_refused_in_one_line(tmp_path, data):
    (tmp_path / "vocab.txt").write_bytes(data)
    with pytest.raises(ValueError, match=f"^{tmp_path / 'vocab.txt'}") as caught:
        load_tokenizer(tmp_path / "vocab.txt")
    assert "\n" not in str(caught.value)
