"""A SentencePiece model as the parts of a tokenizer.json."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator
from typing import Any

from electra.data.sentencepiece import SentencePieceTokenizer

# Fields of `sentencepiece_model.proto`.
_PIECES, _NORMALIZER = 1, 3  # of ModelProto
_PIECE, _SCORE = 1, 2  # of ModelProto.SentencePiece
_CHARACTER_MAP = 2  # of NormalizerSpec
# Of a protocol buffer's wire format.
_VARINT = 0
_FIXED_SIZES = {1: 8, 5: 4}  # wire type -> bytes


def unigram_parts(tokenizer: SentencePieceTokenizer) -> dict[str, Any]:
    """The parts of a tokenizer.json that takes SentencePiece's own steps.

    The steps: its table of normalisations; no spaces at the ends and none twice; ▁ for a space and
    before the text; the likeliest pieces; bytes for what no piece covers.

    The ids are SentencePiece's but for rare text. Where two segmentations are equally likely, as in
    "000" or "sooooo", rounding decides, in float32 there and in float64 here. A capital with two
    accents loses one. Accents are put into Unicode's order. Text that spells a special token or a
    byte piece is read as one.
    """
    pieces, character_map = read_sentencepiece(tokenizer.to_bytes())
    return {
        "normalizer": {"type": "Sequence", "normalizers": _normalizers(character_map)},
        "pre_tokenizer": {
            "type": "Metaspace",
            "replacement": "▁",
            "prepend_scheme": "always",
            "split": False,
        },
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


def _normalizers(character_map: bytes) -> list[dict[str, Any]]:
    # Not Strip, which removes more than spaces.
    spaces = [
        {"type": "Replace", "pattern": {"Regex": r"\A +| +\z"}, "content": ""},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
    ]
    if not character_map:
        return spaces
    # NFKC comes first: Precompiled looks at one letter with its accents at a time, six bytes at
    # most.
    return [
        {"type": "NFKC"},
        {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(character_map).decode()},
        *spaces,
    ]


def read_sentencepiece(model: bytes) -> tuple[list[tuple[str, float]], bytes]:
    """(pieces with their scores, table of normalisations) of a SentencePiece model.

    Raises ValueError for a model that is damaged. SentencePiece itself ignores fields of a wrong
    type; a model that was trained has none.
    """
    pieces: list[tuple[str, float]] = []
    character_map = b""
    for field, value in _fields(model):
        if field == _PIECES:
            piece = dict(_fields(_as_bytes(value)))
            score = _as_bytes(piece.get(_SCORE, bytes(4)))
            if len(score) != 4:
                raise ValueError("the score of a piece is no float")
            text = _as_bytes(piece.get(_PIECE)).decode()
            pieces.append((text, struct.unpack("<f", score)[0]))
        elif field == _NORMALIZER:
            character_map = _as_bytes(dict(_fields(_as_bytes(value))).get(_CHARACTER_MAP, b""))
    return pieces, character_map


def _as_bytes(value: Any) -> bytes:
    """A value of `_fields`, or None for a field that is not there. ValueError for all but bytes."""
    if not isinstance(value, bytes):
        raise ValueError("a field is missing or of another type")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """(number, value) of a protocol buffer's fields: an int for a varint, else bytes.

    Raises ValueError for a buffer that is cut off.
    """
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        number, wire_type = key >> 3, key & 7
        if wire_type == _VARINT:
            value, position = _read_varint(message, position)
            yield number, value
            continue
        size = _FIXED_SIZES.get(wire_type)
        if size is None:
            size, position = _read_varint(message, position)
        yield number, message[position : position + size]
        position += size


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    """(value, position after it)."""
    value = shift = 0
    while True:
        if position >= len(message):
            raise ValueError("it ends inside a number")
        byte = message[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
