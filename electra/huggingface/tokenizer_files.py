"""The tokenizer files of a released checkpoint, read and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from electra.config import SPECIAL_TOKENS
from electra.data.tokenizer import Tokenizer, tokenizer_from_bytes
from electra.data.wordpiece import LONGEST_WORD, WordPieceTokenizer, vocab_lines
from electra.huggingface.json_files import read_json
from electra.huggingface.unigram import unigram_parts

# Added by an export, so that an import gets the tokenizer back as it is in a checkpoint.
OWN_TOKENIZER = "tokenizer.model"
VOCAB_FILE = "vocab.txt"
FAST_TOKENIZER = "tokenizer.json"
SETTINGS_FILE = "tokenizer_config.json"


def has_tokenizer(folder: Path) -> bool:
    """Whether a folder holds a file that `read_tokenizer` reads."""
    return any((folder / name).exists() for name in (OWN_TOKENIZER, VOCAB_FILE, FAST_TOKENIZER))


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder.

    Reads `tokenizer.model` where an export left one, else `vocab.txt`, else a WordPiece
    `tokenizer.json`. Raises ValueError where there is none that can be read.
    """
    own = folder / OWN_TOKENIZER
    if own.is_file():
        return tokenizer_from_bytes(own.read_bytes(), str(own))
    if (folder / VOCAB_FILE).is_file():
        return _read_vocab(folder)
    if (folder / FAST_TOKENIZER).is_file():
        return _read_fast_tokenizer(folder / FAST_TOKENIZER)
    raise ValueError(f"{folder} has neither vocab.txt nor tokenizer.json")


def _read_vocab(folder: Path) -> WordPieceTokenizer:
    path = folder / VOCAB_FILE
    settings = read_json(folder / SETTINGS_FILE)
    return WordPieceTokenizer(
        vocab_lines(path.read_bytes(), str(path)),
        settings.get("do_lower_case", True),
        settings.get("strip_accents"),
        settings.get("tokenize_chinese_chars", True),
        name=str(path),
    )


def _read_fast_tokenizer(path: Path) -> WordPieceTokenizer:
    content = read_json(path)
    model, normalizer = _object_in(content, "model"), _object_in(content, "normalizer")
    ids = _object_in(model, "vocab")
    if (
        model.get("type", "WordPiece") != "WordPiece"
        or normalizer.get("type") != "BertNormalizer"
        or not ids
    ):
        raise ValueError(
            f"{path} is not a WordPiece tokenizer (model {model.get('type')!r:.60}, normalizer "
            f"{normalizer.get('type')!r:.60})"
        )
    if not all(type(id_) is int for id_ in ids.values()) or sorted(ids.values()) != list(
        range(len(ids))
    ):
        raise ValueError(f"{path}: the ids of its vocabulary are not 0 to {len(ids) - 1}")
    return WordPieceTokenizer(
        sorted(ids, key=lambda token: ids[token]),
        normalizer.get("lowercase", True),
        normalizer.get("strip_accents"),
        normalizer.get("handle_chinese_chars", True),
        name=str(path),
    )


def _object_in(content: dict[str, Any], name: str) -> dict[str, Any]:
    """A part of a JSON object that is an object itself; {} where it is missing or none."""
    value = content.get(name)
    return value if isinstance(value, dict) else {}


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
        parts = _wordpiece_parts(tokenizer)
    else:
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        try:
            parts = unigram_parts(tokenizer)
        except ValueError:
            raise ValueError(
                f"cannot write a tokenizer into {folder}: its SentencePiece model is damaged"
            ) from None

    _write_json(folder / FAST_TOKENIZER, _fast_tokenizer(tokenizer, parts))
    _write_json(folder / SETTINGS_FILE, settings)
    (folder / OWN_TOKENIZER).write_bytes(tokenizer.to_bytes())


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _fast_tokenizer(tokenizer: Tokenizer, parts: dict[str, Any]) -> dict[str, Any]:
    """The content of tokenizer.json; `parts` are those of the tokenizer's kind."""
    special = dict(zip(SPECIAL_TOKENS, tokenizer.special, strict=True))
    cls = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}
    first = {"Sequence": {"id": "A", "type_id": 0}}
    first_sep = {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    second_sep = {"SpecialToken": {"id": "[SEP]", "type_id": 1}}
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
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [cls, first, first_sep],
            "pair": [cls, first, first_sep, second, second_sep],
            "special_tokens": {
                token: {"id": token, "ids": [special[token]], "tokens": [token]}
                for token in ("[CLS]", "[SEP]")
            },
        },
    }


def _wordpiece_parts(tokenizer: WordPieceTokenizer) -> dict[str, Any]:
    return {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": tokenizer.split_chinese,
            "strip_accents": tokenizer.strip_accents,
            "lowercase": tokenizer.lower_case,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": LONGEST_WORD,
            "vocab": {token: id_ for id_, token in enumerate(tokenizer.tokens)},
        },
    }
