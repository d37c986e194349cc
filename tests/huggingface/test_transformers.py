"""Beside transformers: their networks imported, ours loaded by them."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from electra.config import SPECIAL_IDS, preset_model_config
from electra.data.batch import Batch
from electra.huggingface.config import network_config
from electra.huggingface.merging import merge_weights, merged_config
from electra.huggingface.network import Network
from electra.model.build import build
from huggingface.checks import loaded
from huggingface.conftest import SAMPLE
from huggingface.theirs import SMALL, assert_equal_to, shaken

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
    """A large model of theirs, initialised quickly: each tensor is another part of one noise."""
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
    size = {
        "vocab_size": 1_000,
        "embedding_size": 768,
        "hidden_size": 768,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "intermediate_size": 3_072,
    }
    if kind == "bert":
        del size["embedding_size"]
        theirs = {"bert": filled(transformers.BertForMaskedLM, transformers.BertConfig(**size))}
    else:
        narrow = {"hidden_size": 256, "intermediate_size": 1_024, "num_attention_heads": 4}
        discriminator = transformers.ElectraConfig(**size)
        generator = transformers.ElectraConfig(**{**size, **narrow})
        theirs = {
            "discriminator": filled(transformers.ElectraForPreTraining, discriminator),
            "generator": filled(transformers.ElectraForMaskedLM, generator),
        }
        theirs["generator"].electra.embeddings.load_state_dict(
            theirs["discriminator"].electra.embeddings.state_dict()
        )
    found = [
        Network(Path(name), name, network_config(model.config.to_dict(), name), model.state_dict())
        for name, model in theirs.items()
    ]
    config = merged_config(found, SPECIAL_IDS, None, None)
    # What a generator would be is not read in a BERT.
    config = replace(
        config, generator_hidden_size=256, generator_num_heads=4, generator_intermediate_size=1_024
    )
    assert config == preset_model_config("base", "electra" if kind == "electra" else "mlm", 1_000)
    with torch.device("meta"):
        model = build(config, 0.15)
    model.load_state_dict(merge_weights(found, config).weights, assign=True)
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


def test_transformers_reads_the_tiny_that_comes_with_the_code(transformers, tmp_path, done):
    ours = SAMPLE.parent / "pretrained" / "tiny-en.pt"
    done("export", ours, tmp_path / "exported")
    checkpoint, model = loaded(ours)
    theirs, missing, extra = from_pretrained(
        transformers.AutoModelForPreTraining, tmp_path / "exported"
    )
    assert not missing and not extra
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    read = tokenizer("The acting is was terrible.", return_tensors="pt")
    ids = read.input_ids
    assert (
        ids[0, 1:-1].tolist()
        == checkpoint.tokenizer.encode_batch(["The acting is was terrible."])[0]
    )
    with torch.no_grad():
        said = theirs(**read).logits
        mine = model.eval().detect(ids, Batch(ids, torch.zeros_like(ids), None))
    torch.testing.assert_close(mine, said, rtol=0, atol=1e-4)
    assert said[0].argmax() == 4  # "was"


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
    # Of two equally likely segmentations each program takes another: see `unigram_parts`.
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
