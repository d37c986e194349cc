"""What the files of a downloaded tokenizer ask for that would split text otherwise than here.

The reference is `AutoTokenizer` of transformers, versions 4 and 5, whose tokenizers are the fast
ones. A setting that the reference reads is followed (`wordpiece_files`) or refused, with file, name
and value. A setting that only the slow tokenizers or only one version reads is refused as well.
"""

from __future__ import annotations

import reprlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from electra.config import SPECIAL_TOKENS, SpecialIds
from electra.data.wordpiece import LONGEST_WORD
from electra.huggingface.json_files import read_json

FAST_TOKENIZER = "tokenizer.json"
SETTINGS_FILE = "tokenizer_config.json"
SPECIAL_TOKENS_FILE = "special_tokens_map.json"
ADDED_TOKENS_FILE = "added_tokens.json"
NETWORK_FILE = "config.json"

# These read their switches from tokenizer_config.json, and pass over those of tokenizer.json. Fast
# may follow the name.
BERT_CLASSES = ("BertTokenizer", "ElectraTokenizer", "DistilBertTokenizer")
# These do what tokenizer.json says.
BACKEND_CLASSES = ("PreTrainedTokenizerFast", "TokenizersBackend")

# The steps of `WordPieceTokenizer` in a tokenizer.json, without the vocabulary and the switches.
MODEL = {
    "type": "WordPiece",
    "unk_token": "[UNK]",
    "continuing_subword_prefix": "##",
    "max_input_chars_per_word": LONGEST_WORD,
}
NORMALIZER = {"type": "BertNormalizer", "clean_text": True}
PRE_TOKENIZER = {"type": "BertPreTokenizer"}
SWITCHES = ("lowercase", "strip_accents", "handle_chinese_chars")

# The parts of a tokenizer.json. Truncation and padding are off in the reference unless a caller
# asks for them, and a decoder turns ids into text: these three may say anything.
_PARTS = (
    "model",
    "normalizer",
    "pre_tokenizer",
    "added_tokens",
    "post_processor",
    "truncation",
    "padding",
    "decoder",
)

# Settings of tokenizer_config.json -> the value that changes nothing; null changes nothing either.
_NEUTRAL_SETTINGS: dict[str, Any] = {
    "backend": "tokenizers",
    "clean_text": True,
    "do_basic_tokenize": True,
    "do_subword_tokenize": True,
    "do_word_tokenize": True,
    "fast_tokenizer_files": [FAST_TOKENIZER],
    "init_inputs": [],
    "jumanpp_kwargs": {},
    "mecab_kwargs": {},
    "sp_model_kwargs": {},
    "subword_tokenizer_type": "wordpiece",
    "sudachi_kwargs": {},
    "trust_remote_code": False,
    "vocab": {},
    "word_tokenizer_type": "basic",
    "wordpieces_prefix": "##",
}
_TOKEN_LISTS = (
    "added_tokens_decoder",
    "additional_special_tokens",
    "extra_special_tokens",
    "model_specific_special_tokens",
)


def refuse(path: Path, name: str, value: object, here: object) -> NoReturn:
    """Raises ValueError for a value of a file, in one line; `here` is what this program does."""
    # The name may be a key of a stranger's file.
    raise ValueError(
        f"{path}: {ascii(name)[1:-1]:.60} is {reprlib.repr(value)}, but this program can split "
        f"text only as with {here}"
    )


def read_class(folder: Path) -> str:
    """The class that the reference makes: a name of `BERT_CLASSES` or `BACKEND_CLASSES`.

    tokenizer_config.json names it, else config.json; else it follows from `model_type`. Raises
    ValueError for another class, and for code of its own.
    """
    network = read_json(folder / NETWORK_FILE)
    files = {SETTINGS_FILE: read_json(folder / SETTINGS_FILE), NETWORK_FILE: network}
    for file, values in files.items():
        code = values.get("auto_map")
        if isinstance(code, list) or (isinstance(code, dict) and code.get("AutoTokenizer")):
            refuse(folder / file, "auto_map", code, "none")

    for file, values in files.items():
        name = values.get("tokenizer_class")
        if name in BACKEND_CLASSES:
            return name
        if isinstance(name, str) and name.removesuffix("Fast") in BERT_CLASSES:
            return name.removesuffix("Fast")
        if name is not None:
            allowed = ", ".join((*BERT_CLASSES, *BACKEND_CLASSES))
            refuse(folder / file, "tokenizer_class", name, allowed)
    untyped = network.get("model_type") is None and (folder / FAST_TOKENIZER).is_file()
    return BACKEND_CLASSES[0] if untyped else BERT_CLASSES[0]


def check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Raises ValueError for a setting of tokenizer_config.json that splits text otherwise."""
    for name, neutral in _NEUTRAL_SETTINGS.items():
        value = settings.get(name)
        if value is not None and value != neutral:
            refuse(path, name, value, repr(neutral))

    # Special tokens are never split anyway where they count as tokens.
    words = settings.get("never_split") or []
    if not isinstance(words, list) or any(word not in SPECIAL_TOKENS for word in words):
        refuse(path, "never_split", words, "no such word")


def check_steps(path: Path, content: dict[str, Any]) -> None:
    """Raises ValueError for a step of a tokenizer.json that is not `WordPieceTokenizer`'s."""
    for part, steps, free in (
        ("model", MODEL, ("vocab",)),
        ("normalizer", NORMALIZER, SWITCHES),
        ("pre_tokenizer", PRE_TOKENIZER, ()),
    ):
        said = content.get(part)
        # Old files have a model without a type.
        if not isinstance(said, dict) or not (part == "model" or said.get("type")):
            refuse(path, part, said, steps["type"])
        _check_step(path, part, {k: v for k, v in said.items() if k not in free}, steps)

    rest = {name: value for name, value in content.items() if name not in _PARTS}
    _check_step(path, "", {k: v for k, v in rest.items() if v is not None}, {"version": "1.0"})


def _check_step(path: Path, part: str, said: dict[str, Any], steps: dict[str, Any]) -> None:
    for name, value in said.items():
        if name not in steps or value != steps[name]:
            here = repr(steps[name]) if name in steps else "no such part"
            refuse(path, f"{part}.{name}".lstrip("."), value, here)


def post_processor(special: SpecialIds) -> dict[str, Any]:
    """The part of a tokenizer.json that puts [CLS] and [SEP] around one text and around two."""
    cls = {"SpecialToken": {"id": "[CLS]", "type_id": 0}}
    first = {"Sequence": {"id": "A", "type_id": 0}}
    first_sep = {"SpecialToken": {"id": "[SEP]", "type_id": 0}}
    second = {"Sequence": {"id": "B", "type_id": 1}}
    second_sep = {"SpecialToken": {"id": "[SEP]", "type_id": 1}}
    return {
        "type": "TemplateProcessing",
        "single": [cls, first, first_sep],
        "pair": [cls, first, first_sep, second, second_sep],
        "special_tokens": {
            token: {"id": token, "ids": [id_], "tokens": [token]}
            for token, id_ in (("[CLS]", special.cls), ("[SEP]", special.sep))
        },
    }


def check_post_processor(path: Path, said: object, special: SpecialIds) -> None:
    """Raises ValueError for a post_processor that puts other tokens around a text."""
    as_bert = {
        "type": "BertProcessing",
        "sep": ["[SEP]", special.sep],
        "cls": ["[CLS]", special.cls],
    }
    if said not in (None, as_bert, post_processor(special)):
        refuse(path, "post_processor", said, "[CLS] A [SEP] and [CLS] A [SEP] B [SEP]")


def check_added_tokens(folder: Path, lower_case: bool) -> None:
    """Raises ValueError for a token that a file cuts out of text and that is no special token.

    Text that spells a special token is ordinary text here, so it does not matter how the reference
    finds one, with one exception: a `normalized` [MASK] is also found as [mask].
    """
    for path, name, token in _added_tokens(folder):
        role = name.removesuffix("_token").upper()
        roles = (f"[{role}]",) if f"[{role}]" in SPECIAL_TOKENS else SPECIAL_TOKENS
        content = token.get("content") if isinstance(token, dict) else token
        if content not in roles:
            refuse(path, name, content, " ".join(roles))
        if lower_case and isinstance(token, dict) and token.get("normalized"):
            refuse(path, f"normalized of {content}", token["normalized"], "False")


def _added_tokens(folder: Path) -> Iterator[tuple[Path, str, Any]]:
    """(file, setting, token) of every token that is added to a vocabulary, as it stands there."""
    for file in (SETTINGS_FILE, SPECIAL_TOKENS_FILE):
        for name, value in read_json(folder / file).items():
            for token in _tokens_of(name, value):
                yield folder / file, name, token

    for token in _as_list(read_json(folder / FAST_TOKENIZER).get("added_tokens") or []):
        yield folder / FAST_TOKENIZER, "added_tokens", token
    for token in read_json(folder / ADDED_TOKENS_FILE):
        yield folder / ADDED_TOKENS_FILE, "an added token", token


def _tokens_of(name: str, value: Any) -> list[Any]:
    """The tokens in a setting of tokenizer_config.json or special_tokens_map.json; mostly none."""
    if name in _TOKEN_LISTS and value:
        return list(value.values()) if isinstance(value, dict) else _as_list(value)
    # `add_bos_token` and the like are true or false.
    is_token = name.endswith("_token") and value is not None and not isinstance(value, bool)
    return [value] if is_token else []


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
