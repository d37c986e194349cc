"""What every export writes: the weights, config.json and the tokenizer of one network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from electra.checkpoint.checkpoint import Checkpoint
from electra.config import ModelConfig
from electra.huggingface.config import export_config
from electra.huggingface.safetensors import write_safetensors
from electra.huggingface.tensor_names import Prefixes, export_weights
from electra.huggingface.tokenizer_files import write_tokenizer
from electra.model.bert import BertMLM
from electra.model.electra import Electra
from electra.model.fine_tuned import FineTunedModel


class TrainedModel(NamedTuple):
    """What an export reads from a checkpoint."""

    model: Electra | BertMLM | FineTunedModel
    checkpoint: Checkpoint


def network_of(config: ModelConfig) -> str:
    """The released network of an encoder's shape: unlike an ElectraModel, a BertModel has no
    projection between embeddings and layers."""
    is_bert = config.objective == "mlm" and config.embedding_size == config.hidden_size
    return "bert" if is_bert else "generator"


def write_network(
    folder: Path, trained: TrainedModel, network: str, config: ModelConfig, prefixes: Prefixes
) -> None:
    """Write a pre-trained network, or an encoder alone. `config` is the network's own."""
    weights = export_weights(trained.model.state_dict(), network, config, prefixes)
    values = export_config(config, network, bare=prefixes.head is None)
    write_model(folder, weights, values)
    write_tokenizer(folder, trained.checkpoint.tokenizer, config.max_positions)


def write_model(folder: Path, weights: dict[str, Tensor], values: dict[str, Any]) -> None:
    """Write model.safetensors and config.json."""
    write_safetensors(folder / "model.safetensors", weights)
    text = json.dumps(values, indent=1) + "\n"
    (folder / "config.json").write_text(text, encoding="utf-8")
