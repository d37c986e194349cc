"""The WordPiece tokenizer of a released BERT or ELECTRA.

It follows `tokenization.py` of google-research/bert (Devlin et al. 2019): `_CharacterTable` is its
`BasicTokenizer`, `_WordCache` its `WordpieceTokenizer`.
"""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable

from electra.config import SPECIAL_TOKENS, SpecialIds
from electra.data.sentencepiece import WORD_START
from electra.files import is_encodable

LONGEST_WORD = 100  # characters; WordPiece makes a longer word [UNK]
CACHED_WORDS = 1_000_000
# The blocks of CJK Unified Ideographs that BERT knows. Hiragana, Katakana and Hangul are words.
CHINESE_BLOCKS = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B820, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)


class WordPieceTokenizer:
    """BERT's tokenizer: words, each cut greedily into the longest pieces of a vocabulary.

    Text is split into words at spaces and punctuation. Text that spells a special token is
    ordinary text. Threads may share one: they fill its caches alike. Pickles by its settings.
    """

    def __init__(
        self,
        tokens: Iterable[str],
        lower_case: bool = True,
        strip_accents: bool | None = None,
        split_chinese: bool = True,
        name: str = "the vocabulary",
    ) -> None:
        """`tokens` are in the order of their ids; a continuation begins with ##.

        `strip_accents` None means as `lower_case`, which is what BERT does. `split_chinese` makes
        each ideograph a word. Raises ValueError, with `name`, where a special token is missing or
        a token cannot be written.
        """
        self.tokens = tuple(tokens)
        self.lower_case, self.split_chinese = lower_case, split_chinese
        self.strip_accents = lower_case if strip_accents is None else strip_accents

        ids = {token: id_ for id_, token in enumerate(self.tokens)}
        missing = [token for token in SPECIAL_TOKENS if token not in ids]
        if missing:
            raise ValueError(f"{name} has no {' '.join(missing)}: it is not a WordPiece vocabulary")
        switches = (lower_case, self.strip_accents, split_chinese)
        if not all(isinstance(switch, bool) for switch in switches):
            raise ValueError(f"{name} goes with settings that are neither true nor false")
        if not all(map(is_encodable, self.tokens)):
            raise ValueError(f"{name} has half a surrogate pair in it, which no text has")

        self.special = SpecialIds(*(ids[token] for token in SPECIAL_TOKENS))
        self._characters = _CharacterTable(self.lower_case, self.strip_accents, split_chinese)
        self._words = _WordCache(ids, self.special.unk)

    def __reduce__(self) -> tuple[type, tuple]:
        switches = (self.lower_case, self.strip_accents, self.split_chinese)
        return WordPieceTokenizer, (self.tokens, *switches)

    @property
    def vocab_size(self) -> int:
        """How many ids there are, special tokens included."""
        return len(self.tokens)

    @property
    def fingerprint(self) -> str:
        """A hexadecimal digest that differs between tokenizers."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Ids of each text, without special tokens."""
        characters, words = self._characters, self._words
        if len(words) > CACHED_WORDS:
            words.clear()
        return [
            [id_ for word in text.translate(characters).split() for id_ in words[word]]
            for text in texts
        ]

    def read_as(self, char: str) -> str:
        """What stands for a character before words are cut: lower-cased, spaces around marks."""
        return self._characters[ord(char)]

    def word_ids(self, word: str) -> tuple[int, ...]:
        """Ids of one word, as `read_as` spells it."""
        return self._words[word]

    def piece_ends(self, word: str, ids: Iterable[int]) -> list[int]:
        """Where in a word each of its pieces ends, counted in characters of the word."""
        ends: list[int] = []
        for id_ in ids:
            if id_ == self.special.unk:
                return [len(word)]
            start = ends[-1] if ends else 0
            ends.append(start + len(self.tokens[id_].removeprefix("##" if start else "")))
        return ends

    def decode(self, ids: Iterable[int]) -> str:
        """Words with a space between them. [UNK] is a word; other special tokens are left out."""
        unk = self.special.unk
        words = self.pieces(id_ for id_ in ids if id_ not in self.special or id_ == unk)
        return "".join(words).replace(WORD_START, " ").strip()

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """As a SentencePiece model writes them: a word's first piece begins with ▁.

        The others lose their ##. [UNK] is a word, the other special tokens are not.
        """
        return [self._piece(id_) for id_ in ids]

    def _piece(self, id_: int) -> str:
        token = self.tokens[id_]
        if id_ in self.special and id_ != self.special.unk:
            return token
        return token[2:] if token.startswith("##") else WORD_START + token

    def to_bytes(self) -> bytes:
        """What `tokenizer_from_bytes` reads: JSON with the vocabulary and the three switches."""
        values = {
            "type": "wordpiece",
            "lower_case": self.lower_case,
            "strip_accents": self.strip_accents,
            "split_chinese": self.split_chinese,
            "tokens": self.tokens,
        }
        return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


class _CharacterTable(dict[int, str]):
    """A table for `str.translate`: code point -> what WordPiece reads in its place.

    Control characters vanish, white space becomes a space, punctuation and ideographs get spaces
    around them. The table is filled as characters are met.
    """

    def __init__(self, lower_case: bool, strip_accents: bool, split_chinese: bool) -> None:
        super().__init__()
        self.lower_case, self.strip_accents = lower_case, strip_accents
        self.split_chinese = split_chinese

    def __missing__(self, code: int) -> str:
        self[code] = read_as = self._read_as(chr(code))
        return read_as

    def _read_as(self, char: str) -> str:
        if char in "\t\n\r":
            return " "
        if char == "\ufffd" or _is_control(char):
            return ""
        if char.isspace():
            return " "

        chinese = self.split_chinese and _is_chinese(ord(char))
        if self.strip_accents:
            decomposed = unicodedata.normalize("NFD", char)
            char = "".join(c for c in decomposed if unicodedata.category(c) != "Mn")
        if self.lower_case:
            # One by one: a Σ becomes σ at the end of a word, too.
            char = "".join(c.lower() for c in char)
        return "".join(f" {c} " if chinese or _is_punctuation(c) else c for c in char)


def _is_control(char: str) -> bool:
    """Control, format, private use and surrogate characters, but not unassigned ones (Cn)."""
    return unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs")


def _is_punctuation(char: str) -> bool:
    """Unicode's punctuation, and the symbols of ASCII: $ + < = > ^ ` | ~ too."""
    code = ord(char)
    return (
        33 <= code <= 47
        or 58 <= code <= 64
        or 91 <= code <= 96
        or 123 <= code <= 126
        or unicodedata.category(char).startswith("P")
    )


def _is_chinese(code: int) -> bool:
    return any(first <= code <= last for first, last in CHINESE_BLOCKS)


class _WordCache(dict[str, tuple[int, ...]]):
    """Word -> its ids, filled as words are met: most words of a text were met before."""

    def __init__(self, ids: dict[str, int], unk: int) -> None:
        super().__init__()
        self.ids, self.unk = ids, unk
        self.longest = max(map(len, ids))

    def __missing__(self, word: str) -> tuple[int, ...]:
        self[word] = found = self._cut(word)
        return found

    def _cut(self, word: str) -> tuple[int, ...]:
        """The longest piece that fits, again and again; [UNK] for the word where none fits."""
        if len(word) > LONGEST_WORD:
            return (self.unk,)
        found: list[int] = []
        start = 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self.longest), start, -1):
                id_ = self.ids.get(prefix + word[start:end])
                if id_ is not None:
                    found.append(id_)
                    start = end
                    break
            else:
                return (self.unk,)
        return tuple(found)


def vocab_lines(data: bytes, name: str) -> list[str]:
    """The tokens of a `vocab.txt`, one a line. Raises ValueError, with `name`, if not UTF-8."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8 text") from None
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")
