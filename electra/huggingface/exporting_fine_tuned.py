"""A fine-tuned checkpoint -> a folder whose model is a fine-tuned one of `transformers`."""

from __future__ import annotations

import json
from pathlib import Path

from electra.config import FinetuneConfig, from_dict
from electra.huggingface.config import export_config
from electra.huggingface.exported_files import (
    TrainedModel,
    network_of,
    write_model,
    write_network,
)
from electra.huggingface.safetensors import write_safetensors
from electra.huggingface.task_config import OWN_KEY, export_task, problem_of
from electra.huggingface.task_heads import (
    LinearHead,
    fits_text_head,
    largest_hidden,
    write_text_head,
    write_token_head,
)
from electra.huggingface.tensor_names import PREFIX, Prefixes, export_weights
from electra.huggingface.tokenizer_files import write_tokenizer

ENCODER = Prefixes("encoder.", None)


def write_fine_tuned(folder: Path, name: Path, trained: TrainedModel) -> list[str]:
    """Write all files into `folder`, which will be called `name`. Returns how to load them."""
    why_not = _why_separate(trained)
    if why_not is not None:
        return _write_separate_head(folder, name, trained, why_not)

    config, checkpoint = trained.model.config, trained.checkpoint
    network = network_of(config)
    model_type = PREFIX[network].rstrip(".")
    encoder = export_weights(trained.model.state_dict(), network, config, ENCODER)
    weights = {PREFIX[network] + key: tensor for key, tensor in encoder.items()}

    head = _head_of(trained)
    if checkpoint.kind == "classifier":
        norm = f"{PREFIX[network]}encoder.layer.{config.num_layers - 1}.output.LayerNorm"
        largest = largest_hidden(weights[f"{norm}.weight"], weights[f"{norm}.bias"])
        weights |= write_text_head(head, model_type, largest)
    else:
        weights |= write_token_head(head, checkpoint.kind)
    values = export_config(config, network, bare=True) | export_task(checkpoint, model_type)
    write_model(folder, weights, values)
    _write_tokenizer(folder, trained)
    return _describe(name, trained)


def _head_of(trained: TrainedModel) -> LinearHead:
    weights = trained.model.state_dict()
    return LinearHead(weights["head.out.weight"], weights["head.out.bias"])


def _why_separate(trained: TrainedModel) -> str | None:
    """Why the head cannot be one of transformers; None where it can."""
    config, outputs = trained.model.config, len(_head_of(trained).bias)
    if trained.checkpoint.kind != "classifier":
        return None
    if config.pooling == "mean":
        return "this one reads the mean of the tokens, those of transformers read [CLS]"
    model_type = PREFIX[network_of(config)].rstrip(".")
    if not fits_text_head(model_type, outputs, config.hidden_size):
        return (
            f"this one has {outputs} labels, more than half of the hidden size of "
            f"{config.hidden_size}"
        )
    return None


def _write_separate_head(
    folder: Path, name: Path, trained: TrainedModel, why_not: str
) -> list[str]:
    """Write the encoder, and the head into a file of its own."""
    config, labels = trained.model.config, trained.checkpoint.labels
    head, notes = _head_of(trained), write_encoder(folder, name, trained)
    write_safetensors(
        folder / "head.safetensors",
        {"weight": head.weight, "bias": head.bias},
        {"labels": json.dumps(labels), "pooling": config.pooling},
    )
    pooled = "the vector of [CLS]" if config.pooling == "cls" else "the mean over the real tokens"
    described = f"labels: {', '.join(labels)}" if labels else "a regression"
    return [
        *notes,
        f"  The head is in head.safetensors, because {why_not}; --onnx writes encoder and head "
        f"into one file",
        f"  logits = weight · pooled + bias, where pooled is {pooled}; {described}",
        *_describe_truncation(from_dict(FinetuneConfig, trained.checkpoint.settings)),
        *_describe_thresholds(trained),
    ]


def write_encoder(folder: Path, name: Path, trained: TrainedModel) -> list[str]:
    """Write an encoder without a head. Returns how to load it."""
    network = network_of(trained.model.config)
    write_network(folder, trained, network, trained.model.config, ENCODER)
    return [f'  AutoModel.from_pretrained("{name}"{without_pooler(network)})   the encoder']


def without_pooler(network: str) -> str:
    """An argument of `from_pretrained`: no model here has the pooler of a BertModel."""
    return ", add_pooling_layer=False" if network == "bert" else ""


def _write_tokenizer(folder: Path, trained: TrainedModel) -> None:
    """The tokenizer cuts texts as the fine-tuning did, where the library's can."""
    settings, config = trained.checkpoint.settings, trained.model.config
    max_len = min(settings.get("max_len") or config.max_positions, config.max_positions)
    side = "left" if settings.get("truncate") == "tail" else "right"
    write_tokenizer(folder, trained.checkpoint.tokenizer, max_len, side)


def _describe(name: Path, trained: TrainedModel) -> list[str]:
    checkpoint = trained.checkpoint
    config: FinetuneConfig = from_dict(FinetuneConfig, checkpoint.settings)
    describe = {
        "classifier": _describe_classifier,
        "tagger": _describe_tagger,
        "reader": _describe_reader,
    }[checkpoint.kind]
    return [*describe(name, trained, config), *_describe_thresholds(trained)]


def _describe_classifier(name: Path, trained: TrainedModel, config: FinetuneConfig) -> list[str]:
    checkpoint = trained.checkpoint
    problem = problem_of(checkpoint)
    every = "" if problem == "single_label_classification" else ", top_k=None"
    notes = [f'  pipeline("text-classification", model="{name}", truncation=True{every})']
    if checkpoint.pairs:
        notes.append('  It reads pairs: {"text": …, "text_pair": …}')
    if problem == "regression":
        notes.append("  The score is the value itself, in the unit of the labels of the training")
    else:
        notes.append(f"  labels: {', '.join(checkpoint.labels)}")
    notes += _describe_truncation(config)
    if config.task == "imdb":
        notes.append("  Replace <br /> by a line break in a text first, as predict.py does")
    return notes


def _describe_truncation(config: FinetuneConfig) -> list[str]:
    """How a text that is too long is read here, where `pipeline()` and ONNX do not do the same."""
    if config.truncate == "head+tail":
        return [
            "  Texts that are too long lose their end there; predict.py keeps the head and the tail"
        ]
    if config.truncate == "windows":
        return [
            f"  Of a text of more than {config.max_len} tokens predict.py averages the logits of "
            f"its windows"
        ]
    return []


def _describe_tagger(name: Path, trained: TrainedModel, config: FinetuneConfig) -> list[str]:
    return [
        f'  pipeline("token-classification", model="{name}", aggregation_strategy="first")',
        f"  labels: {', '.join(trained.checkpoint.labels)}",
        f"  Texts of more than {config.max_len} tokens are cut there; predict.py reads them whole",
    ]


def _describe_reader(name: Path, trained: TrainedModel, config: FinetuneConfig) -> list[str]:
    return [
        f'  AutoModelForQuestionAnswering.from_pretrained("{name}")',
        f'  before transformers 5 also: pipeline("question-answering", model="{name}", '
        f"max_seq_len={config.max_len})",
    ]


def _describe_thresholds(trained: TrainedModel) -> list[str]:
    checkpoint = trained.checkpoint
    if not checkpoint.thresholds:
        return []
    place = f'config.json, "{OWN_KEY}"'
    if checkpoint.kind == "reader":
        return [
            f"  There is no answer where [CLS] scores more than {checkpoint.thresholds[0]:.4g} "
            f"above the best answer ({place})"
        ]
    named = (
        f"{label} {threshold:.4g}"
        for label, threshold in zip(checkpoint.labels, checkpoint.thresholds, strict=True)
    )
    return [f"  A text has a label from this probability on: {', '.join(named)} ({place})"]
