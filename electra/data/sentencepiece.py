"""SentencePiece (unigram), trained on the user's own text."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator

import sentencepiece

from electra.config import CLS, MASK, PAD, SEP, SPECIAL_IDS, SPECIAL_TOKENS, UNK, SpecialIds

LARGEST_VOCABULARY = 500_000
SAMPLE_BYTES = 20_000_000  # what a tokenizer is trained on, at most
PIECE_BYTES = 4_000  # SentencePiece drops training lines of more than 4,192 bytes
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
        except (
            RuntimeError,
            OSError,
            UnicodeDecodeError,
        ):  # the last of a message of its own, about a damaged piece
            raise ValueError(f"{name} is not a SentencePiece model") from None
        try:
            found = tuple(self._processor.IdToPiece(list(range(self._processor.GetPieceSize()))))[
                : len(SPECIAL_TOKENS)
            ]
        except UnicodeDecodeError:
            raise ValueError(
                f"{name} is a damaged SentencePiece model: not all of its pieces are UTF-8"
            ) from None
        if found != SPECIAL_TOKENS:
            raise ValueError(
                f"{name} begins with the tokens {' '.join(found)}, but {' '.join(SPECIAL_TOKENS)} are "
                f"needed with ids 0 to 4; train one with train.py"
            )

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


def train_tokenizer(
    lines: Iterable[str], vocab_size: int, cased: bool = False
) -> SentencePieceTokenizer:
    """Train a unigram model with byte fallback on `lines`, NFKC and, unless `cased`, case-folded.

    The vocabulary comes out smaller than `vocab_size` where the text does not support it. Raises ValueError for a
    vocabulary that is too large or too small to be one, or for text without a character.
    """
    least = len(SPECIAL_TOKENS) + 256
    if not least < vocab_size <= LARGEST_VOCABULARY:
        raise ValueError(
            f"--vocab-size {vocab_size} is outside {least + 1} to {LARGEST_VOCABULARY}"
        )
    model = io.BytesIO()
    problems: list[
        ValueError
    ] = []  # of reading; the trainer would replace them by a message of its own

    def read() -> Iterator[str]:
        try:
            yield from _short_pieces(lines)
        except ValueError as problem:
            problems.append(problem)
            raise

    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=read(),
            model_writer=model,
            model_type="unigram",
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            byte_fallback=True,
            character_coverage=0.9995,
            normalization_rule_name="nmt_nfkc" if cased else "nmt_nfkc_cf",
            pad_id=PAD,
            unk_id=UNK,
            bos_id=CLS,
            eos_id=SEP,
            pad_piece=SPECIAL_TOKENS[PAD],
            unk_piece=SPECIAL_TOKENS[UNK],
            bos_piece=SPECIAL_TOKENS[CLS],
            eos_piece=SPECIAL_TOKENS[SEP],
            control_symbols=[SPECIAL_TOKENS[MASK]],
            num_threads=2,
            minloglevel=2,
        )
    except RuntimeError as problem:
        if problems:
            raise problems[0] from None
        reason = str(problem).strip().splitlines()[-1] if str(problem).strip() else "no text"
        raise ValueError(
            f"no tokenizer of {vocab_size} tokens can be trained on this text: {reason}"
        ) from None
    return SentencePieceTokenizer(model.getvalue())
