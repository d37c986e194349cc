"""scripts/convert.py as a user runs it: released checkpoints in, ours out, the same function on both sides, and what is
refused."""

import importlib.util
import json
import logging
import math
import os
import pickle
import re
import struct
import sys
import warnings
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import finetune
import train
from electra.checkpoint.checkpoint import KINDS, make_checkpoint
from electra.checkpoint.storage import load_checkpoint, save_checkpoint
from electra.config import (
    SPECIAL_TOKENS,
    FinetuneConfig,
    PretrainConfig,
    SpecialIds,
    preset_model_config,
)
from electra.data.batch import Batch
from electra.data.wordpiece import WordPieceTokenizer
from electra.huggingface.config import shape_of
from electra.huggingface.safetensors import read_safetensors, write_safetensors
from electra.model import masking
from electra.model.bert import BertMLM
from electra.model.build import build
from electra.model.classifier import Classifier

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "data" / "sample"


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


program, predict = load_script("convert"), load_script("predict")


def convert(*arguments):
    """The exit code."""
    try:
        return program.main([str(argument) for argument in arguments])
    except SystemExit as stop:
        return stop.code


@pytest.fixture(autouse=True)
def own_folder(tmp_path_factory, monkeypatch):
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))


@pytest.fixture
def done(capsys):
    """done(arguments …) -> what it says. The exit code has to be 0, and nothing on the standard error output."""

    def run(*arguments):
        capsys.readouterr()
        code = convert(*arguments)
        said = capsys.readouterr()
        assert (code, said.err) == (0, "")
        return said.out

    return run


@pytest.fixture
def refused(capsys, tmp_path):
    """refused(parts of the message, arguments …): exit code 2, one line, and no file more, fewer or changed."""

    def listing():
        return {
            path: path.stat().st_mtime_ns if path.is_file() else None
            for path in tmp_path.rglob("*")
        }

    def check(parts, *arguments):
        capsys.readouterr()
        before = listing()
        code = convert(*arguments)
        said = capsys.readouterr()
        assert code == 2 and re.match(r"convert\.py( import| export)?: error: ", said.err), said.err
        assert said.err.count("\n") == 1, said.err
        assert said.out == "" and listing() == before
        for part in [parts] if isinstance(parts, (str, Path)) else parts:
            assert str(part) in said.err, said.err

    return check


# ---------------------------------------------------------------- folders as they are released


@pytest.fixture(scope="session")
def vocabulary():
    """BERT's special tokens at BERT's ids; then the sample's characters, frequent words and ends of words."""
    text = (SAMPLE / "wiki.raw").read_text(encoding="utf-8").lower()
    first = [f"[unused{i}]" for i in range(104)]
    first[0], first[100:] = "[PAD]", ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    words = Counter(re.findall(r"\w+", text))
    ends = Counter("##" + word[-size:] for word in words for size in (2, 3) if len(word) > size)
    characters = sorted(set(text) - set(" \n"))
    return [
        *first,
        *characters,
        *(f"##{c}" for c in characters),
        *(word for word, n in words.items() if n >= 10 and len(word) > 1),
        *(end for end, n in ends.items() if n >= 15),
    ]


def layers(prefix, C, I, count, random):
    tensors = {}
    for number in range(count):
        at = f"{prefix}encoder.layer.{number}."
        for part, (rows, columns) in {
            "attention.self.query": (C, C),
            "attention.self.key": (C, C),
            "attention.self.value": (C, C),
            "attention.output.dense": (C, C),
            "intermediate.dense": (I, C),
            "output.dense": (C, I),
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
    random = lambda *shape: 0.2 * torch.randn(shape, generator=generator)
    V, C, P = values["vocab_size"], values["hidden_size"], values["max_position_embeddings"]
    E, I = values.get("embedding_size", C), values["intermediate_size"]
    at = ("bert." if network == "bert" else "electra.") if prefix is None else prefix
    shared = torch.Generator().manual_seed(99)  # a discriminator's embeddings are its generator's
    one = lambda *shape: 0.5 * torch.randn(shape, generator=shared)
    tensors = {
        f"{at}embeddings.word_embeddings.weight": one(V, E),
        f"{at}embeddings.position_embeddings.weight": one(P, E),
        f"{at}embeddings.token_type_embeddings.weight": one(2, E),
        f"{at}embeddings.LayerNorm.weight": 1 + one(E),
        f"{at}embeddings.LayerNorm.bias": one(E),
    }
    if E != C:
        tensors |= {
            f"{at}embeddings_project.weight": random(C, E),
            f"{at}embeddings_project.bias": random(C),
        }
    tensors |= layers(at, C, I, values["num_hidden_layers"], random)
    if network == "discriminator":
        head = "discriminator_predictions."
        return tensors | {
            f"{head}dense.weight": random(C, C),
            f"{head}dense.bias": random(C),
            f"{head}dense_prediction.weight": random(1, C),
            f"{head}dense_prediction.bias": random(1),
        }
    head, bias = {
        "generator": ("generator_predictions.", "generator_lm_head.bias"),
        "bert": ("cls.predictions.transform.", "cls.predictions.bias"),
    }[network]
    return tensors | {
        f"{head}dense.weight": random(E, C),
        f"{head}dense.bias": random(E),
        f"{head}LayerNorm.weight": 1 + random(E),
        f"{head}LayerNorm.bias": random(E),
        bias: random(V),
    }


def without_head(tensors):
    """As of a model that is only an encoder."""
    return {
        name.split(".", 1)[1]: value
        for name, value in tensors.items()
        if name.startswith(("electra.", "bert."))
    }


@pytest.fixture
def folder_of(tmp_path, vocabulary):
    """folder_of(network, name, tensors=None, tokens=None, pickled=False, **changes of config.json) -> a folder."""

    def make(network, name=None, tensors=None, tokens=None, pickled=False, **changes):
        kind = "bert" if network == "bert" else "electra"
        values = {
            "model_type": kind,
            "vocab_size": len(vocabulary),
            "hidden_size": 24,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 40,
            "max_position_embeddings": 64,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "attention_probs_dropout_prob": 0.0,
        }
        values |= {"embedding_size": 16} if kind == "electra" else {}
        if network == "generator":
            values |= {"hidden_size": 12, "intermediate_size": 20, "num_attention_heads": 1}
        values |= changes
        folder = tmp_path / (name or network)
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(values))
        (folder / "vocab.txt").write_text(
            "".join(f"{token}\n" for token in tokens or vocabulary), encoding="utf-8"
        )
        tensors = released(network, values) if tensors is None else tensors
        if pickled:
            torch.save(tensors, folder / "pytorch_model.bin")
        else:
            write_safetensors(folder / "model.safetensors", tensors)
        return folder

    return make


def tensors_of(folder):
    return read_safetensors(folder / "model.safetensors")


def loaded(path):
    """(a checkpoint, its model)."""
    checkpoint = load_checkpoint(path, KINDS)
    config = checkpoint.model_config
    model = (
        Classifier(config, len(checkpoint.labels))
        if checkpoint.kind == "classifier"
        else build(config, 0.15)
    )
    model.load_state_dict(checkpoint.model)
    return checkpoint, model.eval()


# ---------------------------------------------------------------- what a network computes


def random_batch(vocab_size, lengths=(20, 13, 4), width=20):
    generator = torch.Generator().manual_seed(5)
    ids = torch.randint(104, vocab_size, (len(lengths), width), generator=generator)
    types = torch.randint(0, 2, ids.shape, generator=generator)
    return Batch(ids, types, torch.arange(width) < torch.tensor(lengths)[:, None])


def reference(tensors, batch, heads):
    """(last hidden states (B, T, C), logits of whatever head is there) of tensors by their released names: Devlin et
    al. 2019 and Clark et al. 2020 in plain products."""
    linear = lambda x, name: x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
    norm = lambda x, name: F.layer_norm(
        x, x.shape[-1:], tensors[f"{name}.weight"], tensors[f"{name}.bias"], 1e-12
    )
    at = next(name for name in tensors if name.endswith("word_embeddings.weight")).removesuffix(
        "embeddings.word_embeddings.weight"
    )
    table = tensors[f"{at}embeddings.word_embeddings.weight"]
    x = (
        table[batch.input_ids]
        + tensors[f"{at}embeddings.token_type_embeddings.weight"][batch.token_type_ids]
    )
    x = norm(
        x + tensors[f"{at}embeddings.position_embeddings.weight"][: x.shape[1]],
        f"{at}embeddings.LayerNorm",
    )
    if f"{at}embeddings_project.weight" in tensors:
        x = linear(x, f"{at}embeddings_project")
    hidden = torch.where(batch.attention_mask, 0.0, -math.inf)[:, None, None, :]
    number = 0
    while f"{at}encoder.layer.{number}.output.dense.weight" in tensors:
        layer = f"{at}encoder.layer.{number}."
        q, k, v = (
            linear(x, f"{layer}attention.self.{part}").unflatten(-1, (heads, -1)).transpose(1, 2)
            for part in ("query", "key", "value")
        )
        weights = torch.softmax(q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]) + hidden, -1)
        context = (weights @ v).transpose(1, 2).flatten(2)
        x = norm(
            x + linear(context, f"{layer}attention.output.dense"),
            f"{layer}attention.output.LayerNorm",
        )
        inner = F.gelu(linear(x, f"{layer}intermediate.dense"))
        x = norm(x + linear(inner, f"{layer}output.dense"), f"{layer}output.LayerNorm")
        number += 1
    if "discriminator_predictions.dense.weight" in tensors:
        inner = F.gelu(linear(x, "discriminator_predictions.dense"))
        return x, linear(inner, "discriminator_predictions.dense_prediction").squeeze(-1)
    for head, bias in (
        ("generator_predictions", "generator_lm_head.bias"),
        ("cls.predictions.transform", "cls.predictions.bias"),
    ):
        if f"{head}.dense.weight" in tensors:
            inner = norm(F.gelu(linear(x, f"{head}.dense")), f"{head}.LayerNorm")
            return x, inner @ table.T + tensors[bias]
    return x, None


@torch.no_grad()
def computed(model, network, batch):
    """(hidden states of every layer, [(B, T, C)], logits) of a network of ours; the first is what layers read."""
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


# ---------------------------------------------------------------- import


def test_a_pair_in_either_order_makes_one_whole_electra(folder_of, tmp_path, done):
    pair = folder_of("discriminator"), folder_of("generator")
    said = done("import", *pair, "--out", tmp_path / "one.pt")
    done("import", *reversed(pair), "--out", tmp_path / "other.pt")
    assert (
        "discriminator: " in said
        and "generator: " in said
        and "new" not in said
        and "unused" not in said
    )
    for path in (tmp_path / "one.pt", tmp_path / "other.pt"):
        for folder, heads in zip(pair, (2, 1)):
            assert_computes(path, folder.name, tensors_of(folder), heads)
    (one, _), (other, _) = loaded(tmp_path / "one.pt"), loaded(tmp_path / "other.pt")
    assert all(torch.equal(one.model[name], other.model[name]) for name in one.model)
    assert one.model_config == other.model_config
    config = one.model_config
    assert (config.objective, config.special) == ("electra", SpecialIds(0, 100, 101, 102, 103))
    assert (
        config.hidden_size,
        config.num_heads,
        config.intermediate_size,
        config.max_positions,
    ) == (24, 2, 40, 64)
    assert (
        config.generator_hidden_size,
        config.generator_num_heads,
        config.generator_intermediate_size,
    ) == (12, 1, 20)
    assert (config.embedding_size, config.dropout, config.attention_dropout) == (16, 0.1, 0.0)


@pytest.mark.parametrize(
    "flags, shape",
    [
        ([], (6, 2, 1)),  # a quarter of the width and of the heads, as many layers
        (["--partner", "8:3:2"], (8, 3, 2)),
    ],
)
def test_a_discriminator_alone_gets_a_new_generator(folder_of, tmp_path, done, flags, shape):
    folder = folder_of("discriminator")
    said = done("import", folder, "--out", tmp_path / "x.pt", *flags)
    assert f"generator: new, hidden size {shape[0]} × {shape[1]} layers" in said
    assert_computes(tmp_path / "x.pt", "discriminator", tensors_of(folder), 2)
    config = loaded(tmp_path / "x.pt")[0].model_config
    assert (
        config.generator_hidden_size,
        config.generator_num_layers,
        config.generator_num_heads,
    ) == shape
    assert config.generator_intermediate_size == 4 * shape[0]


@pytest.mark.parametrize("flags, shape", [([], (48, 2, 4)), (["--partner", "20:3:5"], (20, 3, 5))])
def test_a_generator_alone_gets_a_new_discriminator(folder_of, tmp_path, done, flags, shape):
    folder = folder_of("generator")
    said = done("import", folder, "--out", tmp_path / "x.pt", *flags)
    assert f"discriminator: new, hidden size {shape[0]} × {shape[1]} layers" in said
    assert_computes(tmp_path / "x.pt", "generator", tensors_of(folder), 1)
    config = loaded(tmp_path / "x.pt")[0].model_config
    assert (config.hidden_size, config.num_layers, config.num_heads) == shape
    assert (config.intermediate_size, config.generator_intermediate_size) == (4 * shape[0], 20)


def test_a_new_partner_is_the_same_every_time(folder_of, tmp_path, done):
    folder = folder_of("discriminator")
    done("import", folder, "--out", tmp_path / "a.pt")
    torch.randn(5)
    done("import", folder, "--out", tmp_path / "b.pt")
    a, b = (loaded(tmp_path / name)[0]["model"] for name in ("a.pt", "b.pt"))
    assert all(torch.equal(a[name], b[name]) for name in a)
    new = a["generator.encoder.layers.0.up.weight"]
    assert 0.01 < new.std() < 0.03 and new.abs().max() <= 0.04  # truncated normal(0, 0.02)


# By hand: table 6 of the paper, and tiny's row of the README.
@pytest.mark.parametrize(
    "embedding, discriminator, generator",
    [
        (128, (256, 12, 4), (64, 12, 1)),
        (768, (768, 12, 12), (256, 12, 4)),
        (1024, (1024, 24, 16), (256, 24, 4)),
        (128, (256, 3, 4), (64, 2, 2)),
        (16, (32, 2, 4), (8, 2, 1)),
    ],
)
def test_usual_partners_have_the_paper_s_proportions(embedding, discriminator, generator):
    shape = lambda sizes: dict(
        zip(("hidden_size", "num_layers", "num_heads"), sizes), embedding_size=embedding
    )
    assert program.usual_generator(shape(discriminator)) == generator
    assert program.usual_discriminator(shape(generator)) == discriminator


def test_a_generator_can_be_read_as_a_bert(folder_of, tmp_path, done):
    folder = folder_of("generator")
    done("import", folder, "--out", tmp_path / "x.pt", "--objective", "mlm")
    checkpoint, _ = loaded(tmp_path / "x.pt")
    assert checkpoint.kind == "mlm" and checkpoint.settings["objective"] == "mlm"
    assert_computes(tmp_path / "x.pt", "bert", tensors_of(folder), 1)


@pytest.mark.parametrize(
    "extra", ["nothing", "pooler and NSP", "second names", "old names", "half precision"]
)
def test_a_bert_is_read_whatever_comes_with_it(folder_of, tmp_path, done, extra):
    folder = folder_of("bert")
    tensors = more = tensors_of(folder)
    if extra == "pooler and NSP":
        more = tensors | {
            "bert.pooler.dense.weight": torch.ones(24, 24),
            "bert.pooler.dense.bias": torch.ones(24),
            "cls.seq_relationship.weight": torch.ones(2, 24),
            "cls.seq_relationship.bias": torch.ones(2),
            "bert.embeddings.position_ids": torch.arange(64)[None],
        }
    elif extra == "second names":
        more = tensors | {
            "cls.predictions.decoder.weight": tensors["bert.embeddings.word_embeddings.weight"],
            "cls.predictions.decoder.bias": tensors["cls.predictions.bias"],
        }
    elif extra == "old names":
        more = {
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
                "LayerNorm.bias", "LayerNorm.beta"
            ): value
            for name, value in tensors.items()
        }
    elif extra == "half precision":
        more = {name: value.bfloat16() for name, value in tensors.items()}
        tensors = {name: value.float() for name, value in more.items()}
    write_safetensors(folder / "model.safetensors", more)
    said = done(
        "import", folder, "--out", tmp_path / "new" / "x.pt"
    )  # a folder that is not there yet
    assert "without its head" not in said
    assert_computes(tmp_path / "new" / "x.pt", "bert", tensors, 2)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["x.pt"]


@pytest.mark.parametrize(
    "network, architecture",
    [("discriminator", "ElectraModel"), ("generator", "ElectraForMaskedLM"), ("bert", "BertModel")],
)
def test_an_encoder_alone_gets_a_new_head(folder_of, tmp_path, done, network, architecture):
    folder = folder_of(network, architectures=[architecture])
    tensors = without_head(tensors_of(folder))
    write_safetensors(folder / "model.safetensors", tensors)
    said = done("import", folder, "--out", tmp_path / "x.pt")
    assert said.startswith(f"{network}: {folder}") and "without its head" in said.splitlines()[0]
    assert_computes(tmp_path / "x.pt", network, tensors, 1 if network == "generator" else 2)


@pytest.mark.parametrize("new_format", [True, False])
def test_pickled_weights_are_read(folder_of, tmp_path, done, new_format):
    folder = folder_of("bert", pickled=True)
    tensors = torch.load(folder / "pytorch_model.bin")
    torch.save(
        {name: torch.nn.Parameter(value) for name, value in tensors.items()},
        folder / "pytorch_model.bin",
        _use_new_zipfile_serialization=new_format,
    )
    done("import", folder, "--out", tmp_path / "x.pt")
    assert_computes(tmp_path / "x.pt", "bert", tensors, 2)


def test_safetensors_go_before_pickled_weights(folder_of, tmp_path, done):
    folder = folder_of("bert")
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    done("import", folder, "--out", tmp_path / "x.pt")


class Runs:
    """Pickled, it is a command for whoever unpickles it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("how", ["zip", "legacy", "bare"])
def test_pickled_code_is_refused_and_not_run(folder_of, tmp_path, refused, how):
    folder = folder_of("bert", pickled=True)
    target, path = tmp_path / "it-ran", folder / "pytorch_model.bin"
    content = {**torch.load(path), "more": Runs(target)}
    if how == "bare":
        path.write_bytes(pickle.dumps(Runs(target), 2))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=how == "zip")
    refused([path, "was not loaded"], "import", folder, "--out", tmp_path / "x.pt")
    assert not target.exists()
    pickle.loads(pickle.dumps(Runs(target)))  # the same object, unpickled by the rules of pickle
    assert target.exists()


@pytest.mark.parametrize(
    "content",
    [
        [torch.ones(2)],
        torch.ones(2),
        {"a": 1},
        {"a": torch.ones(1), "b": None},
        {1: torch.ones(1)},
        {"state_dict": {"a": torch.ones(1)}},
    ],
)
def test_pickled_content_that_is_no_dictionary_of_tensors_is_refused(
    folder_of, tmp_path, refused, content
):
    folder = folder_of("bert", pickled=True)
    torch.save(content, folder / "pytorch_model.bin")
    refused(
        [folder / "pytorch_model.bin", "not a dictionary of tensors"],
        "import",
        folder,
        "--out",
        tmp_path / "x.pt",
    )


@pytest.mark.parametrize("legacy", [True, False])
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:1],
        lambda data: data[:2],
        lambda data: b"PK\x03\x04",
        lambda data: b"weights" * 9,
        lambda data: data[: len(data) // 3],
        lambda data: data[:-40],
        lambda data: data[:40] + bytes(200) + data[240:],
    ],
)
def test_damaged_pickled_weights_are_refused(folder_of, tmp_path, refused, damage, legacy):
    folder = folder_of("bert", pickled=True)
    path = folder / "pytorch_model.bin"
    torch.save(torch.load(path), path, _use_new_zipfile_serialization=not legacy)
    path.write_bytes(damage(path.read_bytes()))
    refused(path, "import", folder, "--out", tmp_path / "x.pt")


def test_a_vocabulary_smaller_than_the_embedding_leaves_rows_unused(
    folder_of, tmp_path, done, vocabulary
):
    folder = folder_of("discriminator", vocab_size=len(vocabulary) + 24)
    said = done("import", folder, "--out", tmp_path / "x.pt")
    assert (
        f"vocabulary: {len(vocabulary):,} tokens; the embedding's other 24 rows stay unused" in said
    )
    checkpoint, _ = loaded(tmp_path / "x.pt")
    assert checkpoint.tokenizer.vocab_size + 24 == checkpoint.model_config.vocab_size


def test_one_tokenizer_of_a_pair_is_enough(folder_of, tmp_path, done):
    pair = folder_of("discriminator"), folder_of("generator")
    (pair[0] / "vocab.txt").unlink()
    done("import", *pair, "--out", tmp_path / "x.pt")
    assert loaded(tmp_path / "x.pt")[0].tokenizer.special.mask == 103


# ---------------------------------------------------------------- what import refuses


def test_folders_that_lack_something_are_refused(folder_of, tmp_path, refused):
    out = ("--out", tmp_path / "x.pt")
    refused("nowhere is not a folder", "import", tmp_path / "nowhere", *out)
    folder = folder_of("bert")
    refused("is not a folder", "import", folder / "config.json", *out)
    weights = folder / "model.safetensors"
    weights.rename(folder / "model-00001-of-00002.safetensors")
    refused("neither model.safetensors nor pytorch_model.bin", "import", folder, *out)
    (folder / "model.safetensors.index.json").write_text("{}")
    refused(["in several parts", "model.safetensors.index.json"], "import", folder, *out)
    (folder / "model-00001-of-00002.safetensors").rename(weights)
    (folder / "vocab.txt").rename(tmp_path / "vocab.txt")
    refused("neither vocab.txt nor tokenizer.json", "import", folder, *out)
    (tmp_path / "vocab.txt").rename(folder / "vocab.txt")
    (folder / "config.json").unlink()
    refused("has no config.json", "import", folder, *out)


def test_a_vocabulary_larger_than_the_embedding_is_refused(
    folder_of, tmp_path, refused, vocabulary
):
    folder = folder_of("bert", tokens=[*vocabulary, "one", "two"])
    refused(
        [f"{len(vocabulary) + 2:,} tokens", f"{len(vocabulary):,} rows"],
        "import",
        folder,
        "--out",
        tmp_path / "x.pt",
    )


@pytest.mark.parametrize(
    "changes, listed",
    [
        ({"hidden_size": 32}, ["(24, 24), not (32, 32)", "and "]),
        (
            {"intermediate_size": 44},
            [
                "mlm.encoder.layers.0.up.weight (40, 24), not (44, 24)",
                "mlm.encoder.layers.1.down.weight",
            ],
        ),
        ({"max_position_embeddings": 65}, ["embeddings.position.weight (64, 24), not (65, 24)"]),
        ({"type_vocab_size": 3}, ["embeddings.token_type.weight (2, 24), not (3, 24)"]),
        ({"num_hidden_layers": 3}, ["missing: encoder.layer.2."]),
        ({"num_hidden_layers": 1}, ["no place for: encoder.layer.1."]),
        ({"hidden_size": 2**40, "num_attention_heads": 1}, []),
        ({"hidden_size": 10**30, "num_attention_heads": 1}, []),
        ({"max_position_embeddings": 10**30}, []),
        ({"vocab_size": 2**62}, []),
    ],
)
def test_weights_that_do_not_fit_config_json_are_listed(
    folder_of, tmp_path, refused, changes, listed
):
    folder = folder_of("bert")
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**values, **changes}))
    refused([folder, *listed], "import", folder, "--out", tmp_path / "x.pt")


def test_heads_that_do_not_divide_the_hidden_size_are_refused(folder_of, tmp_path, refused):
    refused(
        "24 does not divide by 5 heads",
        "import",
        folder_of("bert", num_attention_heads=5),
        "--out",
        tmp_path / "x.pt",
    )


def test_names_of_a_stranger_keep_to_one_line(folder_of, tmp_path, refused):
    folder = folder_of("bert")
    write_safetensors(
        folder / "model.safetensors", {**tensors_of(folder), "two\nlines": torch.ones(1)}
    )
    refused(folder, "import", folder, "--out", tmp_path / "x.pt")


def test_pairs_that_are_none_are_refused(folder_of, tmp_path, refused, vocabulary):
    out = ("--out", tmp_path / "x.pt")
    discriminator, generator, bert = (
        folder_of("discriminator"),
        folder_of("generator"),
        folder_of("bert"),
    )
    refused(
        "one must be an ELECTRA discriminator and one its generator",
        "import",
        discriminator,
        discriminator,
        *out,
    )
    refused(f"not bert ({bert}) and generator", "import", bert, generator, *out)
    refused("of two folders", "import", discriminator, generator, bert, *out)
    other = released("generator", json.loads((generator / "config.json").read_text()))
    other["electra.embeddings.LayerNorm.bias"][3] += 1e-6
    other = folder_of("generator", "other", other)
    refused(
        [discriminator, other, "differ in embeddings.norm.bias", "not of one pre-training"],
        "import",
        discriminator,
        other,
        *out,
    )
    wide = folder_of("generator", "wide", embedding_size=20, max_position_embeddings=70)
    refused(
        ["cannot share their embeddings", "embedding_size (16, 20), max_positions (64, 70)"],
        "import",
        wide,
        discriminator,
        *out,
    )
    foreign = folder_of("generator", "foreign", tokens=[*vocabulary[:-1], "foreign"])
    refused("have different tokenizers", "import", discriminator, foreign, *out)


def test_heads_of_two_networks_in_one_folder_are_refused(folder_of, tmp_path, refused):
    folder = folder_of("discriminator")
    both = tensors_of(folder) | {"generator_predictions.dense.weight": torch.ones(16, 24)}
    write_safetensors(folder / "model.safetensors", both)
    refused(
        "the heads of a discriminator and of a generator",
        "import",
        folder,
        "--out",
        tmp_path / "x.pt",
    )


def test_flags_that_do_not_go_with_a_folder_are_refused(folder_of, tmp_path, refused):
    out = ("--out", tmp_path / "x.pt")
    discriminator, generator, bert = (
        folder_of("discriminator"),
        folder_of("generator"),
        folder_of("bert"),
    )
    refused(
        "is a BERT; its weights do not make an ELECTRA",
        "import",
        bert,
        "--objective",
        "electra",
        *out,
    )
    refused("no masked-LM head", "import", discriminator, "--objective", "mlm", *out)
    refused("--partner is for an ELECTRA", "import", bert, "--partner", "8:1:1", *out)
    refused(
        "--partner is for an ELECTRA",
        "import",
        generator,
        "--objective",
        "mlm",
        "--partner",
        "8:1:1",
        *out,
    )
    refused("that comes alone", "import", discriminator, generator, "--partner", "8:1:1", *out)
    for partner in ("8:1", "8:1:1:1", "a:1:1", "8:1:3", "0:1:1", "8:-1:1", "8:1:0", "", "8.5:1:1"):
        refused(
            ["--partner", "is not HIDDEN:LAYERS:HEADS"],
            "import",
            discriminator,
            "--partner",
            partner,
            *out,
        )
    refused("invalid choice", "import", bert, "--objective", "bert", *out)
    refused("--out", "import", bert)
    refused("import|export")


@pytest.mark.parametrize("there", ["file", "folder"])
def test_nothing_that_is_there_is_replaced(folder_of, tmp_path, refused, done, there):
    folder, target = folder_of("bert"), tmp_path / "target"
    done("import", folder, "--out", tmp_path / "x.pt")
    target.mkdir() if there == "folder" else target.write_text("precious")
    refused([target, "already there"], "import", folder, "--out", target)
    refused([target, "already there"], "export", tmp_path / "x.pt", target)
    if there == "file":
        refused("", "import", folder, "--out", target / "x.pt")
        refused("", "export", tmp_path / "x.pt", target / "folder")
        link = tmp_path / "link"
        link.symlink_to(tmp_path / "nowhere")
        refused([link, "already there"], "export", tmp_path / "x.pt", link)


def test_a_checkpoint_that_cannot_be_written_leaves_nothing(
    folder_of, tmp_path, refused, monkeypatch
):
    def full(content, path):
        path.write(b"half")
        raise RuntimeError("no space left")

    monkeypatch.setattr(torch, "save", full)
    refused("no space left", "import", folder_of("bert"), "--out", tmp_path / "x.pt")


# ---------------------------------------------------------------- export


@pytest.fixture
def tokenizers(tokenizer, vocabulary):
    return {
        "sentencepiece": tokenizer,
        "wordpiece": WordPieceTokenizer(vocabulary, strip_accents=False),
    }


@pytest.fixture
def saved(tmp_path, shape, tokenizers):
    """saved(kind, tokens, labels, **changes of the shape) -> a checkpoint of random weights, no two of them equal."""

    def make(
        kind="electra", tokens="wordpiece", labels=("bad", "so so", "good"), name="x.pt", **changes
    ):
        tokenizer = tokenizers[tokens] if isinstance(tokens, str) else tokens
        config = shape(
            **{
                "objective": "electra" if kind == "electra" else "mlm",
                "vocab_size": tokenizer.vocab_size,
                "special": tokenizer.special,
                "pooling": "mean",
                "dropout": 0.1,
                **changes,
            }
        )
        torch.manual_seed(1)
        model = Classifier(config, len(labels)) if kind == "classifier" else build(config, 0.15)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        settings = FinetuneConfig() if kind == "classifier" else PretrainConfig()
        checkpoint = make_checkpoint(
            model, tokenizer, settings, labels=labels if kind == "classifier" else ()
        )
        save_checkpoint(tmp_path / name, checkpoint)
        return tmp_path / name

    return make


@pytest.mark.parametrize("tokens", ["sentencepiece", "wordpiece"])
@pytest.mark.parametrize(
    "kind, changes",
    [
        ("electra", {}),
        ("electra", {"embedding_size": 24, "generator_hidden_size": 24}),
        ("mlm", {"embedding_size": 24}),
        ("mlm", {}),
    ],
)
def test_what_was_exported_comes_back_bitwise(saved, tmp_path, done, kind, changes, tokens):
    ours, folder = saved(kind, tokens, **changes), tmp_path / "new" / "exported"
    done("export", ours, folder)
    files = {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
    }
    files |= {"vocab.txt"} if tokens == "wordpiece" else set()
    assert {path.name for path in folder.iterdir()} == files | (
        {"generator"} if kind == "electra" else set()
    )
    folders = [folder] + ([folder / "generator"] if kind == "electra" else [])
    if kind == "electra":
        assert {path.name for path in (folder / "generator").iterdir()} == files
    as_bert = (
        ["--objective", "mlm"] if (kind, changes) == ("mlm", {}) else []
    )  # which is in the form of a generator
    done("import", *folders, "--out", tmp_path / "back.pt", *as_bert)
    (before, _), (after, _) = loaded(ours), loaded(tmp_path / "back.pt")
    assert list(after["model"]) == list(before["model"])
    assert all(torch.equal(after["model"][name], value) for name, value in before["model"].items())
    assert torch.equal(after["tokenizer"], before["tokenizer"]) and after["kind"] == before["kind"]
    read = [name for name in before["model_config"] if kind == "electra" or "generator" not in name]
    assert [after["model_config"][name] for name in read] == [
        before["model_config"][name] for name in read
    ]


@pytest.mark.parametrize(
    "kind, changes, network",
    [
        ("mlm", {"embedding_size": 24}, "bert"),
        ("mlm", {}, "generator"),
        ("electra", {}, "discriminator"),
        ("electra", {}, "generator"),
    ],
)
def test_exported_tensors_compute_what_the_model_computes(
    saved, tmp_path, done, kind, changes, network
):
    ours, folder = saved(kind, **changes), tmp_path / "exported"
    said = done("export", ours, folder)
    folder = folder / "generator" if (kind, network) == ("electra", "generator") else folder
    name = {
        "bert": "BertForMaskedLM",
        "generator": "ElectraForMaskedLM",
        "discriminator": "ElectraForPreTraining",
    }[network]
    assert json.loads((folder / "config.json").read_text())["architectures"] == [name]
    assert_computes(ours, network, tensors_of(folder), 2)
    assert ("add_pooling_layer=False" in said) == (network == "bert")
    assert ("as ELECTRA's masked LM" in said) == ((kind, network) == ("mlm", "generator"))


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize(
    "changes",
    [{"objective": "electra"}, {"objective": "mlm"}, {"objective": "mlm", "embedding_size": 24}],
)
def test_an_exported_classifier_is_an_encoder_and_a_head(saved, tmp_path, done, changes, pooling):
    ours = saved("classifier", pooling=pooling, labels=("bad", "so, so", "güt"), **changes)
    folder = tmp_path / "exported"
    said = done("export", ours, folder)
    bare = "BertModel" if changes.get("embedding_size") == 24 else "ElectraModel"
    assert json.loads((folder / "config.json").read_text())["architectures"] == [bare]
    assert ("add_pooling_layer=False" in said) == (
        bare == "BertModel"
    ) and "labels: bad, so, so, güt" in said
    assert_encoder_and_head(ours, folder, pooling)


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
            [row[there].mean(0) for row, there in zip(hidden, batch.attention_mask)]
        )
    with torch.no_grad():
        torch.testing.assert_close(
            pooled @ head["weight"].T + head["bias"], model.logits(batch), rtol=0, atol=1e-5
        )
    data = (folder / "head.safetensors").read_bytes()
    notes = json.loads(data[8 : 8 + struct.unpack("<Q", data[:8])[0]])["__metadata__"]
    assert json.loads(notes["labels"]) == list(checkpoint.labels) and notes["pooling"] == pooling


def test_an_exported_regression_answers_in_the_unit_of_its_labels(saved, tmp_path, done):
    path = saved("classifier", labels=("one",), name="r.pt")
    checkpoint = load_checkpoint(path, ("classifier",))
    save_checkpoint(path, replace(checkpoint, labels=(), scale=5.0))
    assert "a regression" in done("export", path, tmp_path / "exported")
    head = read_safetensors(tmp_path / "exported" / "head.safetensors")
    for name in ("weight", "bias"):
        assert torch.equal(head[name], 5 * checkpoint.model[f"head.out.{name}"])


def test_checkpoints_that_cannot_be_read_are_refused(saved, tmp_path, refused):
    good, target = saved(), tmp_path / "exported"
    refused("No such file", "export", tmp_path / "nowhere.pt", target)
    data = bytearray(good.read_bytes())
    changed = data[:5_000] + b"\xff\x00" + data[5_002:]
    for name, content in (("cut.pt", data[:-100]), ("empty.pt", b""), ("changed.pt", changed)):
        (tmp_path / name).write_bytes(content)
        refused(tmp_path / name, "export", tmp_path / name, target)
    refused(tmp_path, "export", tmp_path, target)
    refused("DIR", "export", good)


@pytest.mark.parametrize("where", ["write_safetensors", "write_tokenizer", "export_config"])
def test_an_export_that_fails_leaves_nothing(saved, tmp_path, refused, monkeypatch, where):
    path, real, calls = saved(), getattr(program, where), []

    def fail_the_second_time(*arguments, **more):
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError("no space left")
        return real(*arguments, **more)

    monkeypatch.setattr(program, where, fail_the_second_time)
    refused("no space left", "export", path, tmp_path / "exported")
    assert len(calls) == 2


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime", "onnxscript"])
def test_onnx_without_its_packages_is_refused(saved, tmp_path, refused, monkeypatch, missing):
    for name in ("onnx", "onnxruntime", "onnxscript"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else sys)
    refused(
        [f"needs the package {missing}", "pip install '.[onnx]'"],
        "export",
        saved(),
        tmp_path / "exported",
        "--onnx",
    )


def test_an_onnx_file_that_differs_is_not_kept(saved, tmp_path, refused, monkeypatch):
    def differs(path, model):
        path.write_bytes(b"half")
        raise ValueError("the ONNX file differs from the model by 0.1")

    monkeypatch.setattr(program, "need_onnx", lambda: None)
    monkeypatch.setattr(program, "write_onnx", differs)
    refused("differs from the model", "export", saved(), tmp_path / "exported", "--onnx")


# ---------------------------------------------------------------- the other programs on an imported checkpoint


@pytest.fixture
def cache(tmp_path_factory):
    return tmp_path_factory.getbasetemp() / "convert-cache"


@pytest.fixture
def imported(folder_of, tmp_path, done, vocabulary):
    """imported(objective) -> a checkpoint with BERT's special ids and some rows of the embedding unused."""

    def make(objective):
        rows = {"vocab_size": len(vocabulary) + 9}
        folders = (
            [folder_of("bert", **rows)]
            if objective == "mlm"
            else [folder_of(network, **rows) for network in ("discriminator", "generator")]
        )
        done("import", *folders, "--out", tmp_path / "imported.pt")
        return tmp_path / "imported.pt"

    return make


def spy(monkeypatch, module, name, keep):
    """Let `keep` see the arguments and the result of every call of a function."""
    real = getattr(module, name)

    def call(*arguments, **more):
        result = real(*arguments, **more)
        keep(arguments, result)
        return result

    monkeypatch.setattr(module, name, call)


def assert_framed(batch):
    """[CLS] and [SEP] with ids 101 and 102 around every row, 0 behind it, and nothing else of BERT's special ids."""
    for row, ids in enumerate(batch.input_ids):
        length = len(ids) if batch.attention_mask is None else int(batch.attention_mask[row].sum())
        assert (int(ids[0]), int(ids[length - 1])) == (101, 102) and not ids[length:].any()
        inside = ids[1 : length - 1]
        assert 0 not in inside and 101 not in inside and 103 not in inside and (inside >= 100).all()


@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_an_imported_checkpoint_trains_fine_tunes_and_predicts(
    imported, tmp_path, cache, monkeypatch, capsys, objective
):
    start, batches, masked, tuned, asked = imported(objective), [], [], [], []
    with monkeypatch.context() as patch:
        spy(patch, train, "train_step", lambda arguments, result: batches.extend(arguments[1]))
        spy(patch, masking, "mask", lambda arguments, result: masked.append((arguments, result)))
        assert (
            train.main(
                [
                    str(part)
                    for part in (
                        "--init",
                        start,
                        "--corpus",
                        SAMPLE / "wiki.raw",
                        "--steps",
                        3,
                        "--seq-len",
                        32,
                        "--batch-tokens",
                        512,
                        "--amp",
                        "off",
                        "--cache",
                        cache,
                        "--out",
                        tmp_path / "run",
                        "--save-every",
                        2,
                    )
                ]
            )
            == 0
        )
    assert len(batches) == 3
    for batch in batches:
        assert_framed(batch)
    for arguments, result in masked:
        chosen = result.input_ids.gather(1, result.positions)[result.weights.bool()]
        assert (chosen == 103).float().mean() > 0.6 and not (chosen < 100).logical_and(
            chosen == result.targets[result.weights.bool()]
        ).any()
        assert not set(result.targets[result.weights.bool()].tolist()) & {0, 101, 102, 103}

    with monkeypatch.context() as patch:
        spy(patch, finetune, "train_step", lambda arguments, result: tuned.extend(arguments[1]))
        assert (
            finetune.main(
                [
                    str(part)
                    for part in (
                        "--task",
                        "sst2",
                        "--data",
                        SAMPLE / "sst2",
                        "--init",
                        tmp_path / "run" / "ckpt.pt",
                        "--epochs",
                        0.2,
                        "--max-len",
                        24,
                        "--amp",
                        "off",
                        "--train-examples",
                        96,
                        "--out",
                        tmp_path / "tuned",
                    )
                ]
            )
            == 0
        )
    assert len(tuned) >= 1
    for batch in tuned:
        assert_framed(batch)

    spy(
        monkeypatch,
        predict,
        "example_ids" if objective == "electra" else "encode_examples",
        lambda arguments, result: asked.append(
            result[0] if objective == "electra" else result.ids[0]
        ),
    )
    capsys.readouterr()
    path = tmp_path / ("run" if objective == "electra" else "tuned") / "ckpt.pt"
    assert predict.main(["--ckpt", str(path), "--amp", "off", "The water, and the stone"]) == 0
    said = json.loads(capsys.readouterr().out)
    tokenizer = loaded(start)[0].tokenizer
    assert asked == [[101, *tokenizer.encode_batch(["The water, and the stone"])[0], 102]]
    if objective == "electra":
        assert [word["word"] for word in said["words"]] == [
            "the",
            "water",
            ",",
            "and",
            "the",
            "stone",
        ]
    else:
        assert set(said["probabilities"]) == {"negative", "positive"}


def test_a_word_that_the_vocabulary_lacks_is_a_word_in_the_view(imported, capsys):
    assert (
        predict.main(["--ckpt", str(imported("electra")), "--amp", "off", "the 漢字 stone 漢"]) == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert [word["word"] for word in said["words"]] == ["the", "[UNK]", "[UNK]", "stone", "[UNK]"]


def test_a_resumed_run_keeps_the_dropout_that_was_imported(imported, tmp_path, cache):
    flags = [
        "--init",
        imported("electra"),
        "--corpus",
        SAMPLE / "wiki.raw",
        "--steps",
        2,
        "--seq-len",
        16,
        "--batch-tokens",
        256,
        "--cache",
        cache,
        "--out",
        tmp_path / "run",
    ]
    assert train.main([str(flag) for flag in flags]) == 0
    before = loaded(tmp_path / "run" / "ckpt.pt")[0]["model_config"]
    assert train.main(["--out", str(tmp_path / "run"), "--resume"]) == 0
    after = loaded(tmp_path / "run" / "ckpt.pt")[0]["model_config"]
    assert (before["dropout"], before["attention_dropout"]) == (0.1, 0.0) and after == before


def test_a_fine_tuned_import_can_be_exported(imported, tmp_path, done):
    assert (
        finetune.main(
            [
                str(part)
                for part in (
                    "--task",
                    "sst2",
                    "--data",
                    SAMPLE / "sst2",
                    "--init",
                    imported("electra"),
                    "--epochs",
                    0.1,
                    "--max-len",
                    16,
                    "--amp",
                    "off",
                    "--out",
                    tmp_path / "tuned",
                )
            ]
        )
        == 0
    )
    done("export", tmp_path / "tuned" / "ckpt.pt", tmp_path / "exported")
    assert_encoder_and_head(tmp_path / "tuned" / "ckpt.pt", tmp_path / "exported", "mean")


# ---------------------------------------------------------------- beside transformers

HAND_PICKED = [
    "A plain Sentence, with CAPITALS and 1,234.5 numbers.",
    "naïve café Straße İstanbul",
    "cafe\u0301 A\u030a a\u0323\u0307 o\u0302\u0301 \u1112\u1161\u11ab\u1100",
    "漢字と仮名、한국어 텍스트",
    "Ελληνικά Русский العربية עברית हिन्दी ไทย",
    "emoji 😀 👩\u200d🔬 🇩🇪",
    "ﬁ ½ Ⅷ ２０２６ ㎏",
    "  two  spaces ",
    "",
    " ",
    "\ttab\u00a0no-break\u3000wide\u200bzero",
    "e = mc² ≤ ∑ √2 → ∞",
    "x",
    "\u2028line",
]


@pytest.fixture(scope="session")
def transformers():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HF_HUB_OFFLINE", "1")
        module = pytest.importorskip("transformers")
        module.logging.set_verbosity_error()
        module.logging.disable_progress_bar()
        yield module


def shaken(model):
    """A model of theirs whose biases are not 0 and whose LayerNorms are not 1."""
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval()


@torch.no_grad()
def assert_equal_to(theirs, model, network, vocab_size, lengths=(20, 13, 4), width=20):
    """Hidden states of every layer and logits, within 1e-5."""
    batch = random_batch(vocab_size, lengths, width)
    said = theirs(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask.long(),
        token_type_ids=batch.token_type_ids,
        output_hidden_states=True,
    )
    states, logits = computed(model, network, batch)
    assert len(said.hidden_states) == len(states)
    for mine, other in zip(states, said.hidden_states):
        torch.testing.assert_close(mine, other, rtol=0, atol=1e-5)
    other = said.get("logits", said.get("prediction_logits"))
    if other is not None:
        torch.testing.assert_close(logits, other, rtol=0, atol=1e-5)
        assert other.std() > 0.02
    return other is not None


@pytest.fixture
def theirs_in(tmp_path, vocabulary):
    """theirs_in(model, name, pickled) -> the folder that transformers wrote, with a vocabulary."""

    def make(model, name, pickled=False):
        folder = tmp_path / name
        model.save_pretrained(folder)
        if pickled:
            (folder / "model.safetensors").unlink()
            torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "vocab.txt").write_text(
            "".join(f"{token}\n" for token in vocabulary), encoding="utf-8"
        )
        return folder

    return make


SMALL = dict(
    hidden_size=24,
    num_hidden_layers=3,
    num_attention_heads=2,
    intermediate_size=40,
    max_position_embeddings=64,
)


def their_pair(transformers, vocab_size, **changes):
    """(discriminator, generator) over the same embeddings."""
    config = transformers.ElectraConfig(
        vocab_size=vocab_size, embedding_size=16, **{**SMALL, **changes}
    )
    narrow = transformers.ElectraConfig(
        **{
            **config.to_dict(),
            "hidden_size": config.hidden_size // 2,
            "intermediate_size": 28,
            "num_attention_heads": 1,
        }
    )
    discriminator = shaken(transformers.ElectraForPreTraining(config))
    generator = shaken(transformers.ElectraForMaskedLM(narrow))
    generator.electra.embeddings.load_state_dict(discriminator.electra.embeddings.state_dict())
    return discriminator, generator


@pytest.mark.parametrize("pickled", [False, True])
def test_an_imported_electra_equals_transformers(
    transformers, theirs_in, tmp_path, done, vocabulary, pickled
):
    discriminator, generator = their_pair(transformers, len(vocabulary))
    folders = [
        theirs_in(generator, "generator", pickled),
        theirs_in(discriminator, "discriminator", pickled),
    ]
    done("import", *folders, "--out", tmp_path / "x.pt")
    _, model = loaded(tmp_path / "x.pt")
    assert assert_equal_to(discriminator, model, "discriminator", len(vocabulary))
    assert assert_equal_to(generator, model, "generator", len(vocabulary))


@pytest.mark.parametrize("name", ["BertForPreTraining", "BertForMaskedLM", "BertModel"])
def test_an_imported_bert_equals_transformers(
    transformers, theirs_in, tmp_path, done, vocabulary, name
):
    theirs = shaken(
        getattr(transformers, name)(transformers.BertConfig(vocab_size=len(vocabulary), **SMALL))
    )
    said = done(
        "import",
        theirs_in(theirs, "bert", pickled=name == "BertForPreTraining"),
        "--out",
        tmp_path / "x.pt",
    )
    _, model = loaded(tmp_path / "x.pt")
    assert (
        assert_equal_to(theirs, model, "bert", len(vocabulary))
        == (name != "BertModel")
        == ("is new" not in said)
    )


def test_an_imported_electra_encoder_equals_transformers(
    transformers, theirs_in, tmp_path, done, vocabulary
):
    config = transformers.ElectraConfig(vocab_size=len(vocabulary), embedding_size=24, **SMALL)
    theirs = shaken(transformers.ElectraModel(config))
    assert "came without its head" in done(
        "import", theirs_in(theirs, "electra"), "--out", tmp_path / "x.pt"
    )
    assert not assert_equal_to(
        theirs, loaded(tmp_path / "x.pt")[1], "discriminator", len(vocabulary)
    )


def filled(make, config):
    """A large model of theirs without its own slow first values: every tensor is another stretch of one noise."""
    with torch.device("meta"):
        model = make(config)
    model = model.to_empty(device="cpu").eval()
    noise = 0.03 * torch.randn(768 * 3_072 + 500, generator=torch.Generator().manual_seed(0))
    for number, (name, parameter) in enumerate(model.named_parameters()):
        values = noise[number : number + parameter.numel()].view(parameter.shape)
        parameter.data.copy_(1 + values if name.endswith("LayerNorm.weight") else values)
    model.tie_weights()
    for name, buffer in model.named_buffers():
        buffer.copy_(torch.arange(512) if name.endswith("position_ids") else torch.zeros(()))
    return model


@pytest.mark.parametrize("kind", ["electra", "bert"])
def test_base_models_equal_transformers(transformers, kind):
    size = dict(
        vocab_size=1_000,
        hidden_size=768,
        num_hidden_layers=12,
        num_attention_heads=12,
        intermediate_size=3_072,
    )
    generator = {**size, "hidden_size": 256, "intermediate_size": 1_024, "num_attention_heads": 4}
    if kind == "bert":
        theirs = {"bert": filled(transformers.BertForMaskedLM, transformers.BertConfig(**size))}
    else:
        config = lambda values: transformers.ElectraConfig(embedding_size=768, **values)
        theirs = {
            "discriminator": filled(transformers.ElectraForPreTraining, config(size)),
            "generator": filled(transformers.ElectraForMaskedLM, config(generator)),
        }
        theirs["generator"].electra.embeddings.load_state_dict(
            theirs["discriminator"].electra.embeddings.state_dict()
        )
    found = [
        program.Network(
            Path(name), name, shape_of(model.config.to_dict(), name), model.state_dict()
        )
        for name, model in theirs.items()
    ]
    config = program.whole_config(found, WordPieceTokenizer(list(SPECIAL_TOKENS)), None, None)
    # What a generator would be is not read in a BERT.
    config = replace(
        config, generator_hidden_size=256, generator_num_heads=4, generator_intermediate_size=1_024
    )
    assert config == preset_model_config("base", "electra" if kind == "electra" else "mlm", 1_000)
    with torch.device("meta"):
        model = build(config, 0.15)
    model.load_state_dict(program.merge(found, config)[0], assign=True)
    for name, other in theirs.items():
        assert assert_equal_to(other, model.eval(), name, 1_000, (48, 29), 48)


def from_pretrained(auto, folder, **more):
    """(model, names that the folder lacks, names that it has too many)."""
    model, said = auto.from_pretrained(folder, output_loading_info=True, **more)
    assert not said["mismatched_keys"]
    return model.eval(), set(said["missing_keys"]), set(said["unexpected_keys"])


@pytest.mark.parametrize("changes", [{}, {"embedding_size": 24, "generator_hidden_size": 24}])
def test_transformers_reads_an_exported_electra(transformers, saved, tmp_path, done, changes):
    ours, folder = saved("electra", **changes), tmp_path / "exported"
    done("export", ours, folder)
    _, model = loaded(ours)
    for auto, name, network in (
        (transformers.AutoModelForPreTraining, folder, "discriminator"),
        (transformers.AutoModelForMaskedLM, folder / "generator", "generator"),
    ):
        theirs, missing, unexpected = from_pretrained(auto, name)
        assert (missing, unexpected) == (set(), set())
        assert (
            type(theirs).__name__
            == f"ElectraFor{'PreTraining' if network == 'discriminator' else 'MaskedLM'}"
        )
        assert assert_equal_to(theirs, model, network, model.config.vocab_size)
        encoder, missing, _ = from_pretrained(transformers.AutoModel, name)
        assert missing == set() and not assert_equal_to(
            encoder, model, network, model.config.vocab_size
        )


@pytest.mark.parametrize(
    "changes, name", [({"embedding_size": 24}, "BertForMaskedLM"), ({}, "ElectraForMaskedLM")]
)
def test_transformers_reads_an_exported_bert(transformers, saved, tmp_path, done, changes, name):
    ours, folder = saved("mlm", **changes), tmp_path / "exported"
    done("export", ours, folder)
    _, model = loaded(ours)
    theirs, missing, unexpected = from_pretrained(transformers.AutoModelForMaskedLM, folder)
    assert (type(theirs).__name__, missing, unexpected) == (name, set(), set())
    assert assert_equal_to(theirs, model, "bert", model.config.vocab_size)
    encoder, missing, _ = from_pretrained(transformers.AutoModel, folder)
    assert missing == (
        {"pooler.dense.weight", "pooler.dense.bias"} if name == "BertForMaskedLM" else set()
    )
    if name == "BertForMaskedLM":
        encoder, missing, _ = from_pretrained(
            transformers.AutoModel, folder, add_pooling_layer=False
        )
        assert missing == set()
    assert not assert_equal_to(encoder, model, "bert", model.config.vocab_size)


@pytest.mark.parametrize(
    "changes", [{"objective": "electra"}, {"objective": "mlm", "embedding_size": 24}]
)
def test_transformers_reads_the_encoder_of_an_exported_classifier(
    transformers, saved, tmp_path, done, changes
):
    ours, folder = saved("classifier", **changes), tmp_path / "exported"
    done("export", ours, folder)
    more = {"add_pooling_layer": False} if changes["objective"] == "mlm" else {}
    encoder, missing, unexpected = from_pretrained(transformers.AutoModel, folder, **more)
    assert (missing, unexpected) == (set(), set())
    assert not assert_equal_to(encoder, loaded(ours)[1], "classifier", 200)


@pytest.mark.parametrize("tokens", ["wordpiece", "sentencepiece"])
def test_transformers_tokenizes_as_the_exported_model_did(
    transformers, saved, tokenizers, tmp_path, done, tokens
):
    done("export", saved("mlm", tokens), tmp_path / "exported")
    theirs, ours = (
        transformers.AutoTokenizer.from_pretrained(tmp_path / "exported"),
        tokenizers[tokens],
    )
    # Of what SentencePiece cuts in two equally likely ways, each program takes one: see `hf._unigram_parts`.
    lines = (SAMPLE / "wiki.raw").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not (tokens == "sentencepiece" and re.search("000", line))]
    texts = [*lines, *HAND_PICKED]
    alone = pytest.importorskip("tokenizers").Tokenizer.from_file(
        str(tmp_path / "exported" / "tokenizer.json")
    )
    for found in (
        theirs(texts, add_special_tokens=False)["input_ids"],
        [said.ids for said in alone.encode_batch(texts, add_special_tokens=False)],
    ):
        for text, mine, other in zip(texts, ours.encode_batch(texts), found, strict=True):
            assert mine == other, ascii(text)
    assert len(lines) > 700
    special = ours.special
    assert (
        tuple(getattr(theirs, f"{role}_token_id") for role in ("pad", "unk", "cls", "sep", "mask"))
        == special
    )
    pair = theirs("stone", "water", padding="max_length", max_length=12)
    a, b = ours.encode_batch(["stone", "water"])
    ids = [special.cls, *a, special.sep, *b, special.sep]
    assert pair["input_ids"] == ids + [special.pad] * (12 - len(ids))
    assert pair["attention_mask"] == [1] * len(ids) + [0] * (12 - len(ids))
    assert pair["token_type_ids"][: len(ids)] == [0] * (len(a) + 2) + [1] * (len(b) + 1)
    assert (
        theirs.model_max_length == 64
        and theirs.decode(ours.encode_batch(["the stone"])[0]) == "the stone"
    )


def test_an_onnx_file_of_few_positions_is_written(saved, tmp_path, vocabulary, done):
    pytest.importorskip("onnxruntime"), pytest.importorskip("onnxscript")
    ours = saved("classifier", WordPieceTokenizer(vocabulary[:200]), num_layers=1, max_positions=12)
    assert "model.onnx" in done("export", ours, tmp_path / "exported", "--onnx")


@pytest.mark.parametrize(
    "kind, changes",
    [("electra", {}), ("mlm", {"embedding_size": 24}), ("classifier", {"pooling": "mean"})],
)
def test_an_onnx_file_answers_as_the_model(saved, tmp_path, done, vocabulary, kind, changes):
    onnxruntime, _ = pytest.importorskip("onnxruntime"), pytest.importorskip("onnxscript")
    tokens = WordPieceTokenizer(vocabulary[:200])
    ours, folder = (
        saved(kind, tokens, num_layers=1, generator_num_layers=1, **changes),
        tmp_path / "exported",
    )
    filters, level = list(warnings.filters), logging.getLogger("torch.onnx").level
    assert "model.onnx: input_ids, attention_mask, token_type_ids -> logits" in done(
        "export", ours, folder, "--onnx"
    )
    assert {path.name for path in folder.glob("*.onnx*")} == {"model.onnx"}
    session = onnxruntime.InferenceSession(
        str(folder / "model.onnx"), providers=["CPUExecutionProvider"]
    )
    assert [value.name for value in session.get_inputs()] == [
        "input_ids",
        "attention_mask",
        "token_type_ids",
    ]
    assert (
        warnings.filters == filters and logging.getLogger("torch.onnx").level == level
    )  # as they were
    _, model = loaded(ours)
    for lengths, width in (((37, 11, 2, 50, 50), 50), ((64,), 64), ((2,), 2)):
        batch = random_batch(200, lengths, width)
        said = session.run(
            None,
            {
                "input_ids": batch.input_ids.numpy(),
                "token_type_ids": batch.token_type_ids.numpy(),
                "attention_mask": batch.attention_mask.numpy().astype(np.int64),
            },
        )[0]
        network = {"electra": "discriminator", "mlm": "bert"}.get(kind, kind)
        np.testing.assert_allclose(
            said, computed(model, network, batch)[1].numpy(), rtol=0, atol=1e-4
        )
