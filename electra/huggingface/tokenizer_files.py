"""Tokenizer files of a released checkpoint, and ours."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

from electra.config import SPECIAL_TOKENS
from electra.data.tokenizer import Tokenizer, tokenizer_from_bytes
from electra.data.wordpiece import LONGEST_WORD, WordPieceTokenizer, vocab_lines
from electra.huggingface.json_files import read_json
from electra.huggingface.unigram import unigram_parts

# --- tokenizers ---

OWN_TOKENIZER = (
    "tokenizer.model"  # what export adds for import: the tokenizer as it is in our checkpoints
)


def read_tokenizer(folder: Path) -> Tokenizer:
    """The tokenizer of a folder: our own file where export left one, else `vocab.txt`, else a WordPiece
    `tokenizer.json`. Raises ValueError where there is none that can be read."""
    own, vocab, fast = (folder / name for name in (OWN_TOKENIZER, "vocab.txt", "tokenizer.json"))
    if own.is_file():
        return tokenizer_from_bytes(own.read_bytes(), str(own))
    if vocab.is_file():
        settings = read_json(folder / "tokenizer_config.json")
        return WordPieceTokenizer(
            vocab_lines(vocab.read_bytes(), str(vocab)),
            settings.get("do_lower_case", True),
            settings.get("strip_accents"),
            settings.get("tokenize_chinese_chars", True),
            name=str(vocab),
        )
    if not fast.is_file():
        raise ValueError(f"{folder} has neither vocab.txt nor tokenizer.json")
    content = read_json(fast)
    part = lambda of, name: of[name] if isinstance(of.get(name), dict) else {}
    model, normalizer = part(content, "model"), part(content, "normalizer")
    ids = part(model, "vocab")
    if (
        model.get("type", "WordPiece") != "WordPiece"
        or normalizer.get("type") != "BertNormalizer"
        or not ids
    ):
        raise ValueError(
            f"{fast} is not a WordPiece tokenizer (model {model.get('type')!r:.60}, normalizer "
            f"{normalizer.get('type')!r:.60})"
        )
    if not all(type(id_) is int for id_ in ids.values()) or sorted(ids.values()) != list(
        range(len(ids))
    ):
        raise ValueError(f"{fast}: the ids of its vocabulary are not 0 to {len(ids) - 1}")
    tokens = sorted(ids, key=ids.get)
    return WordPieceTokenizer(
        tokens,
        normalizer.get("lowercase", True),
        normalizer.get("strip_accents"),
        normalizer.get("handle_chinese_chars", True),
        name=str(fast),
    )


def write_tokenizer(folder: Path, tokenizer: Tokenizer, max_positions: int) -> None:
    """The files by which `AutoTokenizer` makes the same ids: for WordPiece a BertTokenizer, for SentencePiece a
    PreTrainedTokenizerFast over a Unigram model; and our own file, from which `read_tokenizer` makes it again."""
    settings: dict[str, Any] = {
        "model_max_length": max_positions,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
    }
    settings |= {
        f"{role}_token": token
        for role, token in zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL_TOKENS)
    }
    if isinstance(tokenizer, WordPieceTokenizer):
        settings |= {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": tokenizer.lower_case,
            "strip_accents": tokenizer.strip_accents,
            "tokenize_chinese_chars": tokenizer.split_chinese,
        }
        (folder / "vocab.txt").write_text(
            "".join(f"{token}\n" for token in tokenizer.tokens), encoding="utf-8", newline=""
        )
        parts = _wordpiece_parts(tokenizer)
    else:
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        try:
            parts = unigram_parts(tokenizer)
        except (LookupError, TypeError, AttributeError, UnicodeDecodeError, struct.error):
            # The library passes over fields of a wrong type; a model that was trained has none.
            raise ValueError(
                f"cannot write a tokenizer into {folder}: its SentencePiece model is damaged"
            ) from None
    special = dict(zip(SPECIAL_TOKENS, tokenizer.special))
    one = lambda kind, name, type_id: {kind: {"id": name, "type_id": type_id}}
    single = [
        one("SpecialToken", "[CLS]", 0),
        one("Sequence", "A", 0),
        one("SpecialToken", "[SEP]", 0),
    ]
    content = {
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
            "single": single,
            "pair": [*single, one("Sequence", "B", 1), one("SpecialToken", "[SEP]", 1)],
            "special_tokens": {
                token: {"id": token, "ids": [special[token]], "tokens": [token]}
                for token in ("[CLS]", "[SEP]")
            },
        },
    }
    for name, value in (("tokenizer.json", content), ("tokenizer_config.json", settings)):
        (folder / name).write_text(
            json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
    (folder / OWN_TOKENIZER).write_bytes(tokenizer.to_bytes())


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
