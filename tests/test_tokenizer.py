"""The tokenizers: special ids, any text there and back, WordPiece as published, and clear refusals."""

import io
import itertools
import pickle
import random
import re
import string
import unicodedata
from collections import Counter

import pytest
import sentencepiece

from electra.config import MASK, SPECIAL_TOKENS, UNK, SpecialIds
from electra.data.sentencepiece import (
    LARGEST_VOCABULARY,
    PIECE_BYTES,
    SentencePieceTokenizer,
    _short_lines,
    train_tokenizer,
)
from electra.data.tokenizer import load_tokenizer, tokenizer_from_bytes
from electra.data.wordpiece import WordPieceTokenizer

TEXTS = [
    "A plain Sentence, with CAPITALS and 1,234.5 numbers.",
    "emoji 😀 👩‍🔬 🇩🇪 and more",
    "漢字と仮名、한국어 텍스트",
    "cafe\u0301 na\u00efve Stra\u00dfe \u0130stanbul",
    "Ελληνικά ΣΟΦΟΣ Русский العربية עברית हिन्दी ไทย",
    "ﬁ ½ Ⅷ ２０２６ ㎏",
    "a\u0323\u0307 q\u0307\u0323",
    "[CLS] a [MASK] b [SEP] [PAD] [UNK]",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𒀀",
    "x",
    "a\tb",
    "e = mc² ≤ ∑ √2 → ∞",
    "<0x41> \\n </s> <unk>",
]


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
    """A SentencePiece model of other special tokens, as bytes."""

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


def test_text_is_folded_and_composed_before_it_is_cut(tokenizer):
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
def test_a_vocabulary_that_is_none_raises(vocab_size):
    with pytest.raises(ValueError, match=str(vocab_size)):
        train_tokenizer(["some text"] * 10, vocab_size)


def test_a_vocabulary_that_does_not_hold_the_characters_raises(sample_path):
    with pytest.raises(ValueError, match="262") as caught:
        train_tokenizer(sample_path.read_text(encoding="utf-8").splitlines(), 262)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lines", [[], [""], ["", "  ", "\t"]])
def test_text_without_a_character_raises(lines):
    with pytest.raises(ValueError):
        train_tokenizer(lines, 1_000)


def test_training_twice_gives_the_same_model(sample_path, tokenizer):
    again = train_tokenizer(sample_path.read_text(encoding="utf-8").splitlines(), 1_000)
    assert again.to_bytes() == tokenizer.to_bytes() and again.fingerprint == tokenizer.fingerprint


def test_pickling_keeps_everything(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.fingerprint == tokenizer.fingerprint and copy.to_bytes() == tokenizer.to_bytes()
    assert copy.encode_batch(TEXTS) == tokenizer.encode_batch(TEXTS)


def test_fingerprints_tell_tokenizers_apart(tokenizer, cased):
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
    swapped = dict(
        pad_id=1,
        unk_id=0,
        bos_id=2,
        eos_id=3,
        pad_piece="[PAD]",
        unk_piece="[UNK]",
        bos_piece="[CLS]",
        eos_piece="[SEP]",
        control_symbols=["[MASK]"],
    )
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


# ---------------------------------------------------------------- WordPiece

SPECIAL_AT = {
    "[PAD]": 0,
    "[UNK]": 100,
    "[CLS]": 101,
    "[SEP]": 102,
    "[MASK]": 103,
}  # as in BERT's vocabularies
SWITCHES = [(lower, strip) for lower in (True, False) for strip in (True, False)]
# Characters that one of the steps treats in its own way, and some that none does.
HAND_PICKED = [
    *"aZ09 \t\n\r,.'$+<=>^`|~_-",
    *"ÀéïßẞÅøœﬁ½²",
    "e\u0301",
    "o\u0328\u0304",
    "\u0345",
    "İ",
    "ı",
    "ΟΣ",
    "Σ",
    "ς",
    "Ω",
    "\u1fef",
    "\u037e",
    "≮",
    "ǅ",
    "Ы",
    "й",
    "ё",
    "\u0600",
    "مُ",
    "ְש",
    "हि",
    "ไท",
    "กำ",
    "ひ",
    "ガ",
    "ｶﾞ",
    "한",
    "각",
    "漢",
    "字",
    "\u3400",
    "\uf900",
    "\U00020000",
    "\U0002a700",
    "\U0002b740",
    "\U0002b920",
    "\U0002f800",
    "\u115f",
    "\u3000",
    "\u00a0",
    "\u2003",
    "\u2028",
    "\u202f",
    "\u1680",
    "\x00",
    "\x0b",
    "\x1c",
    "\x7f",
    "\x85",
    "\u00ad",
    "\u200b",
    "\u200d",
    "\u2060",
    "\ufeff",
    "\ufffd",
    "\ue000",
    "\U000f0000",
    "😀",
    "👩\u200d🔬",
    "🇩🇪",
    "✌\ufe0f",
    "€",
    "°",
    "№",
    "×",
    "«",
    "„",
    "—",
    "…",
    "·",
    "¿",
    "‿",
    "。",
    "、",
    "\u0903",
    "\U0001d165",
    "𝔘",
    "𐐀",
    "Ა",
    "ა",
    "Ꭰ",
    "ꭰ",
    "[MASK]",
    "##a",
    "\u2581",
]


def specials_and(tokens):
    """A vocabulary with the special tokens where BERT has them."""
    first = [f"[unused{i}]" for i in range(104)]
    for token, id_ in SPECIAL_AT.items():
        first[id_] = token
    return [*first, *tokens]


def spelt(*texts):
    """All characters of texts in all their forms, as words' beginnings and as their continuation."""
    forms = [form for text in texts for form in (text, text.lower(), *map(str.lower, text))]
    characters = sorted(
        {c for form in forms for c in form + unicodedata.normalize("NFD", form)} - {" ", "\n"}
    )
    return [*characters, *(f"##{c}" for c in characters)]


def words(text, **switches):
    """The words that WordPiece sees in a text, by a vocabulary in which none is unknown."""
    tokenizer = WordPieceTokenizer(
        specials_and(spelt(text.encode(errors="ignore").decode())), **switches
    )
    ids = tokenizer.encode_batch([text])[0]
    assert not set(ids) & set(tokenizer.special)
    return tokenizer.decode(ids).split(" ") if ids else []


@pytest.fixture(scope="module")
def vocabulary(sample_path):
    """From the sample: characters, frequent words, frequent ends of words."""
    text = sample_path.read_text(encoding="utf-8")
    found = [re.findall(r"\w+|[^\w\s]", form) for form in (text, text.lower())]
    counts = Counter(word for form in found for word in form if len(word) > 1)
    ends = Counter("##" + word[-size:] for word in counts for size in (2, 3, 4) if len(word) > size)
    frequent = [
        *(word for word, n in counts.items() if n >= 6),
        *(end for end, n in ends.items() if n >= 6),
    ]
    return specials_and([*spelt(text, "".join(HAND_PICKED)), *frequent])


@pytest.fixture
def wordpiece(vocabulary):
    """wordpiece(**switches) -> a tokenizer of that vocabulary."""
    return lambda **switches: WordPieceTokenizer(vocabulary, **switches)


def hand_picked_texts(count=300, seed=0):
    rng = random.Random(seed)
    return ["".join(rng.choices(HAND_PICKED, k=rng.randint(1, 25))) for _ in range(count)]


def published(text, vocabulary, lower_case, strip_accents, split_chinese):
    """`tokenization.py` of google-research/bert, step by step: `BasicTokenizer`, then `WordpieceTokenizer`. Lower case
    is taken character by character, and characters for private use are control characters, as in the library that
    reads most of these vocabularies."""
    cleaned = ""
    for char in text:
        category = unicodedata.category(char)
        if char in " \t\n\r" or category == "Zs":
            cleaned += " "
        elif char not in "\x00\ufffd" and category not in ("Cc", "Cf", "Co", "Cs"):
            chinese = any(
                a <= ord(char) <= b
                for a, b in (
                    (0x4E00, 0x9FFF),
                    (0x3400, 0x4DBF),
                    (0x20000, 0x2A6DF),
                    (0x2A700, 0x2B73F),
                    (0x2B740, 0x2B81F),
                    (0x2B820, 0x2CEAF),
                    (0xF900, 0xFAFF),
                    (0x2F800, 0x2FA1F),
                )
            )
            cleaned += f" {char} " if split_chinese and chinese else char
    split = []
    for token in cleaned.split():
        if lower_case:
            token = "".join(char.lower() for char in token)
        if strip_accents:
            token = "".join(
                char
                for char in unicodedata.normalize("NFD", token)
                if unicodedata.category(char) != "Mn"
            )
        new_word = True
        for char in token:
            if char in string.punctuation or unicodedata.category(char).startswith("P"):
                split.append(char)
                new_word = True
            else:
                if new_word:
                    split.append("")
                split[-1] += char
                new_word = False
    ids = {token: id_ for id_, token in enumerate(vocabulary)}
    output = []
    for token in split:
        pieces, start = [], 0
        while start < len(token) <= 100:
            end = len(token)
            while end > start and ("##" if start else "") + token[start:end] not in ids:
                end -= 1
            if end == start:
                break
            pieces.append(ids[("##" if start else "") + token[start:end]])
            start = end
        output += pieces if start == len(token) else [100]
    return output


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


def test_accents_stay_as_they_are_written_where_they_stay():
    assert words("e\u0301 \u00e9", strip_accents=False) == ["e\u0301", "\u00e9"]


@pytest.mark.parametrize(
    "text, apart, together",
    [
        ("ah博推zz", "ah 博 推 zz", "ah博推zz"),
        ("\U00020000\U0002f800a", "\U00020000 丽 a", "\U00020000丽a"),
        ("\uf900x", "豈 x", "豈x"),
        ("漢。字", "漢 。 字", "漢 。 字"),
        ("ひらがなカタカナ 한글", "ひらかなカタカナ \u1112\u1161\u11ab\u1100\u1173\u11af", None),
    ],
)  # が loses its accent
def test_ideographs_are_words_of_their_own_unless_switched_off(text, apart, together):
    assert words(text) == apart.split(" ") and words(text, split_chinese=False) == (
        together or apart
    ).split(" ")


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


def test_what_accents_hide_is_punctuation_once_they_are_gone():
    assert words("a\u1fefb≮c") == ["a", "`", "b", "<", "c"]
    assert words("a\u1fefb≮c", strip_accents=False) == ["a\u1fefb≮c"]


def test_emoji_are_words_like_others():
    assert words("👩\u200d🔬 🇩🇪 ✌\ufe0f😀!") == ["👩🔬", "🇩🇪", "✌😀", "!"]
    assert words("✌\ufe0f", strip_accents=False) == ["✌\ufe0f"]


def test_a_sigma_is_the_same_letter_everywhere():
    assert words("ΣΟΦΟΣ ΟΔΟΣ. ς") == ["σοφοσ", "οδοσ", ".", "ς"]


def test_without_accents_hangul_is_its_letters():
    assert words("한국") == ["\u1112\u1161\u11ab\u1100\u116e\u11a8"]
    assert words("한국", strip_accents=False) == ["한국"] == words("한국", lower_case=False)


def test_text_that_spells_a_special_token_is_ordinary_text_to_wordpiece(wordpiece):
    for text in (*SPECIAL_TOKENS, "a[MASK]b", "[unused1]", "[mask]"):
        for switches in ({}, {"lower_case": False}):
            ids = wordpiece(**switches).encode_batch([text])[0]
            assert len(ids) >= 3 and min(ids) > 103
    assert words("[MASK]") == ["[", "mask", "]"]


@pytest.mark.parametrize("split_chinese", [True, False])
@pytest.mark.parametrize("lower_case, strip_accents", SWITCHES)
def test_wordpiece_equals_the_published_algorithm_on_odd_characters(
    wordpiece, vocabulary, lower_case, strip_accents, split_chinese
):
    switches = dict(lower_case=lower_case, strip_accents=strip_accents, split_chinese=split_chinese)
    texts = [*HAND_PICKED, *hand_picked_texts()]
    for text, ids in zip(texts, wordpiece(**switches).encode_batch(texts), strict=True):
        assert ids == published(text, vocabulary, **switches), ascii(text)


@pytest.mark.parametrize("lower_case", [True, False])
def test_wordpiece_equals_the_published_algorithm_on_the_sample(
    wordpiece, vocabulary, sample_path, lower_case
):
    lines = sample_path.read_text(encoding="utf-8").splitlines()
    found = wordpiece(lower_case=lower_case).encode_batch(lines)
    assert found == [published(line, vocabulary, lower_case, lower_case, True) for line in lines]
    assert len({id_ for ids in found for id_ in ids}) > 1_000  # of words, ends and characters


def test_a_wordpiece_batch_is_its_texts_one_by_one_and_an_emptied_cache_changes_nothing(
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
    for text, ids in zip(texts, whole):
        assert small.encode_batch([text]) == [ids]
        held.append(len(small._words))
    assert max(held) < len(tokenizer._words) / 2  # so it was emptied


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


def test_bytes_of_a_wordpiece_tokenizer_make_it_again(wordpiece, tmp_path):
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


def test_fingerprints_tell_switches_and_vocabularies_apart(vocabulary):
    found = [
        WordPieceTokenizer(vocabulary, *on) for on in itertools.product((True, False), repeat=3)
    ]
    found += [
        WordPieceTokenizer(tokens)
        for tokens in (vocabulary[:-1], [*vocabulary[:-2], *vocabulary[:-3:-1]])
    ]
    assert len({tokenizer.fingerprint for tokenizer in found}) == 10
    assert (
        found[0].fingerprint == WordPieceTokenizer(list(vocabulary)).fingerprint
    )  # strip_accents as lower_case


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False], ids=["final-newline", "no-final-newline"])
def test_a_vocabulary_is_read_with_any_line_ends(tmp_path, end, last):
    tokens = specials_and(
        ["the", "##re", "\u2028", "The", "b"]
    )  # a line separator is a token like others
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
        b'{"type": "wordpiece", "tokens": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "more": 1}',
        b'{"type": "wordpiece", "tokens": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "name": "a"}',
    ],
)
def test_bytes_that_are_no_tokenizer_are_refused_in_one_line(data):
    with pytest.raises(ValueError, match="^my.file") as caught:
        tokenizer_from_bytes(data, "my.file")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "data", [b"", b"[PAD]\n\xff\n", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n".encode("utf-16")]
)
def test_a_vocabulary_that_is_no_text_of_tokens_is_refused_in_one_line(tmp_path, data):
    (tmp_path / "vocab.txt").write_bytes(data)
    with pytest.raises(ValueError, match=f"^{tmp_path / 'vocab.txt'}") as caught:
        load_tokenizer(tmp_path / "vocab.txt")
    assert "\n" not in str(caught.value)


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


# ---------------------------------------------------------------- beside the tokenizer of transformers


@pytest.fixture(scope="module")
def theirs(tmp_path_factory, vocabulary):
    """theirs(lower_case, strip_accents) -> ids of a text by transformers' tokenizer of the same vocabulary."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        transformers = pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("theirs") / "vocab.txt"
    path.write_text("".join(f"{token}\n" for token in vocabulary), encoding="utf-8", newline="")

    def make(lower_case, strip_accents):
        tokenizer = transformers.BertTokenizer(
            str(path), do_lower_case=lower_case, strip_accents=strip_accents
        )
        return lambda texts: tokenizer(texts, add_special_tokens=False)["input_ids"]

    return make


@pytest.mark.parametrize("lower_case, strip_accents", SWITCHES)
def test_wordpiece_equals_transformers_token_for_token(
    theirs, wordpiece, sample_path, lower_case, strip_accents
):
    lines = sample_path.read_text(encoding="utf-8").splitlines()
    # Their tokenizer takes text that spells a special token for the token.
    texts = [
        text
        for text in (*lines, *HAND_PICKED, *hand_picked_texts(1_000, seed=1))
        if "[MASK]" not in text
    ]
    ours = wordpiece(lower_case=lower_case, strip_accents=strip_accents).encode_batch(texts)
    for text, mine, other in zip(
        texts, ours, theirs(lower_case, strip_accents)(texts), strict=True
    ):
        assert mine == other, ascii(text)
    assert len(texts) > 1_500
