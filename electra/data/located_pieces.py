"""Reads where in a text the pieces of SentencePiece are, from the message that it gives.

The message is a protocol buffer (`SentencePieceText` of sentencepiece.proto). It is read here so
that the package protobuf, which sentencepiece asks for otherwise, need not be installed.
"""

from __future__ import annotations

from collections.abc import Iterator

PIECES = 2  # the field of the message that repeats for each piece
ID, BEGIN, END = 2, 4, 5  # fields of a piece
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types


def read_pieces(message: bytes) -> list[tuple[int, int, int]]:
    """(id, begin, end) of each piece, in bytes of the text."""
    pieces = []
    for field, value in _fields(message):
        if field == PIECES and isinstance(value, bytes):
            found = dict(_fields(value))
            pieces.append(tuple(_number(found.get(name, 0)) for name in (ID, BEGIN, END)))
    return [(id_, begin, end) for id_, begin, end in pieces]


def _number(value: int | bytes) -> int:
    assert isinstance(value, int)
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(number, value) of each field of a message."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        field, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield field, value
            continue
        size = {FIXED64: 8, FIXED32: 4}.get(kind)
        if size is None:
            assert kind == BYTES
            size, at = _varint(message, at)
        yield field, message[at : at + size]
        at += size


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """(the number that begins there, where the next thing begins)."""
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
