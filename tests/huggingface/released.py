"""Networks as they are released: their tensors by name, and the function that they compute."""

import math

import torch
import torch.nn.functional as F

from electra.data.batch import Batch
from electra.huggingface.safetensors import read_safetensors

MASKED_LM_HEADS = {
    "generator": ("generator_predictions", "generator_lm_head.bias"),
    "bert": ("cls.predictions.transform", "cls.predictions.bias"),
}


def layers(prefix, C, intermediate, count, random):
    tensors = {}
    for number in range(count):
        at = f"{prefix}encoder.layer.{number}."
        for part, (rows, columns) in {
            "attention.self.query": (C, C),
            "attention.self.key": (C, C),
            "attention.self.value": (C, C),
            "attention.output.dense": (C, C),
            "intermediate.dense": (intermediate, C),
            "output.dense": (C, intermediate),
        }.items():
            tensors |= {
                f"{at}{part}.weight": random(rows, columns),
                f"{at}{part}.bias": random(rows),
            }
        for part in ("attention.output.LayerNorm", "output.LayerNorm"):
            tensors |= {f"{at}{part}.weight": 1 + random(C), f"{at}{part}.bias": random(C)}
    return tensors


def released(network, values, seed=0, prefix=None):
    """Tensors by their released names for a config.json, with a head."""
    generator = torch.Generator().manual_seed(seed)
    shared_generator = torch.Generator().manual_seed(99)

    def random(*shape):
        return 0.2 * torch.randn(shape, generator=generator)

    def shared(*shape):
        """The same in a discriminator and its generator."""
        return 0.5 * torch.randn(shape, generator=shared_generator)

    V, C, P = values["vocab_size"], values["hidden_size"], values["max_position_embeddings"]
    E = values.get("embedding_size", C)
    at = ("bert." if network == "bert" else "electra.") if prefix is None else prefix
    tensors = {
        f"{at}embeddings.word_embeddings.weight": shared(V, E),
        f"{at}embeddings.position_embeddings.weight": shared(P, E),
        f"{at}embeddings.token_type_embeddings.weight": shared(2, E),
        f"{at}embeddings.LayerNorm.weight": 1 + shared(E),
        f"{at}embeddings.LayerNorm.bias": shared(E),
    }
    if E != C:
        tensors |= {
            f"{at}embeddings_project.weight": random(C, E),
            f"{at}embeddings_project.bias": random(C),
        }
    tensors |= layers(at, C, values["intermediate_size"], values["num_hidden_layers"], random)
    return tensors | head_of(network, V, E, C, random)


def head_of(network, V, E, C, random):
    if network == "discriminator":
        head = "discriminator_predictions."
        return {
            f"{head}dense.weight": random(C, C),
            f"{head}dense.bias": random(C),
            f"{head}dense_prediction.weight": random(1, C),
            f"{head}dense_prediction.bias": random(1),
        }
    head, bias = MASKED_LM_HEADS[network]
    return {
        f"{head}.dense.weight": random(E, C),
        f"{head}.dense.bias": random(E),
        f"{head}.LayerNorm.weight": 1 + random(E),
        f"{head}.LayerNorm.bias": random(E),
        bias: random(V),
    }


def without_head(tensors):
    """As of a model that is only an encoder."""
    return {
        name.split(".", 1)[1]: value
        for name, value in tensors.items()
        if name.startswith(("electra.", "bert."))
    }


def tensors_of(folder):
    return read_safetensors(folder / "model.safetensors")


def random_batch(vocab_size, lengths=(20, 13, 4), width=20):
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(104, vocab_size, (len(lengths), width), generator=generator)
    types = torch.randint(0, 2, ids.shape, generator=generator)
    return Batch(ids, types, torch.arange(width) < torch.tensor(lengths)[:, None])


def linear(tensors, name, x):
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]


def norm(tensors, name, x):
    weight, bias = tensors[f"{name}.weight"], tensors[f"{name}.bias"]
    return F.layer_norm(x, x.shape[-1:], weight, bias, 1e-12)


def reference(tensors, batch, heads):
    """(last hidden states (B, T, C), logits of whatever head is there).

    Devlin et al. 2019 and Clark et al. 2020 in plain products, of tensors by their released names.
    """
    word = next(name for name in tensors if name.endswith("word_embeddings.weight"))
    at = word.removesuffix("embeddings.word_embeddings.weight")
    types = tensors[f"{at}embeddings.token_type_embeddings.weight"]
    positions = tensors[f"{at}embeddings.position_embeddings.weight"]
    x = tensors[word][batch.input_ids] + types[batch.token_type_ids]
    x = norm(tensors, f"{at}embeddings.LayerNorm", x + positions[: x.shape[1]])
    if f"{at}embeddings_project.weight" in tensors:
        x = linear(tensors, f"{at}embeddings_project", x)

    number = 0
    while f"{at}encoder.layer.{number}.output.dense.weight" in tensors:
        x = reference_layer(tensors, f"{at}encoder.layer.{number}.", x, batch.attention_mask, heads)
        number += 1

    if "discriminator_predictions.dense.weight" in tensors:
        inner = F.gelu(linear(tensors, "discriminator_predictions.dense", x))
        return x, linear(tensors, "discriminator_predictions.dense_prediction", inner).squeeze(-1)
    for head, bias in MASKED_LM_HEADS.values():
        if f"{head}.dense.weight" in tensors:
            inner = F.gelu(linear(tensors, f"{head}.dense", x))
            inner = norm(tensors, f"{head}.LayerNorm", inner)
            return x, inner @ tensors[word].T + tensors[bias]
    return x, None


def reference_layer(tensors, layer, x, attention_mask, heads):
    hidden = torch.where(attention_mask, 0.0, -math.inf)[:, None, None, :]
    q, k, v = (
        linear(tensors, f"{layer}attention.self.{part}", x)
        .unflatten(-1, (heads, -1))
        .transpose(1, 2)
        for part in ("query", "key", "value")
    )
    weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]) + hidden, -1)
    context = (weights @ v).transpose(1, 2).flatten(2)
    attended = x + linear(tensors, f"{layer}attention.output.dense", context)
    x = norm(tensors, f"{layer}attention.output.LayerNorm", attended)
    inner = F.gelu(linear(tensors, f"{layer}intermediate.dense", x))
    outer = x + linear(tensors, f"{layer}output.dense", inner)
    return norm(tensors, f"{layer}output.LayerNorm", outer)
