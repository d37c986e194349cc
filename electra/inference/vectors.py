"""A vector for each text: from the encoder of any checkpoint, in memory that does not grow.

Letters: B rows, C hidden size.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from electra.checkpoint.checkpoint import ENCODER_PREFIX, Checkpoint, check_finite
from electra.checkpoint.checkpoint import KINDS as CHECKPOINT_KINDS
from electra.checkpoint.storage import load_checkpoint
from electra.data.batch import Batch
from electra.data.examples import Encoded, example_ids
from electra.data.tokenizer import Tokenizer
from electra.inference.predictor import (
    TaskSettings,
    check_lengths,
    default_batch_tokens,
    read_batches,
    read_settings,
)
from electra.inference.texts import Record
from electra.model.build import with_weights
from electra.model.embedder import Embedder
from electra.model.side_by_side import predict_batches
from electra.training.device import Precision, choose_device, choose_precision

WINDOW = 4_096  # texts in memory at a time
NPY_HEADER_BYTES = 128  # of a .npy file: room for any number of rows
DIGITS = 9  # with which a float32 reads back as it was


class TextEncoder(NamedTuple):
    """A model in evaluation mode, and how it takes its texts."""

    model: Embedder
    tokenizer: Tokenizer
    normalise: bool  # whether every vector has length 1
    max_len: int  # tokens of a text
    truncate: str  # what stays of a longer text
    batch_tokens: int
    device: torch.device
    precision: Precision

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return self.model.config.hidden_size


def load_text_encoder(
    path: str | Path,
    pooling: str | None = None,
    normalise: bool | None = None,
    max_len: int | None = None,
    device: str = "auto",
    amp: str = "off",
) -> TextEncoder:
    """The encoder of a checkpoint of any kind; of an ELECTRA, the discriminator's.

    What is None: a model that was fine-tuned on pairs has its own pooling and vectors of length 1;
    others have the mean, as it is. `max_len` is that of the training. Raises ValueError for a file
    that cannot be read, weights that are not finite, and a length that does not fit the model.
    """
    checkpoint = load_checkpoint(path, CHECKPOINT_KINDS)
    trained_len, task = read_settings(checkpoint, max_len, path)
    is_embedder = checkpoint.kind == "embedder"
    own_pooling = checkpoint.model_config.pooling if is_embedder else "mean"
    model = _load_encoder(checkpoint, pooling or own_pooling, path)

    chosen = choose_device(device)
    max_len = max_len or trained_len
    check_lengths(max_len, max_len, model.config)
    return TextEncoder(
        model.to(chosen).eval(),
        checkpoint.tokenizer,
        is_embedder if normalise is None else normalise,
        max_len,
        _truncation(task),
        default_batch_tokens(max_len, chosen),
        chosen,
        choose_precision(amp, chosen),
    )


def _truncation(task: TaskSettings | None) -> str:
    """What stays of a longer text: as in training, where that cut its texts."""
    truncate = task.config.truncate if task else None
    return "head" if truncate in (None, "windows") else str(truncate)


def _load_encoder(checkpoint: Checkpoint, pooling: str, path: str | Path) -> Embedder:
    """An embedder with a checkpoint's embeddings and encoder, without its heads."""
    prefix = ENCODER_PREFIX[checkpoint.kind]
    weights = {
        name.replace(prefix, "encoder.", 1): value
        for name, value in checkpoint.model.items()
        if name.startswith(("embeddings.", prefix))
    }
    check_finite(weights, path)
    config = replace(checkpoint.model_config, pooling=pooling)
    return with_weights(Embedder, config, weights, path)


class Embedded(NamedTuple):
    """A window of texts with their vectors."""

    records: list[Record]
    vectors: NDArray[np.float32]  # (B, C), in the order of the records
    cut: int  # texts that were longer than `max_len`


class EmbeddedTexts:
    """The vectors of a stream of texts, window by window, in the order of the texts."""

    def __init__(
        self, encoder: TextEncoder, records: Iterable[Record], source: str = "the input"
    ) -> None:
        """source: where the texts are from, for messages."""
        self.encoder = encoder
        self.source = source
        self.records = iter(records)
        self.count = 0  # texts so far
        self.cut = 0  # of them, those longer than `max_len`

    def __iter__(self) -> Iterator[Embedded]:
        """Raises ValueError for a record with more than a text, and where there is no text."""
        while window := list(islice(self.records, WINDOW)):
            for record in window:
                _check_single(record)
            embedded = _embed_window(self.encoder, window)
            self.count += len(window)
            self.cut += embedded.cut
            yield embedded
        if not self.count:
            raise ValueError(f"there is no text: {self.source} is empty")

    def remark(self) -> str:
        """What to say of the texts that were cut."""
        return (
            f"{self.cut:,} of {self.count:,} texts are longer than {self.encoder.max_len} tokens "
            f"and were cut (--max-len)"
        )


def _check_single(record: Record) -> None:
    if record.text_b is not None or record.question is not None:
        raise ValueError(
            f'{record.source}: a vector is of one text; leave out "text_b" and "question"'
        )


def _embed_window(encoder: TextEncoder, records: list[Record]) -> Embedded:
    """The vectors of some texts. Texts of like length are in a batch together."""
    tokens = encoder.tokenizer.encode_batch([record.text for record in records])
    special = encoder.tokenizer.special
    examples = [
        example_ids(ids, None, encoder.max_len, encoder.truncate, special) for ids in tokens
    ]
    ids, types = map(list, zip(*examples, strict=True))
    encoded = Encoded(ids, types, [0] * len(ids), special.pad)

    def embed(batch: Batch) -> Tensor:
        found = encoder.model.vectors(batch)  # (B, C)
        return F.normalize(found, dim=-1) if encoder.normalise else found

    vectors = np.empty((len(records), encoder.width), np.float32)
    batches = read_batches(encoded, encoder.batch_tokens, encoder.max_len, encoder.device)
    autocast = encoder.precision.autocast
    for rows, found in predict_batches(embed, batches, encoder.device, autocast):
        vectors[rows] = found
    cut = sum(len(ids) > encoder.max_len - 2 for ids in tokens)  # without [CLS] and [SEP]
    return Embedded(records, vectors, cut)


# ---------------------------------------------------------------- what is written


def vector_lines(windows: Iterable[Embedded]) -> Iterator[str]:
    """A JSON object for each text: itself and its vector."""
    for window in windows:
        for record, vector in zip(window.records, window.vectors, strict=True):
            numbers = [float(f"{number:.{DIGITS}g}") for number in vector.tolist()]
            yield json.dumps({"text": record.text, "vector": numbers}, ensure_ascii=False)


def check_vector_file(path: Path, force: bool) -> None:
    """Raises ValueError where a file cannot be made at `path`, or would be replaced."""
    if path.is_dir():
        raise ValueError(f"{path} is a folder; --out names a file, such as vectors.npy")
    if os.path.lexists(path) and not force:
        raise ValueError(f"{path} is already there; --force replaces it")


def write_vectors(path: Path, windows: Iterable[Embedded], width: int) -> int:
    """Write a .npy file, float32 (N, C), as the windows come. Returns N.

    A reader sees the whole file or the one before: it grows under another name beside it, which
    a stop removes, with the folders that were made for it. Raises OSError where it cannot be
    written, and whatever `windows` raises.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    count = 0
    try:
        with open(temporary, "wb") as file:
            file.write(npy_header(0, width))
            for window in windows:
                file.write(np.ascontiguousarray(window.vectors, "<f4").tobytes())
                count += len(window.vectors)
            file.seek(0)
            file.write(npy_header(count, width))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
        _remove_empty(made)
    return count


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, up to one that holds something."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def npy_header(rows: int, width: int) -> bytes:
    """The first bytes of a .npy file, version 1.0, as many for every number of rows."""
    shape = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}"
    magic = b"\x93NUMPY\x01\x00"
    length = NPY_HEADER_BYTES - len(magic) - 2  # of the text, whose own length is 2 bytes
    text = shape.ljust(length - 1) + "\n"
    return magic + length.to_bytes(2, "little") + text.encode("ascii")
