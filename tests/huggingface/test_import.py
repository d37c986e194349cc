"""`convert.py import`: which folders make which model, and that it computes the same function."""

import shlex

import pytest
import torch

from electra.config import SpecialIds
from electra.huggingface.config import NetworkConfig
from electra.huggingface.merging import default_discriminator, default_generator
from electra.huggingface.safetensors import write_safetensors
from huggingface.checks import assert_computes, loaded
from huggingface.released import tensors_of, without_head

pytestmark = pytest.mark.fast


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
        for folder, heads in zip(pair, (2, 1), strict=True):
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
    a, b = (loaded(tmp_path / name)[0].model for name in ("a.pt", "b.pt"))
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
def test_default_partners_have_the_paper_s_proportions(embedding, discriminator, generator):
    def network(sizes):
        hidden, layers, heads = sizes
        return NetworkConfig(1_000, embedding, hidden, layers, heads, 4 * hidden, 64, 2, 0, 0, 1, 1)

    assert default_generator(network(discriminator)) == generator
    assert default_discriminator(network(generator)) == discriminator


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


def test_the_commands_that_come_next_are_quoted_for_the_shell(folder_of, tmp_path, done):
    out = tmp_path / "it's new.pt"
    for line in done("import", folder_of("bert"), "--out", out).splitlines()[-2:]:
        assert str(out) in shlex.split(line)


def test_one_tokenizer_of_a_pair_is_enough(folder_of, tmp_path, done):
    pair = folder_of("discriminator"), folder_of("generator")
    (pair[0] / "vocab.txt").unlink()
    done("import", *pair, "--out", tmp_path / "x.pt")
    assert loaded(tmp_path / "x.pt")[0].tokenizer.special.mask == 103
