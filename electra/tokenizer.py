"""Text to token ids: SentencePiece (unigram), trained on the user's corpus, or the WordPiece of a released BERT or
ELECTRA, behind one small interface.

Everything downstream uses only: `encode_batch`, `decode`, `pieces`, `vocab_size`, `special`, `fingerprint`, `to_bytes`.
A SentencePiece model of this project has [PAD] [UNK] [CLS] [SEP] [MASK] with ids 0 to 4; a WordPiece vocabulary has
them where it likes.
"""

from __future__ import annotations

import hashlib
import io
import json
import unicodedata
from collections.abc import Iterable, Iterator
from pathlib import Path

import sentencepiece

from electra.config import CLS, MASK, PAD, SEP, SPECIAL_IDS, SPECIAL_TOKENS, UNK, SpecialIds

LARGEST_VOCABULARY = 500_000
SAMPLE_BYTES = 20_000_000    # what a tokenizer is trained on, at most
PIECE_BYTES = 4_000          # SentencePiece drops training lines of more than 4,192 bytes
LONGEST_WORD = 100           # characters; WordPiece makes a longer word [UNK]
CACHED_WORDS = 1_000_000
WORD_START = "▁"


def is_text(text: str) -> bool:
    """Whether UTF-8 can write it: JSON can spell half a surrogate pair."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)


class SentencePieceTokenizer:
    """A trained SentencePiece model. Pickles by its bytes, so that worker processes can have it."""

    def __init__(self, model: bytes, name: str = "tokenizer") -> None:
        self._bytes = model
        self._processor = sentencepiece.SentencePieceProcessor()
        try:
            self._processor.LoadFromSerializedProto(model)
        except (RuntimeError, OSError, UnicodeDecodeError):   # the last of a message of its own, about a damaged piece
            raise ValueError(f"{name} is not a SentencePiece model") from None
        try:
            found = tuple(self._processor.IdToPiece(list(range(self._processor.GetPieceSize()))))[:len(SPECIAL_TOKENS)]
        except UnicodeDecodeError:
            raise ValueError(f"{name} is a damaged SentencePiece model: not all of its pieces are UTF-8") from None
        if found != SPECIAL_TOKENS:
            raise ValueError(f"{name} begins with the tokens {' '.join(found)}, but {' '.join(SPECIAL_TOKENS)} are "
                             f"needed with ids 0 to 4; train one with train.py")

    def __reduce__(self) -> tuple[type, tuple[bytes]]:
        return SentencePieceTokenizer, (self._bytes,)

    @property
    def vocab_size(self) -> int:
        return self._processor.GetPieceSize()

    @property
    def special(self) -> SpecialIds:
        return SPECIAL_IDS

    @property
    def fingerprint(self) -> str:
        """Hex digest that tells tokenizers apart."""
        return hashlib.sha256(self._bytes).hexdigest()

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Ids of each text, without special tokens. Text that spells a special token is ordinary text."""
        return self._processor.EncodeAsIds(texts) if texts else []

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens left out."""
        return self._processor.DecodeIds([i for i in ids if i >= len(SPECIAL_TOKENS)])

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The pieces as they stand in the vocabulary; a word's first piece begins with ▁."""
        return [self._processor.IdToPiece(i) for i in ids]

    def to_bytes(self) -> bytes:
        return self._bytes


class WordPieceTokenizer:
    """BERT's tokenizer: words split at spaces and punctuation, each cut greedily into the longest pieces of a
    vocabulary (Devlin et al. 2019; `tokenization.py` of google-research/bert).

    Text that spells a special token is ordinary text. Not thread-safe; pickles by its settings.
    """

    def __init__(self, tokens: Iterable[str], lower_case: bool = True, strip_accents: bool | None = None,
                 split_chinese: bool = True, name: str = "the vocabulary") -> None:
        """`tokens` in the order of their ids. `strip_accents` None: as `lower_case`, as BERT does it. Raises ValueError
        where a special token is missing or a token cannot be written."""
        self.tokens = tuple(tokens)
        self.lower_case, self.split_chinese = lower_case, split_chinese
        self.strip_accents = lower_case if strip_accents is None else strip_accents
        ids = {token: id_ for id_, token in enumerate(self.tokens)}
        missing = [token for token in SPECIAL_TOKENS if token not in ids]
        if missing:
            raise ValueError(f"{name} has no {' '.join(missing)}: it is not a WordPiece vocabulary")
        if not all(isinstance(switch, bool) for switch in (lower_case, self.strip_accents, split_chinese)):
            raise ValueError(f"{name} goes with settings that are neither true nor false")
        if not all(map(is_text, self.tokens)):
            raise ValueError(f"{name} has half a surrogate pair in it, which no text has")
        self.special = SpecialIds(*(ids[token] for token in SPECIAL_TOKENS))
        self._characters = _Characters(self.lower_case, self.strip_accents, split_chinese)
        self._words = _Words(ids, self.special.unk)

    def __reduce__(self) -> tuple[type, tuple]:
        return WordPieceTokenizer, (self.tokens, self.lower_case, self.strip_accents, self.split_chinese)

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
        return [[id_ for word in text.translate(characters).split() for id_ in words[word]] for text in texts]

    def decode(self, ids: Iterable[int]) -> str:
        """Words with a space between them; special tokens are left out, but for [UNK], which is a word."""
        text = "".join(self.pieces(id_ for id_ in ids if id_ not in self.special or id_ == self.special.unk))
        return text.replace(WORD_START, " ").strip()

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """As a SentencePiece model writes them: a word's first piece begins with ▁, the others have no ##. [UNK] is a
        word, the other special tokens are not."""
        bare = set(self.special) - {self.special.unk}
        return [token if id_ in bare else token[2:] if token.startswith("##") else WORD_START + token
                for id_, token in ((id_, self.tokens[id_]) for id_ in ids)]

    def to_bytes(self) -> bytes:
        """What `tokenizer_from_bytes` reads: JSON, with the vocabulary and the three switches."""
        return json.dumps({"type": "wordpiece", "lower_case": self.lower_case, "strip_accents": self.strip_accents,
                           "split_chinese": self.split_chinese, "tokens": self.tokens},
                          ensure_ascii=False, separators=(",", ":")).encode()


class _Characters(dict):
    """For `str.translate`: code point -> what WordPiece reads in its place. Control characters vanish, white space is
    one space, punctuation and CJK ideographs stand between spaces. Filled as characters are met."""

    def __init__(self, lower_case: bool, strip_accents: bool, split_chinese: bool) -> None:
        super().__init__()
        self.lower_case, self.strip_accents, self.split_chinese = lower_case, strip_accents, split_chinese

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
            char = "".join(c for c in unicodedata.normalize("NFD", char) if unicodedata.category(c) != "Mn")
        if self.lower_case:
            char = "".join(c.lower() for c in char)   # one by one: a Σ is σ at the end of a word, too
        return "".join(f" {c} " if chinese or _is_punctuation(c) else c for c in char)


def _is_control(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Co", "Cs")   # but not what no character has yet


def _is_punctuation(char: str) -> bool:
    """Unicode's punctuation, and all of ASCII that is neither letter, digit, space nor control: $ + < = > ^ ` | ~ too."""
    code = ord(char)
    return (33 <= code <= 47 or 58 <= code <= 64 or 91 <= code <= 96 or 123 <= code <= 126
            or unicodedata.category(char).startswith("P"))


def _is_chinese(code: int) -> bool:
    """The CJK Unified Ideographs blocks that BERT knows. Hiragana, Katakana and Hangul are written as words."""
    return (0x4E00 <= code <= 0x9FFF or 0x3400 <= code <= 0x4DBF or 0x20000 <= code <= 0x2A6DF
            or 0x2A700 <= code <= 0x2B73F or 0x2B740 <= code <= 0x2B81F or 0x2B820 <= code <= 0x2CEAF
            or 0xF900 <= code <= 0xFAFF or 0x2F800 <= code <= 0x2FA1F)


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


Tokenizer = SentencePieceTokenizer | WordPieceTokenizer


def tokenizer_from_bytes(data: bytes, name: str = "tokenizer") -> Tokenizer:
    """The inverse of `to_bytes`. Raises ValueError, with `name`, for anything else."""
    if not data.startswith(b"{"):
        return SentencePieceTokenizer(data, name)
    try:
        values = json.loads(data.decode())
        if values.pop("type") != "wordpiece" or not all(isinstance(token, str) for token in values["tokens"]) \
                or set(values) != {"tokens", "lower_case", "strip_accents", "split_chinese"}:
            raise KeyError
    except (ValueError, RecursionError, KeyError, TypeError):
        raise ValueError(f"{name} is neither a SentencePiece model nor a WordPiece tokenizer of this program") from None
    return WordPieceTokenizer(**values, name=name)


def load_tokenizer(path: str | Path, cased: bool = False) -> Tokenizer:
    """Read a SentencePiece model, the tokenizer file of a run folder, or a WordPiece vocabulary (`vocab.txt`: a token a
    line; `cased` is for this one). Raises ValueError naming the file where it is missing or none of these."""
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise ValueError(f"cannot read the tokenizer {path}: {problem.strerror}") from None
    if Path(path).suffix == ".txt":
        return WordPieceTokenizer(vocab_lines(data, str(path)), lower_case=not cased, name=str(path))
    return tokenizer_from_bytes(data, str(path))


def vocab_lines(data: bytes, name: str) -> list[str]:
    """The tokens of a `vocab.txt`. Raises ValueError where it is not UTF-8."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{name} is not UTF-8 text") from None
    return text.replace("\r\n", "\n").removesuffix("\n").split("\n")


def _short_pieces(lines: Iterable[str]) -> Iterator[str]:
    """Lines cut at spaces, where there are any, so that the trainer drops none for its length."""
    for line in lines:
        while len(encoded := line.encode()) > PIECE_BYTES:
            head = encoded[:PIECE_BYTES].decode(errors="ignore")
            cut = head.rfind(" ")
            cut = len(head) if cut <= 0 else cut
            yield line[:cut]
            line = line[cut:].lstrip()
        if line:
            yield line


def train_tokenizer(lines: Iterable[str], vocab_size: int, cased: bool = False) -> SentencePieceTokenizer:
    """Train a unigram model with byte fallback on `lines`, NFKC and, unless `cased`, case-folded.

    The vocabulary comes out smaller than `vocab_size` where the text does not support it. Raises ValueError for a
    vocabulary that is too large or too small to be one, or for text without a character.
    """
    least = len(SPECIAL_TOKENS) + 256
    if not least < vocab_size <= LARGEST_VOCABULARY:
        raise ValueError(f"--vocab-size {vocab_size} is outside {least + 1} to {LARGEST_VOCABULARY}")
    model = io.BytesIO()
    problems: list[ValueError] = []   # of reading; the trainer would replace them by a message of its own

    def read() -> Iterator[str]:
        try:
            yield from _short_pieces(lines)
        except ValueError as problem:
            problems.append(problem)
            raise

    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=read(), model_writer=model, model_type="unigram",
            vocab_size=vocab_size, hard_vocab_limit=False, byte_fallback=True, character_coverage=0.9995,
            normalization_rule_name="nmt_nfkc" if cased else "nmt_nfkc_cf",
            pad_id=PAD, unk_id=UNK, bos_id=CLS, eos_id=SEP,
            pad_piece=SPECIAL_TOKENS[PAD], unk_piece=SPECIAL_TOKENS[UNK], bos_piece=SPECIAL_TOKENS[CLS],
            eos_piece=SPECIAL_TOKENS[SEP], control_symbols=[SPECIAL_TOKENS[MASK]],
            num_threads=2, minloglevel=2)
    except RuntimeError as problem:
        if problems:
            raise problems[0] from None
        reason = str(problem).strip().splitlines()[-1] if str(problem).strip() else "no text"
        raise ValueError(f"no tokenizer of {vocab_size} tokens can be trained on this text: {reason}") from None
    return SentencePieceTokenizer(model.getvalue())
