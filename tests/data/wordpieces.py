"""Vocabularies and odd texts for the tests of WordPiece, and the published algorithm."""

import random
import string
import unicodedata

from electra.data.wordpiece import WordPieceTokenizer

# Texts in several scripts, for both kinds of tokenizers.
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

# The ids in BERT's vocabularies.
SPECIAL_AT = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}

# Values of (lower_case, strip_accents).
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
    """The characters of texts in all their forms, as beginnings of words and as continuations."""
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


def hand_picked_texts(count=300, seed=0):
    """Random texts of the hand-picked characters."""
    rng = random.Random(seed)
    return ["".join(rng.choices(HAND_PICKED, k=rng.randint(1, 25))) for _ in range(count)]


PUBLISHED_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


def published(text, vocabulary, lower_case, strip_accents, split_chinese):
    """`tokenization.py` of google-research/bert: `BasicTokenizer`, then `WordpieceTokenizer`.

    Text is lower-cased character by character, and characters for private use are control
    characters, as in the library that reads most of these vocabularies.
    """
    ids = {token: id_ for id_, token in enumerate(vocabulary)}
    output = []
    for token in published_clean_text(text, split_chinese).split():
        if lower_case:
            token = "".join(char.lower() for char in token)
        if strip_accents:
            decomposed = unicodedata.normalize("NFD", token)
            token = "".join(char for char in decomposed if unicodedata.category(char) != "Mn")
        for word in published_split_on_punctuation(token):
            output += published_pieces(word, ids)
    return output


def published_clean_text(text, split_chinese):
    """`_clean_text` and `_tokenize_chinese_chars`."""
    cleaned = ""
    for char in text:
        category = unicodedata.category(char)
        if char in " \t\n\r" or category == "Zs":
            cleaned += " "
        elif char not in "\x00\ufffd" and category not in ("Cc", "Cf", "Co", "Cs"):
            chinese = any(first <= ord(char) <= last for first, last in PUBLISHED_CHINESE)
            cleaned += f" {char} " if split_chinese and chinese else char
    return cleaned


def published_split_on_punctuation(token):
    """`_run_split_on_punc`."""
    split, new_word = [], True
    for char in token:
        if char in string.punctuation or unicodedata.category(char).startswith("P"):
            split.append(char)
            new_word = True
            continue
        if new_word:
            split.append("")
        split[-1] += char
        new_word = False
    return split


def published_pieces(token, ids):
    """`WordpieceTokenizer.tokenize` of one word."""
    pieces, start = [], 0
    while start < len(token) <= 100:
        end = len(token)
        while end > start and ("##" if start else "") + token[start:end] not in ids:
            end -= 1
        if end == start:
            break
        pieces.append(ids[("##" if start else "") + token[start:end]])
        start = end
    return pieces if start == len(token) else [SPECIAL_AT["[UNK]"]]
