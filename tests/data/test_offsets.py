"""Where tokens are in their text: the ids stay, and the places are those of the given text."""

import random

import pytest

from electra.data.offsets import encode_with_offsets
from electra.data.wordpiece import WordPieceTokenizer

pytestmark = pytest.mark.fast

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "cafe", "##s", "the", "1", "##9", ","]
VOCABULARY += ["st", "##raße", "日", "a", "##a", "##b"]


@pytest.fixture(scope="module")
def wordpiece():
    return WordPieceTokenizer(VOCABULARY, lower_case=True)


def shown(tokenizer, text):
    ids, offsets = encode_with_offsets(tokenizer, text)
    return list(zip(tokenizer.pieces(ids), (text[a:b] for a, b in offsets), strict=True))


def test_wordpiece_finds_its_pieces_behind_accents_and_capitals(wordpiece):
    assert shown(wordpiece, " The\tCAFÉS, Straße 19 ?") == [
        ("▁the", "The"),
        ("▁cafe", "CAFÉ"),
        ("s", "S"),
        ("▁,", ","),
        ("▁st", "St"),
        ("raße", "raße"),
        ("▁1", "1"),
        ("9", "9"),
        ("▁[UNK]", "?"),
    ]
    # An accent that is a character of its own belongs to the letter before it.
    assert shown(wordpiece, "cafe\u0301 日") == [("▁cafe", "cafe\u0301"), ("▁日", "日")]
    assert shown(wordpiece, "unknown") == [("▁[UNK]", "unknown")]


def test_sentencepiece_finds_bytes_and_what_it_has_normalised(tokenizer):
    found = shown(tokenizer, "  The  Ünï ½ 日!")
    assert "".join(dict.fromkeys(text for _, text in found)).replace(" ", "") == "TheÜnï½日!"
    assert {text for piece, text in found if piece.startswith("<0x")} >= {"日"}


@pytest.mark.parametrize("name", ["sentencepiece", "wordpiece"])
def test_ids_are_those_of_the_tokenizer_for_any_text(tokenizer, wordpiece, name):
    chosen = tokenizer if name == "sentencepiece" else wordpiece
    draw = random.Random(0)
    letters = "aBcé e\u0301日½ﬁ™😀ß İ\u200b\t\n.,!#\u00a0Σ한\u0000\ufffd"
    for _ in range(400):
        text = "".join(draw.choice(letters) for _ in range(draw.randrange(20)))
        ids, offsets = encode_with_offsets(chosen, text)
        assert ids == chosen.encode_batch([text])[0]
        assert all(0 <= start <= end <= len(text) for start, end in offsets)
        assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)
