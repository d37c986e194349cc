"""A checkpoint -> a folder that transformers loads."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from electra.checkpoint.checkpoint import KINDS
from electra.checkpoint.storage import load_checkpoint
from electra.config import ModelConfig
from electra.data.tokenizer import Tokenizer
from electra.huggingface.config import export_config
from electra.huggingface.onnx import check_onnx_packages, write_onnx
from electra.huggingface.safetensors import write_safetensors
from electra.huggingface.tensor_names import Prefixes, export_weights, prefixes_of
from electra.huggingface.tokenizer_files import write_tokenizer
from electra.model.bert import BertMLM
from electra.model.build import build, with_weights
from electra.model.classifier import Classifier
from electra.model.electra import Electra


class TrainedModel(NamedTuple):
    """What an export reads from a checkpoint."""

    model: Electra | BertMLM | Classifier
    tokenizer: Tokenizer
    labels: tuple[str, ...]  # of a classifier; none for a regression


def export_checkpoint(source: Path, folder: Path, onnx: bool = False) -> list[str]:
    """Write a folder, whole or not at all. Returns how to load it.

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
        if onnx:
            write_onnx(temporary / "model.onnx", trained.model)
            notes.append(
                f"{folder / 'model.onnx'}: input_ids, attention_mask, token_type_ids -> logits"
            )
        os.rename(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [f"{folder} is written. With transformers:", *notes]


def load_trained(source: Path) -> TrainedModel:
    """A checkpoint's model in evaluation mode. A regression answers in the unit of its labels."""
    checkpoint = load_checkpoint(source, KINDS)
    labels, scale = checkpoint.labels, checkpoint.scale

    def make(config: ModelConfig) -> nn.Module:
        if checkpoint.kind == "classifier":
            return Classifier(config, max(1, len(labels)))
        return build(config, 0.15)

    model = with_weights(make, checkpoint.model_config, checkpoint.model, source).eval()
    assert isinstance(model, (Electra, BertMLM, Classifier))
    if scale is not None and isinstance(model, Classifier):
        with torch.no_grad():
            model.head.out.weight.mul_(scale)
            model.head.out.bias.mul_(scale)
    return TrainedModel(model, checkpoint.tokenizer, labels)


def _write_model(folder: Path, name: Path, trained: TrainedModel) -> list[str]:
    """Write all files into `folder`, which will be called `name`. Returns how to load them."""
    if isinstance(trained.model, Electra):
        notes = _write_electra(folder, name, trained)
    elif isinstance(trained.model, BertMLM):
        notes = _write_bert(folder, name, trained)
    else:
        notes = _write_classifier(folder, name, trained)
    return [*notes, f'  AutoTokenizer.from_pretrained("{name}")']


def _write_electra(folder: Path, name: Path, trained: TrainedModel) -> list[str]:
    config = trained.model.config
    discriminator = prefixes_of("discriminator", "electra")
    _write_network(folder, trained, "discriminator", config, discriminator)
    (folder / "generator").mkdir()
    generator = prefixes_of("generator", "electra")
    _write_network(folder / "generator", trained, "generator", config.generator(), generator)
    return [
        f'  AutoModelForPreTraining.from_pretrained("{name}")             the discriminator',
        f'  AutoModelForMaskedLM.from_pretrained("{name / "generator"}")  the generator',
    ]


def _write_bert(folder: Path, name: Path, trained: TrainedModel) -> list[str]:
    config, network = trained.model.config, _network_of(trained.model.config)
    _write_network(folder, trained, network, config, prefixes_of(network, "mlm"))
    notes = [
        f'  AutoModelForMaskedLM.from_pretrained("{name}")',
        f'  AutoModel.from_pretrained("{name}"{_without_pooler(network)})',
    ]
    if network == "generator":
        notes.append(
            f"  (as ELECTRA's masked LM: a BertForMaskedLM cannot have embeddings of "
            f"{config.embedding_size} under layers of {config.hidden_size}; the function is the "
            f"same)"
        )
    return notes


def _write_classifier(folder: Path, name: Path, trained: TrainedModel) -> list[str]:
    config, network = trained.model.config, _network_of(trained.model.config)
    _write_network(folder, trained, network, config, Prefixes("encoder.", None))
    weights = trained.model.state_dict()
    write_safetensors(
        folder / "head.safetensors",
        {"weight": weights["head.out.weight"], "bias": weights["head.out.bias"]},
        {"labels": json.dumps(trained.labels), "pooling": config.pooling},
    )
    pooled = "the vector of [CLS]" if config.pooling == "cls" else "the mean over the real tokens"
    labels = f"labels: {', '.join(trained.labels)}" if trained.labels else "a regression"
    return [
        f'  AutoModel.from_pretrained("{name}"{_without_pooler(network)})   the encoder',
        "  The classification heads of transformers have another shape, so this one is in "
        "head.safetensors:",
        f"  logits = weight · pooled + bias, where pooled is {pooled}; {labels}",
    ]


def _network_of(config: ModelConfig) -> str:
    """The released network of an encoder's shape: unlike an ElectraModel, a BertModel has no
    projection between embeddings and layers."""
    is_bert = config.objective == "mlm" and config.embedding_size == config.hidden_size
    return "bert" if is_bert else "generator"


def _without_pooler(network: str) -> str:
    """An argument of `from_pretrained`: no model here has the pooler of a BertModel."""
    return ", add_pooling_layer=False" if network == "bert" else ""


def _write_network(
    folder: Path, trained: TrainedModel, network: str, config: ModelConfig, prefixes: Prefixes
) -> None:
    """Weights, config.json and tokenizer. `config` is the network's own."""
    weights: dict[str, Tensor] = trained.model.state_dict()
    write_safetensors(
        folder / "model.safetensors", export_weights(weights, network, config, prefixes)
    )
    values = export_config(config, network, bare=prefixes.head is None)
    (folder / "config.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    write_tokenizer(folder, trained.tokenizer, config.max_positions)
