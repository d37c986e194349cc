"""The WordPiece tokenizer of a downloaded folder: which of its files decides what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from electra.data.wordpiece import WordPieceTokenizer, vocab_lines
from electra.huggingface.json_files import read_json
from electra.huggingface.tokenizer_checks import (
    BACKEND_CLASSES,
    FAST_TOKENIZER,
    MODEL,
    NORMALIZER,
    PRE_TOKENIZER,
    SETTINGS_FILE,
    SWITCHES,
    check_added_tokens,
    check_post_processor,
    check_settings,
    check_steps,
    read_class,
    refuse,
)

VOCAB_FILE = "vocab.txt"
# In tokenizer_config.json, in the order of `SWITCHES`.
SETTINGS_OF_SWITCHES = ("do_lower_case", "strip_accents", "tokenize_chinese_chars")


def has_wordpiece(folder: Path) -> bool:
    """Whether a folder holds a file that `read_wordpiece` reads."""
    return (folder / VOCAB_FILE).exists() or (folder / FAST_TOKENIZER).exists()


def read_wordpiece(folder: Path) -> WordPieceTokenizer:
    """The tokenizer of `vocab.txt`, `tokenizer.json` or both, as `AutoTokenizer` reads them.

    The vocabulary is that of `tokenizer.json` where there is one. The switches are those of
    `tokenizer_config.json`, but for a class of `BACKEND_CLASSES` those of `tokenizer.json`. Raises
    ValueError where there is neither file, and for a setting that splits text otherwise.
    """
    settings = read_json(folder / SETTINGS_FILE)
    tokenizer_class = read_class(folder)
    by_backend = tokenizer_class in BACKEND_CLASSES
    check_settings(folder / SETTINGS_FILE, settings)

    path = folder / FAST_TOKENIZER
    content = read_json(path)
    if path.is_file():
        check_steps(path, content)
        tokens = _fast_vocabulary(folder, content["model"].get("vocab"))
    else:
        path = folder / VOCAB_FILE
        if not path.is_file():
            raise ValueError(f"{folder} has neither {VOCAB_FILE} nor {FAST_TOKENIZER}")
        if by_backend:
            raise ValueError(f"{folder} has no {FAST_TOKENIZER}, which {tokenizer_class} reads")
        tokens = _vocabulary(path)

    # BERT's own classes never look at the normalizer.
    if by_backend:
        switches = _read_switches(path, content["normalizer"], SWITCHES)
    else:
        switches = _read_switches(folder / SETTINGS_FILE, settings, SETTINGS_OF_SWITCHES)
    tokenizer = WordPieceTokenizer(tokens, *switches, name=str(path))
    check_added_tokens(folder, tokenizer.lower_case)
    check_post_processor(path, content.get("post_processor"), tokenizer.special)
    return tokenizer


def _read_switches(
    path: Path, values: dict[str, Any], names: tuple[str, ...]
) -> tuple[bool, bool | None, bool]:
    """(lower_case, strip_accents, split_chinese) from settings that have these names.

    Raises ValueError for one that is neither true nor false; `strip_accents` may be null.
    """
    lower, strip, chinese = names
    found = values.get(lower, True), values.get(strip), values.get(chinese, True)
    for name, value in zip(names, found, strict=True):
        if not isinstance(value, bool) and not (name == strip and value is None):
            refuse(path, name, value, "true or false")
    return found


def _vocabulary(path: Path) -> list[str]:
    """The tokens of a vocab.txt. Raises ValueError for one that versions read in two ways."""
    tokens = vocab_lines(path.read_bytes(), str(path))
    for number, token in enumerate(tokens, 1):
        # transformers 5 leaves out spaces at the end, which matters where a word is left;
        # transformers 4 begins a line at a return.
        if token.rstrip() not in (token, "", "##") or "\r" in token:
            raise ValueError(
                f"{path}, line {number}: {token[:60]!r} has white space that transformers 4 and 5 "
                f"read in two ways; remove it"
            )
    return tokens


def _fast_vocabulary(folder: Path, ids: object) -> list[str]:
    """The tokens of a tokenizer.json, whose vocabulary is {token: id}.

    A vocab.txt with a line twice leaves a gap in the ids; that file then fills it.
    """
    path = folder / FAST_TOKENIZER
    if not isinstance(ids, dict) or not ids:
        raise ValueError(f"{path} is not a WordPiece tokenizer: it has no vocabulary")
    whole = all(type(id_) is int for id_ in ids.values())
    if whole and sorted(ids.values()) == list(range(len(ids))):
        return sorted(ids, key=lambda token: ids[token])

    if (folder / VOCAB_FILE).is_file():
        tokens = _vocabulary(folder / VOCAB_FILE)
        if {token: id_ for id_, token in enumerate(tokens)} == ids:
            return tokens
    raise ValueError(f"{path}: the ids of its vocabulary are not 0 to {len(ids) - 1}")


def wordpiece_parts(tokenizer: WordPieceTokenizer) -> dict[str, Any]:
    """The parts of a tokenizer.json that does what a WordPiece tokenizer does."""
    switches = (tokenizer.lower_case, tokenizer.strip_accents, tokenizer.split_chinese)
    return {
        "normalizer": {**NORMALIZER, **dict(zip(SWITCHES, switches, strict=True))},
        "pre_tokenizer": dict(PRE_TOKENIZER),
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": False},
        "model": {**MODEL, "vocab": {token: id_ for id_, token in enumerate(tokenizer.tokens)}},
    }
