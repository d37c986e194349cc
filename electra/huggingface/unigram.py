"""A SentencePiece model as the parts of a tokenizer.json."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

from electra.data.sentencepiece import SentencePieceTokenizer


def unigram_parts(tokenizer: SentencePieceTokenizer) -> dict[str, Any]:
    """SentencePiece's own steps: its table of normalisations, no spaces at the ends or twice, ▁ for a space and before
    the text, the likeliest pieces, bytes for what no piece covers.

    The ids are SentencePiece's but for rare text: where two cuts are equally likely, as in "000" or "sooooo", rounding
    decides, in float32 there and in float64 here; a capital with two accents loses one; accents in another order than
    Unicode's are put into it; and text that spells a special token or a byte piece is read as one.
    """
    pieces, table = read_sentencepiece(tokenizer.to_bytes())
    replace = lambda regex, content: {
        "type": "Replace",
        "pattern": {"Regex": regex},
        "content": content,
    }
    space = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": False}
    normalizers = [
        replace(r"\A +| +\z", ""),
        replace(" {2,}", " "),
    ]  # not Strip: it takes more than spaces
    if table:
        # NFKC first: their step for the table looks at one letter and its accents at a time, six bytes at most.
        normalizers = [
            {"type": "NFKC"},
            {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(table).decode()},
            *normalizers,
        ]
    return {
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": space,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "Unigram",
            "unk_id": tokenizer.special.unk,
            "vocab": pieces,
            "byte_fallback": True,
        },
    }


def read_sentencepiece(model: bytes) -> tuple[list[tuple[str, float]], bytes]:
    """(pieces with their scores, table of normalisations) of a SentencePiece model: fields 1 and 3 of its protocol
    buffer (`sentencepiece_model.proto`)."""
    pieces: list[tuple[str, float]] = []
    table = b""
    for field, value in _fields(model):
        if field == 1:
            piece = dict(_fields(value))
            pieces.append((piece[1].decode(), struct.unpack("<f", piece.get(2, bytes(4)))[0]))
        elif field == 3:
            table = dict(_fields(value)).get(2, b"")
    return pieces, table


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of a protocol buffer's fields: int for varints, bytes for all others."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at, value, shift = at + 1, value | (byte & 127) << shift, shift + 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        yield key >> 3, message[at : at + size]
        at += size
