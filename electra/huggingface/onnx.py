"""A model as an ONNX file, checked against the model."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from electra.data.batch import Batch
from electra.model.bert import BertMLM
from electra.model.electra import Electra
from electra.model.embedder import Embedder
from electra.model.fine_tuned import FineTunedModel
from electra.model.reader import Reader

LARGEST_BATCH = 4_096
TOLERANCE = 1e-4  # between a logit of the file and of the model
CHECKED_SHAPES = ((1, 7), (3, 24))  # rows, tokens; others than that of the exported example


class Logits(nn.Module):
    """What an ONNX file computes, in float32.

    A discriminator's logits (B, T), a masked LM's (B, T, V), a classifier's (B, labels), a tagger's
    (B, T, labels), or a reader's (B, T, 2). Of an embedder the vectors (B, C), of length 1.
    """

    def __init__(self, model: Electra | BertMLM | FineTunedModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """All (B, T) int64; `attention_mask` 1 for real tokens, 0 for padding."""
        batch = Batch(input_ids, token_type_ids, attention_mask.bool())
        if isinstance(self.model, Electra):
            return self.model.detect(input_ids, batch)
        if isinstance(self.model, Reader):  # not -inf on padding, as in `transformers`
            return self.model.head(self.model.hidden(batch))
        if isinstance(self.model, Embedder):
            return F.normalize(self.model.vectors(batch), dim=-1)
        if isinstance(self.model, FineTunedModel):
            return self.model.logits(batch)
        embeddings, mlm = self.model.embeddings, self.model.mlm
        hidden = mlm.encoder(embeddings(input_ids, token_type_ids), batch.attention_mask)
        return mlm.head(hidden, embeddings.word.weight)


def check_onnx_packages() -> None:
    """Raises ValueError, with what to install, where a package of `write_onnx` is missing."""
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as problem:
        raise ValueError(
            f"--onnx needs the package {problem.name}; install it with pip install '.[onnx]'"
        ) from None


def output_name(model: nn.Module) -> str:
    """What a file calls its output."""
    return "vectors" if isinstance(model, Embedder) else "logits"


@torch.no_grad()
def write_onnx(path: Path, model: Electra | BertMLM | FineTunedModel) -> None:
    """Write a file with free batch and length.

    Raises ValueError where its answers differ from the model's by more than `TOLERANCE`.
    """
    max_positions = model.config.max_positions
    example = _random_inputs(model, 2, 16)
    axes = {
        0: torch.export.Dim("batch", min=1, max=LARGEST_BATCH),
        1: torch.export.Dim("length", min=2, max=max_positions),
    }
    wrapped = Logits(model).eval()
    with _silent_exporter():
        program = torch.onnx.export(
            wrapped,
            tuple(example.values()),
            input_names=list(example),
            output_names=[output_name(model)],
            dynamic_shapes=(axes, axes, axes),
            dynamo=True,
            verbose=False,
        )
    assert program is not None  # dynamo's exporter returns one
    program.save(str(path), external_data=False)
    _check_answers(path, wrapped)


def _random_inputs(
    model: Electra | BertMLM | FineTunedModel, rows: int, width: int
) -> dict[str, Tensor]:
    """Random words in rows of half the width to all of it, at most the model's positions."""
    width = min(width, model.config.max_positions)
    generator = torch.Generator().manual_seed(rows)
    ids = torch.randint(5, model.config.vocab_size, (rows, width), generator=generator)
    lengths = torch.linspace(width // 2, width, rows).long()
    mask = (torch.arange(width) < lengths[:, None]).long()
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


@contextlib.contextmanager
def _silent_exporter() -> Iterator[None]:
    """Suppresses what torch's exporter logs and warns of."""
    log = logging.getLogger("torch.onnx")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


def _check_answers(path: Path, wrapped: Logits) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for rows, width in CHECKED_SHAPES:
        inputs = _random_inputs(wrapped.model, rows, width)
        arrays = {name: value.numpy() for name, value in inputs.items()}
        theirs = torch.from_numpy(session.run(None, arrays)[0])
        difference = (wrapped(*inputs.values()) - theirs).abs().max().item()
        if not difference <= TOLERANCE:  # nan fails the comparison
            raise ValueError(
                f"the ONNX file differs from the model by {difference:.2g} on {rows} × {width} "
                f"tokens"
            )
