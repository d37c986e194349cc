"""SentencePiece (unigram): the tokenizer that is trained on the user's own text."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from electra.config import CLS, MASK, PAD, SEP, SPECIAL_IDS, SPECIAL_TOKENS, UNK, SpecialIds
from electra.data import sentencepiece_child
from electra.data.located_pieces import read_pieces
from electra.data.processes import available_cores, interrupts_for_parent_alone
from electra.data.waiting import REFRESH, Waiting

ROOT = Path(__file__).resolve().parents[2]  # where the package lies
LARGEST_VOCABULARY = 500_000
SAMPLE_BYTES = 20_000_000  # of text; a tokenizer is trained on about so much at most
PIECE_BYTES = 4_000  # SentencePiece drops training lines of more than 4,192 bytes
WORD_START = "▁"


class SentencePieceTokenizer:
    """A trained SentencePiece model, with [PAD] [UNK] [CLS] [SEP] [MASK] as ids 0 to 4.

    Pickles by its bytes, so that worker processes can have it.
    """

    def __init__(self, model: bytes, name: str = "tokenizer", threads: int | None = None) -> None:
        """threads: which encode a batch; by default one for each core that this process may use.

        Raises ValueError, with `name`, where it is no such model or has other special tokens.
        """
        self._bytes = model
        self._processor = sentencepiece.SentencePieceProcessor(
            num_threads=threads or available_cores()
        )
        try:
            self._processor.LoadFromSerializedProto(model)
        except (RuntimeError, OSError, UnicodeDecodeError):
            # UnicodeDecodeError: SentencePiece's own message about a damaged piece is not UTF-8.
            raise ValueError(f"{name} is not a SentencePiece model") from None
        try:
            pieces = self._processor.IdToPiece(list(range(self.vocab_size)))
        except UnicodeDecodeError:
            raise ValueError(
                f"{name} is a damaged SentencePiece model: not all of its pieces are UTF-8"
            ) from None
        found = tuple(pieces[: len(SPECIAL_TOKENS)])
        if found != SPECIAL_TOKENS:
            raise ValueError(
                f"{name} begins with the tokens {' '.join(found)}, but {' '.join(SPECIAL_TOKENS)} "
                f"are needed with ids 0 to 4; train one with train.py"
            )

    def __reduce__(self) -> tuple[type, tuple[bytes, str, int]]:
        # There is a worker process for each core, so that one thread is enough for each.
        return SentencePieceTokenizer, (self._bytes, "tokenizer", 1)

    @property
    def vocab_size(self) -> int:
        """How many ids there are, special tokens included."""
        return self._processor.GetPieceSize()

    @property
    def special(self) -> SpecialIds:
        """The ids of the special tokens."""
        return SPECIAL_IDS

    @property
    def fingerprint(self) -> str:
        """A hexadecimal digest that differs between tokenizers."""
        return hashlib.sha256(self._bytes).hexdigest()

    def encode_batch(self, texts: list[str]) -> list[list[int]]:
        """Ids of each text, without special tokens.

        Text that spells a special token is ordinary text.
        """
        return self._processor.EncodeAsIds(texts) if texts else []

    def located_pieces(self, text: str) -> list[tuple[int, int, int]]:
        """(id, start, end) of each piece, in characters of `text`, the ids as `encode_batch`'s.

        A character that became several bytes is located at the last of them alone.
        """
        places = _located(self._processor, text)
        if text.isascii() or _counts_characters(self._processor):
            return places

        # In bytes: for each byte, the number of characters before it.
        starts = np.cumsum([0, *(len(char.encode()) for char in text)])

        def characters(place: int) -> int:
            return int(np.searchsorted(starts, place))

        return [(id_, characters(begin), characters(end)) for id_, begin, end in places]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens left out."""
        return self._processor.DecodeIds([i for i in ids if i >= len(SPECIAL_TOKENS)])

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """The pieces as they stand in the vocabulary; a word's first piece begins with ▁."""
        return [self._processor.IdToPiece(i) for i in ids]

    def to_bytes(self) -> bytes:
        """The model file."""
        return self._bytes


def _located(
    processor: sentencepiece.SentencePieceProcessor, text: str
) -> list[tuple[int, int, int]]:
    return read_pieces(processor.encode(text, out_type="serialized_proto"))


@functools.cache
def _counts_characters(processor: sentencepiece.SentencePieceProcessor) -> bool:
    """Whether places are counted in characters; versions of sentencepiece differ in it."""
    return _located(processor, "é")[-1][2] == 1


def train_tokenizer(
    lines: Iterable[str], vocab_size: int, cased: bool = False
) -> SentencePieceTokenizer:
    """Train a unigram model with byte fallback on `lines`.

    Text is normalised by NFKC and, unless `cased`, case-folded. The vocabulary comes out smaller
    than `vocab_size` where the text does not support it.

    Raises ValueError for a vocabulary that is too large or too small, for text without a
    character, and what reading `lines` raises.
    """
    smallest = len(SPECIAL_TOKENS) + 256 + 1  # a piece for each byte, and one more
    if not smallest <= vocab_size <= LARGEST_VOCABULARY:
        raise ValueError(f"--vocab-size {vocab_size} is outside {smallest} to {LARGEST_VOCABULARY}")

    try:
        model = _train_in_child(_short_lines(lines), _trainer_settings(vocab_size, cased))
    except RuntimeError as problem:
        raise ValueError(explain_training_error(str(problem), vocab_size)) from None
    return SentencePieceTokenizer(model)


def _train_in_child(sentences: Iterable[str], settings: dict[str, Any]) -> bytes:
    """The model file that SentencePiece's trainer makes.

    The trainer is one call into C++ that takes minutes and heeds no Ctrl-C. So it runs in a process
    of its own, which ends before this function does, however that ends.

    Raises RuntimeError with the trainer's message, ValueError where the process was killed, and
    what reading `sentences` raises.
    """
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    with interrupts_for_parent_alone():
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "electra.data.sentencepiece_child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        )
    try:
        with Waiting("training the tokenizer") as waiting:
            _send(child, sentences, settings, waiting)
            answer = _receive(child, waiting)
    finally:
        child.kill()
        child.wait()
    if answer[:1] == sentencepiece_child.PROBLEM:
        raise RuntimeError(answer[1:].decode())
    if not answer:
        raise ValueError(
            f"the process that trained the tokenizer ended with code {child.returncode}; is there "
            f"enough memory?"
        )
    return answer[1:]


def _send(
    child: subprocess.Popen, sentences: Iterable[str], settings: dict[str, Any], waiting: Waiting
) -> None:
    """Send a child its work and close its input."""
    stdin, child.stdin = child.stdin, None  # `communicate` takes no input that is closed
    assert stdin is not None
    try:
        asked = {"parent": os.getpid(), "settings": settings}
        stdin.write(json.dumps(asked).encode() + b"\n")
        for sentence in sentences:
            data = sentence.encode()
            stdin.write(len(data).to_bytes(4, "little") + data)
            waiting.update()
        stdin.write(sentencepiece_child.END)
        stdin.flush()
    except BrokenPipeError:
        pass  # it has ended, and `_receive` finds out
    finally:
        with contextlib.suppress(BrokenPipeError):
            stdin.close()


def _receive(child: subprocess.Popen, waiting: Waiting) -> bytes:
    """All that a child writes until it ends."""
    while True:
        try:
            return child.communicate(timeout=REFRESH)[0]
        except subprocess.TimeoutExpired:
            waiting.update()


def explain_training_error(message: str, vocab_size: int) -> str:
    """What SentencePiece says of a text and a vocabulary, in this program's words and flags."""
    smaller = re.search(r"smaller than required_chars\. \d+ vs (\d+)", message)
    if smaller:
        return (
            f"--vocab-size {vocab_size} is too small for this text: its characters, the 256 bytes "
            f"and the special tokens are {smaller[1]}; give --vocab-size {smaller[1]} or more"
        )
    if not message.strip() or "sentences_.empty()" in message or "all_chars_count" in message:
        return f"no tokenizer of {vocab_size} tokens can be trained: the text has no character"
    reason = message.strip().splitlines()[-1]
    return f"no tokenizer of {vocab_size} tokens can be trained on this text: {reason}"


def _trainer_settings(vocab_size: int, cased: bool) -> dict[str, Any]:
    return {
        "model_type": "unigram",
        "vocab_size": vocab_size,
        "hard_vocab_limit": False,
        "byte_fallback": True,
        "character_coverage": 0.9995,
        "normalization_rule_name": "nmt_nfkc" if cased else "nmt_nfkc_cf",
        "pad_id": PAD,
        "unk_id": UNK,
        "bos_id": CLS,
        "eos_id": SEP,
        "pad_piece": SPECIAL_TOKENS[PAD],
        "unk_piece": SPECIAL_TOKENS[UNK],
        "bos_piece": SPECIAL_TOKENS[CLS],
        "eos_piece": SPECIAL_TOKENS[SEP],
        "control_symbols": [SPECIAL_TOKENS[MASK]],
        "num_threads": 2,
        "minloglevel": 2,  # errors only
    }


def _short_lines(lines: Iterable[str]) -> Iterator[str]:
    """Lines cut at spaces, where there are any, so that the trainer drops none for its length."""
    for line in lines:
        while len(encoded := line.encode()) > PIECE_BYTES:
            head = encoded[:PIECE_BYTES].decode(errors="ignore")
            cut = head.rfind(" ")
            cut = len(head) if cut <= 0 else cut
            yield line[:cut]
            line = line[cut:].lstrip()
        if line:
            yield line
