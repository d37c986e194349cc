"""`convert.py import` and the flags and folders that it refuses."""

import json

import pytest
import torch

from electra.huggingface.safetensors import write_safetensors
from huggingface.released import released, tensors_of

pytestmark = pytest.mark.fast


def test_folders_that_lack_something_are_refused(folder_of, tmp_path, refused):
    out = ("--out", tmp_path / "x.pt")
    refused("nowhere is not a folder", "import", tmp_path / "nowhere", *out)
    folder = folder_of("bert")
    refused("is not a folder", "import", folder / "config.json", *out)
    weights = folder / "model.safetensors"
    weights.rename(folder / "model-00001-of-00002.safetensors")
    refused("neither model.safetensors nor pytorch_model.bin", "import", folder, *out)
    (folder / "model.safetensors.index.json").write_text("{}")
    refused(["model.safetensors.index.json", "no weight_map"], "import", folder, *out)
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
    discriminator, generator, bert = map(folder_of, ("discriminator", "generator", "bert"))
    as_bert, partner = ("--objective", "mlm"), ("--partner", "8:1:1")
    no_electra = "is a BERT; its weights do not make an ELECTRA"
    refused(no_electra, "import", bert, "--objective", "electra", *out)
    refused("no masked-LM head", "import", discriminator, *as_bert, *out)
    refused("--partner is for an ELECTRA", "import", bert, *partner, *out)
    refused("--partner is for an ELECTRA", "import", generator, *as_bert, *partner, *out)
    refused("that comes alone", "import", discriminator, generator, *partner, *out)
    refused("invalid choice", "import", bert, "--objective", "bert", *out)
    refused("--out", "import", bert)
    refused("import|export")


@pytest.mark.parametrize(
    "partner",
    ["8:1", "8:1:1:1", "a:1:1", "8:1:3", "0:1:1", "8:-1:1", "8:1:0", "", "8.5:1:1"],
)
def test_a_partner_that_is_no_size_is_refused(folder_of, tmp_path, refused, partner):
    flags = ("--partner", partner, "--out", tmp_path / "x.pt")
    parts = ["--partner", "is not HIDDEN:LAYERS:HEADS"]
    refused(parts, "import", folder_of("discriminator"), *flags)


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
