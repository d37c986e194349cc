"""A checkpoint -> a folder that transformers loads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import torch
from torch import nn

from electra.checkpoint.checkpoint import KINDS, check_finite
from electra.checkpoint.storage import load_checkpoint
from electra.config import ModelConfig
from electra.huggingface.exported_files import TrainedModel, network_of, write_network
from electra.huggingface.exporting_fine_tuned import without_pooler, write_encoder, write_fine_tuned
from electra.huggingface.onnx import check_onnx_packages, output_name, write_onnx
from electra.huggingface.sentence_folder import write_sentence_files
from electra.huggingface.tensor_names import prefixes_of
from electra.model.bert import BertMLM
from electra.model.build import build, with_weights
from electra.model.classifier import Classifier
from electra.model.electra import Electra
from electra.model.embedder import Embedder
from electra.model.fine_tuned import FineTunedModel
from electra.model.reader import Reader
from electra.model.tagger import Tagger


def export_checkpoint(
    source: Path, folder: Path, onnx: bool = False, pooling: str | None = None
) -> list[str]:
    """Write a folder, whole or not at all. Returns how to load it.

    pooling: "mean" or "cls" adds what the sentence-embedding library reads. An embedder has it
    always, with its own pooling where this is None.

    Raises ValueError where `folder` exists, the checkpoint cannot be read, or `onnx` is wanted
    and its packages are missing or the file's answers differ from the model's; OSError where the
    folder cannot be written.
    """
    if os.path.lexists(folder):
        raise ValueError(f"{folder} is already there; remove it or choose another name")
    if onnx:
        check_onnx_packages()
    trained = load_trained(source)

    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        temporary.mkdir()
        notes = _write_model(temporary, folder, trained)
        if isinstance(trained.model, Embedder):
            pooling = pooling or trained.model.config.pooling
        if pooling is not None:
            notes += write_sentence_files(temporary, folder, trained.checkpoint, pooling)
        if onnx:
            write_onnx(temporary / "model.onnx", trained.model)
            notes.append(
                f"{folder / 'model.onnx'}: input_ids, attention_mask, token_type_ids -> "
                f"{output_name(trained.model)}"
            )
        os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [f"{folder} is written. With transformers:", *notes]


def load_trained(source: Path) -> TrainedModel:
    """A checkpoint's model in evaluation mode. A regression answers in the unit of its labels.

    Raises ValueError for a file that cannot be read, and for fine-tuned weights that are not
    finite.
    """
    checkpoint = load_checkpoint(source, KINDS)
    scale, count = checkpoint.scale, len(checkpoint.labels)

    def make(config: ModelConfig) -> nn.Module:
        if checkpoint.kind == "classifier":
            return Classifier(config, max(1, count))
        if checkpoint.kind == "tagger":
            return Tagger(config, count)
        if checkpoint.kind == "embedder":
            return Embedder(config)
        return Reader(config) if checkpoint.kind == "reader" else build(config, 0.15)

    model = with_weights(make, checkpoint.model_config, checkpoint.model, source).eval()
    assert isinstance(model, (Electra, BertMLM, FineTunedModel))
    if isinstance(model, FineTunedModel):
        check_finite(checkpoint.model, source)
    if scale is not None and isinstance(model, Classifier):
        with torch.no_grad():
            model.head.out.weight.mul_(scale)
            model.head.out.bias.mul_(scale)
    return TrainedModel(model, checkpoint)


def _write_model(folder: Path, name: Path, trained: TrainedModel) -> list[str]:
    """Write all files into `folder`, which will be called `name`. Returns how to load them."""
    if isinstance(trained.model, Electra):
        notes = _write_electra(folder, name, trained)
    elif isinstance(trained.model, BertMLM):
        notes = _write_bert(folder, name, trained)
    elif isinstance(trained.model, Embedder):
        notes = write_encoder(folder, name, trained)
    else:
        notes = write_fine_tuned(folder, name, trained)
    return [*notes, f'  AutoTokenizer.from_pretrained("{name}")']


def _write_electra(folder: Path, name: Path, trained: TrainedModel) -> list[str]:
    config = trained.model.config
    discriminator = prefixes_of("discriminator", "electra")
    write_network(folder, trained, "discriminator", config, discriminator)
    (folder / "generator").mkdir()
    generator = prefixes_of("generator", "electra")
    write_network(folder / "generator", trained, "generator", config.generator(), generator)
    return [
        f'  AutoModelForPreTraining.from_pretrained("{name}")             the discriminator',
        f'  AutoModelForMaskedLM.from_pretrained("{name / "generator"}")  the generator',
    ]


def _write_bert(folder: Path, name: Path, trained: TrainedModel) -> list[str]:
    config, network = trained.model.config, network_of(trained.model.config)
    write_network(folder, trained, network, config, prefixes_of(network, "mlm"))
    notes = [
        f'  AutoModelForMaskedLM.from_pretrained("{name}")',
        f'  AutoModel.from_pretrained("{name}"{without_pooler(network)})',
    ]
    if network == "generator":
        notes.append(
            f"  (as ELECTRA's masked LM: a BertForMaskedLM cannot have embeddings of "
            f"{config.embedding_size} under layers of {config.hidden_size}; the function is the "
            f"same)"
        )
    return notes
