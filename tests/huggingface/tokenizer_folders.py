"""Folders with the files of a WordPiece tokenizer, as transformers writes them."""

import json

from electra.config import SPECIAL_TOKENS

VOCABULARY = (*SPECIAL_TOKENS, "the", "##re", "cafe", "café", "漢", "字", "漢字", "The", ".", "-")
ELECTRA = {"model_type": "electra", "vocab_size": len(VOCABULARY)}
BACKEND = "PreTrainedTokenizerFast"


def added(content, id_=0, **flags):
    """An entry of `added_tokens`."""
    off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return {"id": id_, "content": content, **off, "special": True, **flags}


def fast(tokens=VOCABULARY, **changes):
    """A tokenizer.json. Changes of model and normalizer are added to them.

    The special tokens have the ids 0 to 4.
    """
    ids = {token: id_ for id_, token in enumerate(tokens)}
    cls, sep = ({"SpecialToken": {"id": name, "type_id": 0}} for name in ("[CLS]", "[SEP]"))
    a, b = ({"Sequence": {"id": name, "type_id": i}} for i, name in enumerate("AB"))
    last = {"SpecialToken": {"id": "[SEP]", "type_id": 1}}
    content = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [added(token, ids[token]) for token in SPECIAL_TOKENS],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [cls, a, sep],
            "pair": [cls, a, sep, b, last],
            "special_tokens": {
                token: {"id": token, "ids": [ids[token]], "tokens": [token]}
                for token in ("[CLS]", "[SEP]")
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": ids,
        },
    }
    for name, change in changes.items():
        adds = name in ("model", "normalizer") and isinstance(change, dict)
        content[name] = {**content[name], **change} if adds else change
    return content


def folder_with(folder, files):
    """The folder, with files by their name: JSON of an object, else text or bytes."""
    for name, content in files.items():
        text = content if isinstance(content, (bytes, str)) else json.dumps(content)
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder
