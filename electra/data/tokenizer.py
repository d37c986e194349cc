"""Text to token ids: SentencePiece (unigram), trained on the user's corpus, or the WordPiece of a released BERT or
ELECTRA, behind one small interface.

Everything downstream uses only: `encode_batch`, `decode`, `pieces`, `vocab_size`, `special`, `fingerprint`, `to_bytes`.
A SentencePiece model of this project has [PAD] [UNK] [CLS] [SEP] [MASK] with ids 0 to 4; a WordPiece vocabulary has
them where it likes.
"""

from __future__ import annotations

import json
from pathlib import Path

from electra.data.sentencepiece import SentencePieceTokenizer
from electra.data.wordpiece import WordPieceTokenizer, vocab_lines

Tokenizer = SentencePieceTokenizer | WordPieceTokenizer


def tokenizer_from_bytes(data: bytes, name: str = "tokenizer") -> Tokenizer:
    """The inverse of `to_bytes`. Raises ValueError, with `name`, for anything else."""
    if not data.startswith(b"{"):
        return SentencePieceTokenizer(data, name)
    try:
        values = json.loads(data.decode())
    except (ValueError, RecursionError):
        values = None
    if not _is_wordpiece(values):
        raise ValueError(
            f"{name} is neither a SentencePiece model nor a WordPiece tokenizer of this program"
        )
    del values["type"]
    return WordPieceTokenizer(**values, name=name)


def _is_wordpiece(values: object) -> bool:
    """Whether parsed JSON is what `WordPieceTokenizer.to_bytes` writes."""
    return (
        isinstance(values, dict)
        and set(values) == {"type", "tokens", "lower_case", "strip_accents", "split_chinese"}
        and values["type"] == "wordpiece"
        and isinstance(values["tokens"], list)
        and all(isinstance(token, str) for token in values["tokens"])
    )


def load_tokenizer(path: str | Path, cased: bool = False) -> Tokenizer:
    """Read a SentencePiece model, the tokenizer file of a run folder, or a WordPiece vocabulary (`vocab.txt`: a token a
    line; `cased` is for this one). Raises ValueError naming the file where it is missing or none of these."""
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise ValueError(f"cannot read the tokenizer {path}: {problem.strerror}") from None
    if Path(path).suffix == ".txt":
        return WordPieceTokenizer(
            vocab_lines(data, str(path)), lower_case=not cased, name=str(path)
        )
    return tokenizer_from_bytes(data, str(path))
