"""Loading a tokenizer: SentencePiece, or the WordPiece of a released BERT or ELECTRA.

To add a kind: a class in a file of its own with `encode_batch`, `decode`, `pieces`, `vocab_size`,
`special`, `fingerprint` and `to_bytes`, which is all that the rest of the project uses; its name
in `Tokenizer`; and a line in `tokenizer_from_bytes`.
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
    """Read a SentencePiece model, the tokenizer file of a run folder, or a WordPiece vocabulary.

    A file that ends in .txt is a vocabulary, with a token a line; `cased` is for this one alone.
    Raises ValueError naming the file where it is missing or none of these.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as problem:
        raise ValueError(f"cannot read the tokenizer {path}: {problem.strerror}") from None
    if Path(path).suffix == ".txt":
        tokens = vocab_lines(data, str(path))
        return WordPieceTokenizer(tokens, lower_case=not cased, name=str(path))
    return tokenizer_from_bytes(data, str(path))
