"""What tests of imports and exports check: checkpoints against tensors, and refusals."""

import json
import struct

import pytest
import torch

from electra.checkpoint.checkpoint import KINDS
from electra.checkpoint.storage import load_checkpoint
from electra.huggingface.safetensors import read_safetensors
from electra.model.bert import BertMLM
from electra.model.build import build
from electra.model.classifier import Classifier
from electra.model.reader import Reader
from electra.model.tagger import Tagger
from huggingface.released import random_batch, reference, tensors_of


def assert_refused(read, *parts):
    """ValueError, in one line that has these parts."""
    with pytest.raises(ValueError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message and all(str(part) in message for part in parts), message


def make_model(kind, config, labels):
    if kind == "classifier":
        return Classifier(config, max(1, len(labels)))
    if kind == "tagger":
        return Tagger(config, len(labels))
    return Reader(config) if kind == "reader" else build(config, 0.15)


def loaded(path):
    """(a checkpoint, its model)."""
    checkpoint = load_checkpoint(path, KINDS)
    config = checkpoint.model_config
    model = make_model(checkpoint.kind, config, checkpoint.labels)
    model.load_state_dict(checkpoint.model)
    return checkpoint, model.eval()


@torch.no_grad()
def computed(model, network, batch):
    """(hidden states [(B, T, C)], logits) of a network of a model here.

    The first hidden state is what the first layer reads, then comes one for each layer.
    """
    mlm = (
        model.mlm
        if isinstance(model, BertMLM)
        else model.generator
        if network == "generator"
        else None
    )
    encoder = (
        mlm.encoder
        if mlm
        else model.encoder
        if isinstance(model, Classifier)
        else model.discriminator
    )
    states = []
    hooks = [
        part.register_forward_hook(lambda module, inputs, output: states.append(output))
        for part in (encoder.projection, *encoder.layers)
    ]
    hidden = encoder(model.embeddings(batch.input_ids, batch.token_type_ids), batch.attention_mask)
    for hook in hooks:
        hook.remove()
    logits = (
        mlm.head(hidden, model.embeddings.word.weight)
        if mlm
        else (
            model.head(hidden, batch.attention_mask)
            if isinstance(model, Classifier)
            else model.rtd_head(hidden)
        )
    )
    return states, logits


def assert_computes(path, network, tensors, heads):
    """The network in a checkpoint computes what its released tensors say."""
    checkpoint, model = loaded(path)
    batch = random_batch(checkpoint.model_config.vocab_size - 20)
    states, logits = computed(model, network, batch)
    hidden, expected = reference(tensors, batch, heads)
    torch.testing.assert_close(states[-1], hidden, rtol=0, atol=1e-5)
    if expected is not None:
        torch.testing.assert_close(
            logits, expected, rtol=0, atol=1e-4 if logits.ndim == 3 else 1e-5
        )
    assert hidden.std() > 0.5 and (expected is None or expected.std() > 0.1)


def assert_encoder_and_head(ours, folder, pooling):
    checkpoint, model = loaded(ours)
    batch = random_batch(checkpoint.model_config.vocab_size)
    tensors = tensors_of(folder)
    assert all(name.startswith(("embeddings", "encoder.")) for name in tensors)
    hidden, _ = reference(tensors, batch, 2)
    torch.testing.assert_close(
        computed(model, "classifier", batch)[0][-1], hidden, rtol=0, atol=1e-5
    )
    head = read_safetensors(folder / "head.safetensors")
    if pooling == "cls":
        pooled = hidden[:, 0]
    else:
        pooled = torch.stack(
            [row[there].mean(0) for row, there in zip(hidden, batch.attention_mask, strict=True)]
        )
    with torch.no_grad():
        torch.testing.assert_close(
            pooled @ head["weight"].T + head["bias"], model.logits(batch), rtol=0, atol=1e-5
        )
    data = (folder / "head.safetensors").read_bytes()
    notes = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]
    assert json.loads(notes["labels"]) == list(checkpoint.labels) and notes["pooling"] == pooling
