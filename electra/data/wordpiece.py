"""The WordPiece tokenizer of a released BERT or ELECTRA."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Iterable

from electra.config import SPECIAL_TOKENS, SpecialIds
from electra.data.sentencepiece import WORD_START, is_text

LONGEST_WORD = 100  # characters; WordPiece makes a longer word [UNK]
CACHED_WORDS = 1_000_000


class WordPieceTokenizer:
    """BERT's tokenizer: words split at spaces and punctuation, each cut greedily into the longest pieces of a
    vocabulary (Devlin et al. 2019; `tokenization.py` of google-research/bert).

    Text that spells a special token is ordinary text. Not thread-safe; pickles by its settings.
    """

    def __init__(
        self,
        tokens: Iterable[str],
        lower_case: bool = True,
        strip_accents: bool | None = None,
        split_chinese: bool = True,
        name: str = "the vocabulary",
    ) -> None:
        """`tokens` in the order of their ids. `strip_accents` None: as `lower_case`, as BERT does it. Raises ValueError
        where a special token is missing or a token cannot be written."""
        self.tokens = tuple(tokens)
        self.lower_case, self.split_chinese = lower_case, split_chinese
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        ids = {token: id_ for id_, token in enumerate(self.tokens)}
        missing = [token for token in SPECIAL_TOKENS if token not in ids]
        if missing:
            raise ValueError(f"{name} has no {' '.join(missing)}: it is not a WordPiece vocabulary")
        if not all(
            isinstance(switch, bool) for switch in (lower_case, self.strip_accents, split_chinese)
        ):
            raise ValueError(f"{name} goes with settings that are neither true nor false")
        if not all(map(is_text, self.tokens)):
            raise ValueError(f"{name} has half a surrogate pair in it, which no text has")
        self.special = SpecialIds(*(ids[token] for token in SPECIAL_TOKENS))
        self._characters = _Characters(self.lower_case, self.strip_accents, split_chinese)
        self._words = _Words(ids, self.special.unk)

    def __reduce__(self) -> tuple[type, tuple]:
        return WordPieceTokenizer, (
            self.tokens,
            self.lower_case,
            self.strip_accents,
            self.split_chinese,
        )

    @property
    def vocab_size(self) -> int:
        return len(self.tokens)

    @property
    def fingerprint(self) -> str:
        """Hex digest that tells tokenizers apart."""
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

    def decode(self, ids: Iterable[int]) -> str:
        """Words with a space between them; special tokens are left out, but for [UNK], which is a word."""
        text = "".join(
            self.pieces(id_ for id_ in ids if id_ not in self.special or id_ == self.special.unk)
        )
        return text.replace(WORD_START, " ").strip()

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """As a SentencePiece model writes them: a word's first piece begins with ▁, the others have no ##. [UNK] is a
        word, the other special tokens are not."""
        bare = set(self.special) - {self.special.unk}
        return [
            token if id_ in bare else token[2:] if token.startswith("##") else WORD_START + token
            for id_, token in ((id_, self.tokens[id_]) for id_ in ids)
        ]

    def to_bytes(self) -> bytes:
        """What `tokenizer_from_bytes` reads: JSON, with the vocabulary and the three switches."""
        return json.dumps(
            {
                "type": "wordpiece",
                "lower_case": self.lower_case,
                "strip_accents": self.strip_accents,
                "split_chinese": self.split_chinese,
                "tokens": self.tokens,
            },
            ensure_ascii=False,
            separators=(",", ":"),
        ).encode()


class _Characters(dict):
    """For `str.translate`: code point -> what WordPiece reads in its place. Control characters vanish, white space is
    one space, punctuation and CJK ideographs stand between spaces. Filled as characters are met."""

    def __init__(self, lower_case: bool, strip_accents: bool, split_chinese: bool) -> None:
        super().__init__()
        self.lower_case, self.strip_accents, self.split_chinese = (
            lower_case,
            strip_accents,
            split_chinese,
        )

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
            char = "".join(
                c for c in unicodedata.normalize("NFD", char) if unicodedata.category(c) != "Mn"
            )
        if self.lower_case:
            char = "".join(
                c.lower() for c in char
            )  # one by one: a Σ is σ at the end of a word, too
        return "".join(f" {c} " if chinese or _is_punctuation(c) else c for c in char)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in (
        "Cc",
        "Cf",
        "Co",
        "Cs",
    )  # but not what no character has yet


def _is_punctuation(char: str) -> bool:
    """Unicode's punctuation, and all of ASCII that is neither letter, digit, space nor control: $ + < = > ^ ` | ~ too."""
    code = ord(char)
    return (
        33 <= code <= 47
        or 58 <= code <= 64
        or 91 <= code <= 96
        or 123 <= code <= 126
        or unicodedata.category(char).startswith("P")
    )


def _is_chinese(code: int) -> bool:
    """The CJK Unified Ideographs blocks that BERT knows. Hiragana, Katakana and Hangul are written as words."""
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x2A6DF
        or 0x2A700 <= code <= 0x2B73F
        or 0x2B740 <= code <= 0x2B81F
        or 0x2B820 <= code <= 0x2CEAF
        or 0xF900 <= code <= 0xFAFF
        or 0x2F800 <= code <= 0x2FA1F
    )


class _Words(dict):
    """Word -> its ids: each time the longest piece of the vocabulary that fits, [UNK] for the whole word where none
    does. Filled as words are met, since most of a text are words that were met before."""

    def __init__(self, ids: dict[str, int], unk: int) -> None:
        super().__init__()
        self.ids, self.unk = ids, unk
        self.longest = max(map(len, ids))

    def __missing__(self, word: str) -> tuple[int, ...]:
        self[word] = found = self._cut(word)
        return found

    def _cut(self, word: str) -> tuple[int, ...]:
        if len(word) > LONGEST_WORD:
            return (self.unk,)
        found, start = [], 0
        while start < len(word):
            prefix = "##" if start else ""
            for end in range(min(len(word), start + self.longest), start, -1):
                id_ = self.ids.get(prefix + word[start:end])
                if id_ is not None:
                    break
            else:
                return (self.unk,)
            found.append(id_)
            start = end
        return tuple(found)


def vocab_lines(data: bytes, name: str) -> list[str]:
    """The tokens of a `vocab.txt`. Raises ValueError where it is not UTF-8."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8 text") from None
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")
