"""WordPiece: how text becomes words, and words become pieces."""

import string
from concurrent.futures import ThreadPoolExecutor

import pytest

from data.wordpieces import TEXTS, hand_picked_texts, specials_and, spelt, words
from electra.config import SPECIAL_TOKENS
from electra.data.wordpiece import WordPieceTokenizer

pytestmark = pytest.mark.fast


# The examples of tokenization_test.py of google-research/bert.
def test_words_are_cut_as_in_the_published_examples():
    tokenizer = WordPieceTokenizer(
        [
            "[UNK]",
            "[CLS]",
            "[SEP]",
            "want",
            "##want",
            "##ed",
            "wa",
            "un",
            "runn",
            "##ing",
            ",",
            "[PAD]",
            "[MASK]",
        ]
    )
    assert tokenizer.encode_batch(["UNwant\u00e9d,running"]) == [[7, 4, 5, 10, 8, 9]]
    assert tokenizer.encode_batch(["unwanted running", "unwantedX running", ""]) == [
        [7, 4, 5, 8, 9],
        [0, 8, 9],
        [],
    ]
    assert words("ah\u535a\u63a8zz") == ["ah", "\u535a", "\u63a8", "zz"]
    assert words(" \tHeLLo!how  \n Are yoU?  ") == ["hello", "!", "how", "are", "you", "?"]
    assert words(" \tHeLLo!how  \n Are yoU?  ", lower_case=False) == [
        "HeLLo",
        "!",
        "how",
        "Are",
        "yoU",
        "?",
    ]
    assert words("H\u00e9llo") == ["hello"]


@pytest.mark.parametrize(
    "text, tokens",
    [
        ("abcd", "abc ##d"),  # the longest first
        ("abcdbcd", "abc ##dbc ##d"),
        ("abce ab", "[UNK] ab"),  # greedy: it never goes back to ab and ##ce
        ("abcdz,ab", "[UNK] , ab"),
        ("dbc abc", "[UNK] abc"),  # a continuation does not begin a word
        ("a##d", "a # # [UNK]"),
        ("ABCD", "abc ##d"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_pieces_by_hand(text, tokens):
    vocabulary = specials_and(["a", "ab", "abc", "##ce", "##d", "##dbc", ",", "#"])
    expected = [vocabulary.index(token) for token in tokens.split()]
    assert WordPieceTokenizer(vocabulary).encode_batch([text]) == [expected]


@pytest.mark.parametrize(
    "word, length",
    [
        ("a" * 99, 99),
        ("a" * 100, 100),
        ("a" * 101, 1),
        ("a" * 10_000, 1),
        ("e\u0301" * 100, 100),
        ("e\u0301" * 101, 1),
        ("각" * 33, 99),
        ("각" * 34, 1),
        ("a" * 60 + "\u200b" * 60 + "a" * 40, 100),
        ("a" * 100 + "-" + "a" * 100, 201),
    ],
)
def test_a_word_of_more_than_100_characters_is_unknown(word, length):
    tokenizer = WordPieceTokenizer(specials_and(spelt("ae-각")))
    ids = tokenizer.encode_batch([word])[0]
    assert len(ids) == length and (set(ids) == {100}) == (length == 1)


@pytest.mark.parametrize(
    "switches, expected",
    [
        ({}, "eleve oslo istanbul a"),
        ({"lower_case": False}, "Élève OSLO İstanbul Å"),
        ({"lower_case": True, "strip_accents": True}, "eleve oslo istanbul a"),
        ({"lower_case": True, "strip_accents": False}, "élève oslo i\u0307stanbul å"),
        ({"lower_case": False, "strip_accents": True}, "Eleve OSLO Istanbul A"),
        ({"lower_case": False, "strip_accents": False}, "Élève OSLO İstanbul Å"),
    ],
)
def test_case_and_accents_are_switched_separately(switches, expected):
    assert words("Élève OSLO İstanbul Å", **switches) == expected.split(" ")


def test_accents_that_are_kept_stay_as_they_are_written():
    assert words("e\u0301 \u00e9", strip_accents=False) == ["e\u0301", "\u00e9"]


@pytest.mark.parametrize(
    "text, apart, together",
    # In the last one が loses its accent.
    [
        ("ah博推zz", "ah 博 推 zz", "ah博推zz"),
        ("\U00020000\U0002f800a", "\U00020000 丽 a", "\U00020000丽a"),
        ("\uf900x", "豈 x", "豈x"),
        ("漢。字", "漢 。 字", "漢 。 字"),
        ("ひらがなカタカナ 한글", "ひらかなカタカナ \u1112\u1161\u11ab\u1100\u1173\u11af", None),
    ],
)
def test_ideographs_are_words_of_their_own_unless_switched_off(text, apart, together):
    assert words(text) == apart.split(" ")
    assert words(text, split_chinese=False) == (together or apart).split(" ")


@pytest.mark.parametrize(
    "char",
    "\x00\x01\x08\x0b\x0c\x1b\x1c\x1f\x7f\x85\x9f\xad\u200b\u200c\u200d\u200e\u2060"
    "\ufeff\ufffd\ud800",
)
def test_control_and_zero_width_characters_vanish(char):
    assert (
        words(f"a{char}b {char} c{char}")
        == ["ab", "c"]
        == words(f"a{char}b {char} c", lower_case=False)
    )


@pytest.mark.parametrize(
    "char", " \t\n\r\xa0\u1680\u2000\u2003\u2009\u2028\u2029\u202f\u205f\u3000"
)
def test_white_space_of_any_kind_separates(char):
    assert words(f"{char}a{char}b{char}{char}c{char}") == ["a", "b", "c"]


@pytest.mark.parametrize("char", [*string.punctuation, *"¡§«»·¿–—‘’“”„…‿、。「」！？،؟।"])
def test_punctuation_stands_alone(char):
    for switches in ({}, {"lower_case": False}):
        assert words(f"a{char}b {char}{char}", **switches) == ["a", char, "b", char, char]


@pytest.mark.parametrize("char", "€£°×÷№©™→∑½²😀")
def test_other_symbols_belong_to_their_word(char):
    assert words(f"a{char}b {char}{char}") == [f"a{char}b", char * 2]


def test_punctuation_under_accents_is_split_off_without_them():
    assert words("a\u1fefb≮c") == ["a", "`", "b", "<", "c"]
    assert words("a\u1fefb≮c", strip_accents=False) == ["a\u1fefb≮c"]


def test_emoji_are_words_like_others():
    assert words("👩\u200d🔬 🇩🇪 ✌\ufe0f😀!") == ["👩🔬", "🇩🇪", "✌😀", "!"]
    assert words("✌\ufe0f", strip_accents=False) == ["✌\ufe0f"]


def test_a_sigma_is_the_same_letter_everywhere():
    assert words("ΣΟΦΟΣ ΟΔΟΣ. ς") == ["σοφοσ", "οδοσ", ".", "ς"]


def test_without_accents_hangul_is_split_into_letters():
    assert words("한국") == ["\u1112\u1161\u11ab\u1100\u116e\u11a8"]
    assert words("한국", strip_accents=False) == ["한국"] == words("한국", lower_case=False)


def test_text_that_spells_a_special_token_is_ordinary_text(wordpiece):
    for text in (*SPECIAL_TOKENS, "a[MASK]b", "[unused1]", "[mask]"):
        for switches in ({}, {"lower_case": False}):
            ids = wordpiece(**switches).encode_batch([text])[0]
            assert len(ids) >= 3 and min(ids) > 103
    assert words("[MASK]") == ["[", "mask", "]"]


def test_a_batch_is_its_texts_one_by_one_and_an_emptied_cache_changes_nothing(
    wordpiece, monkeypatch, sample_path
):
    lines = sample_path.read_text(encoding="utf-8").splitlines()[:20]
    texts = [*lines, *TEXTS, *hand_picked_texts(50), *TEXTS, *lines]
    tokenizer = wordpiece()
    whole = tokenizer.encode_batch(texts)
    assert tokenizer.encode_batch([]) == [] and tokenizer.encode_batch(["", "  "]) == [[], []]
    assert [wordpiece().encode_batch([text])[0] for text in texts] == whole
    monkeypatch.setattr("electra.data.wordpiece.CACHED_WORDS", 5)
    small, held = wordpiece(), []
    for text, ids in zip(texts, whole, strict=True):
        assert small.encode_batch([text]) == [ids]
        held.append(len(small._words))
    assert max(held) < len(tokenizer._words) / 2  # so it was emptied


def test_threads_share_a_tokenizer_and_its_caches(wordpiece, monkeypatch, sample_path):
    texts = [*sample_path.read_text(encoding="utf-8").splitlines()[:200], *TEXTS]
    expected = wordpiece().encode_batch(texts)
    monkeypatch.setattr("electra.data.wordpiece.CACHED_WORDS", 5)  # emptied all the time
    shared = wordpiece()
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda text: shared.encode_batch([text])[0], texts)) == expected


def test_pieces_mark_the_beginnings_of_words_and_decoding_puts_words_together(tokenizer):
    words = WordPieceTokenizer(specials_and(["good", "banana", "##s", "!"]))
    ids = [101, 104, 105, 106, 107, 102, 0, 103]
    assert words.pieces(ids) == ["[CLS]", "▁good", "▁banana", "s", "▁!", "[SEP]", "[PAD]", "[MASK]"]
    assert (
        words.decode(ids) == "good bananas !" and words.decode([]) == words.decode([101, 102]) == ""
    )
    assert words.decode(iter([106, 104])) == "s good"
    # SentencePiece's pieces follow the same rule.
    pieces = tokenizer.pieces(tokenizer.encode_batch(["good bananas"])[0])
    assert "".join(pieces) == "▁good▁bananas" and len(pieces) > 2
