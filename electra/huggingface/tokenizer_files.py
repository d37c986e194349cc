"""The tokenizer files of a released checkpoint, read and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from electra.config import SPECIAL_TOKENS
from electra.data.sentencepiece import SentencePieceTokenizer
from electra.data.tokenizer import Tokenizer, tokenizer_from_bytes
from electra.data.wordpiece import WordPieceTokenizer
from electra.huggingface.json_files import read_json
from electra.huggingface.tokenizer_checks import (
    BACKEND_CLASSES,
    FAST_TOKENIZER,
    SETTINGS_FILE,
    post_processor,
    read_class,
    refuse,
)
from electra.huggingface.unigram import unigram_parts
from electra.huggingface.wordpiece_files import (
    VOCAB_FILE,
    has_wordpiece,
    read_wordpiece,
    wordpiece_parts,
)

# Added by an export, so that an import gets the tokenizer back as it is in a checkpoint.
OWN_TOKENIZER = "tokenizer.model"


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a file that `read_tokenizer` reads."""
    return (folder / OWN_TOKENIZER).exists() or has_wordpiece(folder)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder.

    Reads `tokenizer.model` where an export left one, else a WordPiece tokenizer as `AutoTokenizer`
    reads it. Raises ValueError where there is none that can be read, and where a file asks for
    something that would split text otherwise.
    """
    own = folder / OWN_TOKENIZER
    if own.is_file():
        tokenizer = tokenizer_from_bytes(own.read_bytes(), str(own))
        if isinstance(tokenizer, SentencePieceTokenizer):
            _check_own_sentencepiece(folder, tokenizer)
        return tokenizer
    return read_wordpiece(folder)


def _check_own_sentencepiece(folder: Path, tokenizer: SentencePieceTokenizer) -> None:
    """Raises ValueError for a SentencePiece model that is not what the reference follows.

    Other programs use the name `tokenizer.model` too, and take other steps around it.
    """
    tokenizer_class, fast = read_class(folder), folder / FAST_TOKENIZER
    if tokenizer_class not in BACKEND_CLASSES and has_wordpiece(folder):
        refuse(folder / OWN_TOKENIZER, "its class", tokenizer_class, ", ".join(BACKEND_CLASSES))
    if not fast.is_file():
        return

    content = read_json(fast)
    # JSON makes lists of tuples.
    parts = json.loads(json.dumps(_unigram_parts(tokenizer, folder / OWN_TOKENIZER)))
    for part in ("model", "normalizer", "pre_tokenizer"):
        if content.get(part) != parts[part]:
            raise ValueError(
                f"{fast}: its {part} is not that of {OWN_TOKENIZER} beside it; one of the two "
                f"splits text otherwise"
            )


def _unigram_parts(tokenizer: SentencePieceTokenizer, path: Path) -> dict[str, Any]:
    """`unigram_parts`, whose ValueError names the file."""
    try:
        return unigram_parts(tokenizer)
    except ValueError:
        raise ValueError(f"{path}: its SentencePiece model is damaged") from None


def write_tokenizer(
    folder: Path, tokenizer: Tokenizer, max_len: int, truncation_side: str = "right"
) -> None:
    """Write the files from which `AutoTokenizer` makes the same ids.

    max_len: tokens of the longest example. truncation_side: "right" cuts the end of a longer one,
    "left" its beginning.

    For WordPiece it makes a BertTokenizer, for SentencePiece a PreTrainedTokenizerFast over a
    Unigram model. `tokenizer.model` is added, which `read_tokenizer` reads. Raises ValueError for
    a SentencePiece model that is damaged.
    """
    settings: dict[str, Any] = {
        "model_max_length": max_len,
        "truncation_side": truncation_side,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    for role, token in zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL_TOKENS, strict=True):
        settings[f"{role}_token"] = token

    if isinstance(tokenizer, WordPieceTokenizer):
        settings |= {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": tokenizer.lower_case,
            "strip_accents": tokenizer.strip_accents,
            "tokenize_chinese_chars": tokenizer.split_chinese,
        }
        vocab = "".join(f"{token}\n" for token in tokenizer.tokens)
        (folder / VOCAB_FILE).write_text(vocab, encoding="utf-8", newline="")
        parts = wordpiece_parts(tokenizer)
    else:
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        parts = _unigram_parts(tokenizer, folder / OWN_TOKENIZER)

    _write_json(folder / FAST_TOKENIZER, _fast_tokenizer(tokenizer, parts))
    _write_json(folder / SETTINGS_FILE, settings)
    (folder / OWN_TOKENIZER).write_bytes(tokenizer.to_bytes())


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _fast_tokenizer(tokenizer: Tokenizer, parts: dict[str, Any]) -> dict[str, Any]:
    """The content of tokenizer.json; `parts` are those of the tokenizer's kind."""
    special = dict(zip(SPECIAL_TOKENS, tokenizer.special, strict=True))
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": id_,
                "content": token,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for token, id_ in sorted(special.items(), key=lambda item: item[1])
        ],
        **parts,
        "post_processor": post_processor(tokenizer.special),
    }
