"""The child process in which SentencePiece trains: `python -m electra.data.sentencepiece_child`.

It reads from its input

    a line of JSON: the parent's process id, and the trainer's settings
    the sentences, each behind its length in bytes (4 bytes, little-endian)
    END in place of a length

and writes MODEL and the model file, or PROBLEM and the trainer's message. It imports nothing that
takes time.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from typing import IO

import sentencepiece

from electra.data.processes import end_with_parent

END = b"\xff\xff\xff\xff"
MODEL, PROBLEM = b"+", b"-"


def main() -> None:
    """Train as the parent asks."""
    source, answer = sys.stdin.buffer, sys.stdout.buffer
    asked = json.loads(source.readline())
    end_with_parent(asked["parent"])
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.Train(
            sentence_iterator=_sentences(source), model_writer=model, **asked["settings"]
        )
    except RuntimeError as problem:
        answer.write(PROBLEM + str(problem).encode(errors="replace"))
    else:
        answer.write(MODEL + model.getvalue())


def _sentences(source: IO[bytes]) -> Iterator[str]:
    while (size := source.read(4)) != END:
        yield source.read(int.from_bytes(size, "little")).decode()


if __name__ == "__main__":
    main()
