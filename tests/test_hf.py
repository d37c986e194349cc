"""Released checkpoints: names, settings, safetensors and tokenizer files, there and back, and what is refused."""

import json
import random
import struct
from dataclasses import replace

import pytest
import sentencepiece
import torch

from electra.config import SPECIAL_TOKENS, ModelConfig
from electra.data.wordpiece import WordPieceTokenizer
from electra.huggingface.config import export_config, read_config, shape_of
from electra.huggingface.safetensors import read_safetensors, read_weights, write_safetensors
from electra.huggingface.tensor_names import export_weights, import_weights, place_of
from electra.huggingface.tokenizer_files import read_tokenizer, write_tokenizer
from electra.huggingface.unigram import read_sentencepiece
from electra.model.build import build


@pytest.fixture
def refused():
    """refused(read, parts of the message …): ValueError, in one line."""

    def check(read, *parts):
        with pytest.raises(ValueError) as caught:
            read()
        message = str(caught.value)
        assert "\n" not in message and all(str(part) in message for part in parts), message

    return check


# ---------------------------------------------------------------- names

# name: (objective, changes of the shape, networks); E = 16 and C = 24, the generator's 12, where not changed
MODELS = {
    "electra": ("electra", {}, ("discriminator", "generator")),
    "electra without projections": (
        "electra",
        {"hidden_size": 16, "generator_hidden_size": 16},
        ("discriminator", "generator"),
    ),
    "electra with one projection": (
        "electra",
        {"embedding_size": 24},
        ("discriminator", "generator"),
    ),
    "mlm as generator": ("mlm", {}, ("generator",)),
    "mlm as bert": ("mlm", {"embedding_size": 24}, ("bert",)),
}
EMBEDDINGS = [
    "embeddings.LayerNorm.bias",
    "embeddings.LayerNorm.weight",
    "embeddings.position_embeddings.weight",
    "embeddings.token_type_embeddings.weight",
    "embeddings.word_embeddings.weight",
]
PROJECTION = ["embeddings_project.bias", "embeddings_project.weight"]
LAYER = [
    f"encoder.layer.0.{part}.{end}"
    for part in (
        "attention.output.LayerNorm",
        "attention.output.dense",
        "attention.self.key",
        "attention.self.query",
        "attention.self.value",
        "intermediate.dense",
        "output.LayerNorm",
        "output.dense",
    )
    for end in ("bias", "weight")
]
HEADS = {
    "discriminator": [
        "discriminator_predictions.dense.bias",
        "discriminator_predictions.dense.weight",
        "discriminator_predictions.dense_prediction.bias",
        "discriminator_predictions.dense_prediction.weight",
    ],
    "generator": [
        "generator_lm_head.bias",
        "generator_predictions.LayerNorm.bias",
        "generator_predictions.LayerNorm.weight",
        "generator_predictions.dense.bias",
        "generator_predictions.dense.weight",
    ],
    "bert": [
        "cls.predictions.bias",
        "cls.predictions.transform.LayerNorm.bias",
        "cls.predictions.transform.LayerNorm.weight",
        "cls.predictions.transform.dense.bias",
        "cls.predictions.transform.dense.weight",
    ],
}


@pytest.fixture
def state_of():
    """state_of(config) -> weights of a model in which no two tensors are equal."""

    def make(config):
        torch.manual_seed(0)
        return {
            name: torch.randn_like(value)
            for name, value in build(config, 0.15).state_dict().items()
        }

    return make


@pytest.fixture
def exported(shape, state_of):
    """exported(network, **changes) -> (their tensors, the network's own config, our weights)."""

    def make(network, **changes):
        whole = shape(
            objective="mlm" if network == "bert" else "electra",
            **({"embedding_size": 24} if network == "bert" else {}),
            **changes,
        )
        own = whole.generator() if network == "generator" else whole
        state = state_of(whole)
        return export_weights(state, network, own, *place_of(network, whole.objective)), own, state

    return make


@pytest.mark.parametrize("objective, changes, networks", MODELS.values(), ids=MODELS)
def test_exported_weights_come_back_bitwise(shape, state_of, objective, changes, networks):
    config = shape(objective=objective, **changes)
    state, back = state_of(config), {}
    for network in networks:
        own = config.generator() if (network, objective) == ("generator", "electra") else config
        theirs = export_weights(state, network, own, *place_of(network, objective))
        ours, has_head = import_weights(theirs, network, own, "folder")
        assert has_head and all(
            torch.equal(ours[name], back.get(name, ours[name])) for name in ours
        )
        back |= ours
    assert set(back) == set(state) and all(torch.equal(back[name], state[name]) for name in state)


@pytest.mark.parametrize("network", HEADS)
def test_exported_names_are_those_of_the_released_checkpoints(exported, network):
    theirs, own, state = exported(network, num_layers=1, generator_num_layers=1)
    prefix = "bert." if network == "bert" else "electra."
    projection = [] if network == "bert" else PROJECTION
    assert sorted(theirs) == sorted(
        [*(prefix + name for name in EMBEDDINGS + projection + LAYER), *HEADS[network]]
    )
    encoder, _ = place_of(network, own.objective)
    qkv = state[f"{encoder}layers.0.attention.qkv.weight"]
    parts = [
        theirs[f"{prefix}encoder.layer.0.attention.self.{part}.weight"]
        for part in ("query", "key", "value")
    ]
    assert torch.equal(torch.cat(parts), qkv) and all(part.is_contiguous() for part in parts)
    bare = export_weights(state, network, own, encoder, None)
    assert sorted(bare) == sorted(EMBEDDINGS + projection + LAYER)


@pytest.mark.parametrize("network", HEADS)
def test_a_bare_encoder_has_no_head(exported, network):
    theirs, own, state = exported(network)
    encoder = {name: value for name, value in theirs.items() if name not in HEADS[network]}
    for prefix in (
        "bert." if network == "bert" else "electra.",
        "",
    ):  # of a model with a head, or of an encoder alone
        tensors = {prefix + name.split(".", 1)[1]: value for name, value in encoder.items()}
        ours, has_head = import_weights(tensors, network, own, "folder")
        assert (
            not has_head
            and len(ours) > 10
            and all(torch.equal(ours[name], state[name]) for name in ours)
        )
        assert not any("head" in name for name in ours)


@pytest.mark.parametrize("network", HEADS)
def test_gamma_and_beta_are_weight_and_bias_of_layer_norms(exported, network):
    theirs, own, state = exported(network)
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for name, value in theirs.items()
    }
    assert sum(name.endswith((".gamma", ".beta")) for name in old) >= 10
    ours, has_head = import_weights(old, network, own, "folder")
    assert has_head and all(torch.equal(ours[name], state[name]) for name in ours)


def test_gamma_of_anything_else_has_no_place(exported, refused):
    theirs, own, _ = exported("bert")
    theirs["bert.encoder.layer.0.output.dense.gamma"] = theirs.pop(
        "bert.encoder.layer.0.output.dense.weight"
    )
    refused(
        lambda: import_weights(theirs, "bert", own, "folder"),
        "missing: encoder.layer.0.output.dense.weight",
        "no place for: encoder.layer.0.output.dense.gamma",
    )


@pytest.mark.parametrize(
    "network, second, first",
    [
        ("bert", "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
        ("bert", "cls.predictions.decoder.bias", "cls.predictions.bias"),
        ("generator", "generator_lm_head.weight", "electra.embeddings.word_embeddings.weight"),
    ],
)
def test_a_second_name_of_a_tied_tensor_must_hold_the_same(
    exported, refused, network, second, first
):
    theirs, own, state = exported(network)
    value = theirs[first]
    alone = {second: value, **{name: tensor for name, tensor in theirs.items() if name != first}}
    for tensors in ({**theirs, second: value.clone()}, alone):
        ours, has_head = import_weights(tensors, network, own, "folder")
        assert has_head and all(torch.equal(ours[name], state[name]) for name in ours)
    for other in (value + 1e-3, value[:-1]):
        refused(
            lambda: import_weights({**theirs, second: other}, network, own, "folder"),
            "folder",
            second,
            "untied",
        )


def test_pooler_next_sentence_prediction_and_position_ids_are_ignored(exported):
    theirs, own, state = exported("bert")
    extra = {
        "bert.pooler.dense.weight": torch.ones(24, 24),
        "bert.pooler.dense.bias": torch.ones(24),
        "cls.seq_relationship.weight": torch.ones(2, 24),
        "cls.seq_relationship.bias": torch.ones(2),
        "bert.embeddings.position_ids": torch.arange(64)[None],
    }
    ours, has_head = import_weights({**theirs, **extra}, "bert", own, "folder")
    assert (
        has_head
        and set(ours) == set(state)
        and all(torch.equal(ours[name], state[name]) for name in state)
    )
    only = {
        name: value for name, value in {**theirs, **extra}.items() if "cls.predictions" not in name
    }
    assert import_weights(only, "bert", own, "folder")[1] is False


@pytest.mark.parametrize("network", HEADS)
def test_missing_and_unexpected_tensors_are_listed(exported, refused, network):
    theirs, own, _ = exported(network)
    lost = [
        HEADS[network][0],
        next(name for name in theirs if name.endswith("layer.1.attention.self.key.bias")),
    ]
    tensors = {name: value for name, value in theirs.items() if name not in lost}
    tensors["classifier.weight"] = torch.ones(2, 2)
    refused(
        lambda: import_weights(tensors, network, own, "some/folder"),
        "some/folder",
        lost[0],
        lost[1].split(".", 1)[1],
        "no place for: classifier.weight",
    )


def test_a_long_list_of_names_is_cut(exported, refused):
    theirs, own, _ = exported("bert")
    more = {f"extra.{i:02}": torch.ones(1) for i in range(15)}
    listed = ", ".join(f"extra.{i:02}" for i in range(12))
    refused(
        lambda: import_weights({**theirs, **more}, "bert", own, "folder"),
        f"no place for: {listed} and 3 more",
    )
    refused(lambda: import_weights({}, "bert", own, "folder"), "missing: ", " and ")


def test_a_shape_with_more_layers_than_the_weights_misses_them(exported, refused):
    theirs, own, _ = exported("discriminator")
    refused(
        lambda: import_weights(theirs, "discriminator", replace(own, num_layers=3), "folder"),
        "missing: encoder.layer.2.",
    )
    refused(
        lambda: import_weights(theirs, "discriminator", replace(own, num_layers=1), "folder"),
        "no place for: encoder.layer.1.",
    )


def test_weights_of_other_precisions_become_float32(exported):
    theirs, own, state = exported("bert")
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        ours, _ = import_weights(
            {name: value.to(dtype) for name, value in theirs.items()}, "bert", own, "folder"
        )
        assert all(value.dtype == torch.float32 for value in ours.values())
        assert all(torch.equal(ours[name], state[name].to(dtype).float()) for name in state)


def test_query_key_and_value_that_do_not_go_together_are_refused(exported, refused):
    theirs, own, _ = exported("bert")
    theirs["bert.encoder.layer.0.attention.self.key.weight"] = torch.ones(24, 25)
    refused(
        lambda: import_weights(theirs, "bert", own, "some/folder"),
        "some/folder",
        "query, key and value",
    )


# ---------------------------------------------------------------- settings

ELECTRA = {
    "model_type": "electra",
    "vocab_size": 30522,
    "embedding_size": 128,
    "hidden_size": 256,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
    "initializer_range": 0.02,
    "hidden_act": "gelu",
}
BERT = {
    "model_type": "bert",
    "vocab_size": 28996,
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}


@pytest.fixture
def written(tmp_path):
    """written(config.json's values) -> the folder."""

    def make(values):
        (tmp_path / "config.json").write_text(
            values if isinstance(values, str) else json.dumps(values)
        )
        return tmp_path

    return make


def test_a_released_electra_s_settings_by_hand(written):
    shape = shape_of(read_config(written(ELECTRA)), "folder")
    assert shape == dict(
        vocab_size=30522,
        embedding_size=128,
        hidden_size=256,
        num_layers=12,
        num_heads=4,
        intermediate_size=1024,
        max_positions=512,
        type_vocab_size=2,
        dropout=0.1,
        attention_dropout=0.1,
        layer_norm_eps=1e-12,
        initializer_range=0.02,
    )


def test_settings_that_are_left_out_have_the_values_of_the_released_classes(written):
    shape = shape_of(read_config(written(BERT)), "folder")
    assert shape == dict(
        vocab_size=28996,
        embedding_size=768,
        hidden_size=768,
        num_layers=12,
        num_heads=12,
        intermediate_size=3072,
        max_positions=512,
        type_vocab_size=2,
        dropout=0.1,
        attention_dropout=0.1,
        layer_norm_eps=1e-12,
        initializer_range=0.02,
    )
    narrow = {name: value for name, value in ELECTRA.items() if name != "embedding_size"}
    assert shape_of(read_config(written(narrow)), "folder")["embedding_size"] == 128


@pytest.mark.parametrize("network", HEADS)
@pytest.mark.parametrize("bare", [False, True])
def test_settings_come_back(shape, written, network, bare):
    config = shape(
        objective="mlm" if network == "bert" else "electra",
        max_positions=40,
        type_vocab_size=3,
        dropout=0.2,
        attention_dropout=0.0,
        layer_norm_eps=1e-6,
        initializer_range=0.05,
        **({"embedding_size": 24} if network == "bert" else {}),
    )
    values = export_config(config, network, bare)
    name = {
        "discriminator": "ElectraForPreTraining",
        "generator": "ElectraForMaskedLM",
        "bert": "BertForMaskedLM",
    }[network]
    if bare:
        name = "BertModel" if network == "bert" else "ElectraModel"
    assert values["architectures"] == [name] and values["hidden_act"] == "gelu"
    assert values["max_position_embeddings"] == 40 and values["attention_probs_dropout_prob"] == 0.0
    assert ("embedding_size" in values) == (network != "bert") and values["pad_token_id"] == 0
    back = shape_of(read_config(written(values)), "folder")
    assert len(back) == 12 and all(getattr(config, field) == value for field, value in back.items())
    ModelConfig(
        **{**{field: getattr(config, field) for field in config.__dataclass_fields__}, **back}
    )


@pytest.mark.parametrize(
    "change, parts",
    [
        ({"model_type": "roberta"}, ["'roberta'", "only electra and bert"]),
        ({"model_type": "distilbert"}, ["'distilbert'"]),
        ({"model_type": None}, ["model_type is None"]),
        ({"model_type": ["bert"]}, ["model_type is ['bert']"]),
        ({"model_type": {}}, ["model_type is {}"]),
        ({"hidden_act": "relu"}, ["hidden_act is 'relu'", "'gelu'"]),
        ({"hidden_act": "gelu_new"}, ["hidden_act is 'gelu_new'"]),
        ({"hidden_act": []}, ["hidden_act is []"]),
        (
            {"position_embedding_type": "relative_key"},
            ["position_embedding_type is 'relative_key'", "'absolute'"],
        ),
        ({"is_decoder": True}, ["is_decoder is True"]),
        ({"add_cross_attention": True}, ["add_cross_attention is True"]),
    ],
)
@pytest.mark.parametrize("values", [ELECTRA, BERT], ids=["electra", "bert"])
def test_settings_of_other_networks_are_refused(written, refused, values, change, parts):
    folder = written({**values, **change})
    refused(lambda: read_config(folder), folder / "config.json", *parts)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2]", "3", "null", '"bert"', '{"a":' * 100_000, "[" * 100_000, "{}", "9" * 5_000],
)
def test_a_config_that_is_none_is_refused(written, refused, text):
    folder = written(text)
    refused(lambda: read_config(folder), folder)


def test_a_folder_without_config_is_refused(tmp_path, refused):
    refused(lambda: read_config(tmp_path), tmp_path, "no config.json")
    refused(lambda: read_config(tmp_path / "nowhere"), "nowhere", "not a folder")
    (tmp_path / "config.json").write_bytes(b'{"model_type": "b\xe9rt"}')
    refused(lambda: read_config(tmp_path), "config.json is not JSON")


WHOLE = [
    "vocab_size",
    "embedding_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
    "type_vocab_size",
]
SHARES = [
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "layer_norm_eps",
    "initializer_range",
]


@pytest.mark.parametrize(
    "name, value",
    [
        *(
            (name, value)
            for name in WHOLE
            for value in ("12", None, True, [12], {}, -1, 0, 12.0, 0.5)
        ),
        *(
            (name, value)
            for name in SHARES
            for value in ("0.1", None, False, [0.1], -0.1, -1, float("nan"), float("inf"))
        ),
    ],
)
def test_settings_that_are_no_sizes_or_shares_are_refused(refused, name, value):
    refused(
        lambda: shape_of({**ELECTRA, name: value}, "folder"),
        f"folder/config.json: {name} is {value!r}",
    )


@pytest.mark.parametrize(
    "name, value",
    [
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", 1_001),
        ("type_vocab_size", 1),
        ("hidden_size", 2**24 + 1),
    ],
)
def test_sizes_that_no_model_here_has_are_refused(refused, name, value):
    refused(
        lambda: shape_of({**ELECTRA, name: value}, "folder"),
        f"folder/config.json: {name} is {value}",
    )


@pytest.mark.parametrize(
    "name",
    ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"],
)
def test_sizes_without_a_default_must_be_there(refused, name):
    refused(
        lambda: shape_of({key: value for key, value in ELECTRA.items() if key != name}, "folder"),
        f"{name} is None",
    )


# ---------------------------------------------------------------- safetensors

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def numbers(dtype, *shape):
    """Any numbers that the dtype has."""
    values = 100 * torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))
    return (values > 0) if dtype == torch.bool else values.to(dtype)


def assert_same(found, expected):
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert (found[name].dtype, found[name].shape) == (value.dtype, value.shape), name
        assert torch.equal(found[name], value), name


def of_all_kinds():
    """Tensors of every dtype: empty, without dimensions, of odd sizes, and not contiguous."""
    tensors = {}
    for name, dtype in DTYPES.items():
        tensors |= {
            f"{name}.empty": numbers(dtype, 0),
            f"{name}.none": numbers(dtype, 3, 0, 2),
            f"{name}.one": numbers(dtype),
            f"{name}.odd": numbers(dtype, 3),
            f"{name}.cube": numbers(dtype, 2, 3, 5),
            f"{name}.turned": numbers(dtype, 4, 3).T,
            f"{name}.every other": numbers(dtype, 9)[::2],
            f"{name}.expanded": numbers(dtype, 1, 3).expand(2, 3),
        }
    return tensors


def entry(dtype="F32", shape=(1,), offsets=(0, 4), **more):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets), **more}


def packed(header, data=b""):
    """The bytes of a file; `header` in bytes as it stands, or anything that JSON writes."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.fixture
def read(tmp_path):
    """read(bytes) -> the tensors of a file of them."""

    def run(data):
        (tmp_path / "some.safetensors").write_bytes(data)
        return read_safetensors(tmp_path / "some.safetensors")

    return run


def test_tensors_of_every_kind_come_back(tmp_path):
    expected = of_all_kinds()
    write_safetensors(tmp_path / "model.safetensors", expected)
    assert_same(read_safetensors(tmp_path / "model.safetensors"), expected)
    write_safetensors(tmp_path / "none.safetensors", {})
    assert read_safetensors(tmp_path / "none.safetensors") == {}


def test_values_that_are_no_numbers_keep_their_bits(tmp_path):
    bits = torch.tensor([0x7FC00001, 0x7F800000, -1, 1, -(2**31)], dtype=torch.int32)
    write_safetensors(tmp_path / "model.safetensors", {"x": bits.view(torch.float32)})
    assert torch.equal(
        read_safetensors(tmp_path / "model.safetensors")["x"].view(torch.int32), bits
    )


def test_a_written_file_by_hand(tmp_path):
    tensors = {"b": torch.tensor([[1.0, -2.0]]), "a": torch.tensor([7, 8, 9], dtype=torch.int16)}
    write_safetensors(tmp_path / "x", tensors, {"more": "é"})
    data = (tmp_path / "x").read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    assert header == {
        "__metadata__": {"format": "pt", "more": "é"},
        "a": entry("I16", [3], [0, 6]),
        "b": entry("F32", [1, 2], [6, 14]),
    }
    assert length % 8 == 0 and data[8 + length :] == struct.pack("<hhhff", 7, 8, 9, 1.0, -2.0)


def test_a_file_by_hand_is_read(read):
    header = {
        "b": entry("F32", [2], [2, 10]),
        "__metadata__": {"x": "y"},
        "a": entry("U8", [2, 1], [0, 2]),
        "c": entry("BOOL", [], [10, 11]),
        "d": entry("F64", [0], [2, 2]),
        "e": entry("I64", [5, 0], [11, 11]),
    }
    data = b"\x05\xff" + struct.pack("<ff", 0.5, -3.0) + b"\x01"
    expected = {
        "a": torch.tensor([[5], [255]], dtype=torch.uint8),
        "b": torch.tensor([0.5, -3.0]),
        "c": torch.tensor(True),
        "d": torch.empty(0, dtype=torch.float64),
        "e": torch.empty(5, 0, dtype=torch.int64),
    }
    assert_same(read(packed(header, data)), expected)
    assert_same(read(packed(json.dumps(header).encode() + b"  \n", data)), expected)
    assert read(packed({})) == read(packed({"__metadata__": {}})) == {}


FOUR = b"\0\0\0\0"
BROKEN = {
    "empty": b"",
    "short": b"\x01\0\0\0\0\0\0",
    "no header": struct.pack("<Q", 0),
    "cut off header": packed({"a": entry()})[:20],
    "header of 2 GB": struct.pack("<Q", 2**31) + b"{}",
    "longest header": b"\xff" * 8 + b"{}",
    "header one byte too long": struct.pack("<Q", 3) + b"{}",
    "not JSON": packed(b"{a: 1}"),
    "not UTF-8": packed(b'{"\xff": 1}'),
    "half JSON": packed(b'{"a":'),
    "list": packed([entry()], FOUR),
    "number": packed(4),
    "text": packed("a"),
    "null": packed(b"null"),
    "deep lists": packed(b"[" * 200_000),
    "deep objects": packed(b'{"a":' * 200_000),
    "number of 5,000 digits": packed(b'{"a": ' + b"9" * 5_000 + b"}"),
    "entry is null": packed({"a": None}),
    "entry is a list": packed({"a": [0, 4]}, FOUR),
    "entry is text": packed({"a": "F32"}),
    "no dtype": packed({"a": {"shape": [1], "data_offsets": [0, 4]}}, FOUR),
    "no shape": packed({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, FOUR),
    "no offsets": packed({"a": {"dtype": "F32", "shape": [1]}}, FOUR),
    **{
        f"dtype {dtype}": packed({"a": entry(dtype)}, FOUR)
        for dtype in ("F8_E4M3", "f32", "", "C64", "U64", None, 32, True, ["F32"], {"F32": 1})
    },
    **{
        f"offsets {offsets}": packed({"a": entry(offsets=offsets)}, FOUR)
        for offsets in (
            [],
            [4],
            [0, 4, 4],
            [-4, 0],
            [0, -4],
            [False, 4],
            [0.0, 4],
            [0, 4.0],
            ["0", "4"],
            [None, 4],
            [4, 0],
            [4, 8],
            [1, 5],
            [[0], 4],
            [2**64, 2**64 + 4],
            [-(2**64), 4 - 2**64],
        )
    },
    "offsets are text": packed({"a": {**entry(), "data_offsets": "04"}}, FOUR),
    **{
        f"shape {shape}": packed({"a": entry(shape=shape)}, FOUR)
        for shape in (
            [2],
            [0],
            [-1],
            [-1, -1],
            [True],
            [1.0],
            ["1"],
            [None],
            [[1]],
            [2**62],
            [2**40, 2**40],
            [2**64],
            [2**64 + 1],
        )
    },
    "shape is a number": packed({"a": {**entry(), "shape": 1}}, FOUR),
    "shape is null": packed({"a": {**entry(), "shape": None}}, FOUR),
    "2 to the 64 bytes in none": packed({"a": entry("U8", [2**32, 2**32], [0, 0])}),
    "2 to the 80 bytes in none": packed({"a": entry("F64", [2**40, 2**37], [0, 0])}),
    "2 to the 64 and 4 bytes in 4": packed({"a": entry("F32", [2**62 + 1], [0, 4])}, FOUR),
    "dimensions of 4,000 digits": packed({"a": entry(shape=[10**4_000, 10**4_000])}, FOUR),
    "empty, of more than 64 bits": packed({"a": entry(shape=[0, 2**70], offsets=[0, 0])}),
    "empty, of 2 to the 124": packed({"a": entry(shape=[2**62, 2**62, 0], offsets=[0, 0])}),
    "overlap": packed({"a": entry(), "b": entry(offsets=[2, 6])}, FOUR + b"\0\0"),
    "the same place twice": packed({"a": entry(), "b": entry()}, FOUR),
    "one within another": packed(
        {"a": entry(shape=[3], offsets=[0, 12]), "b": entry(offsets=[4, 8])}, 3 * FOUR
    ),
    "gap": packed({"a": entry(), "b": entry(offsets=[5, 9])}, FOUR + b"\0" + FOUR),
    "gap at the beginning": packed({"a": entry(offsets=[4, 8])}, FOUR + FOUR),
    "empty tensor beyond the end": packed(
        {"a": entry(), "b": entry(shape=[0], offsets=[8, 8])}, FOUR
    ),
    "out of range": packed({"a": entry(shape=[2], offsets=[0, 8])}, FOUR),
    "no data": packed({"a": entry()}),
    "too few bytes for its shape": packed({"a": entry("F64")}, FOUR),
    "too many": packed({"a": entry("F16")}, FOUR),
    "bytes behind": packed({"a": entry()}, FOUR + b"\0"),
    "bytes without tensors": packed({}, b"\0"),
}


@pytest.mark.parametrize("data", BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_refused_by_name(read, refused, tmp_path, data):
    refused(lambda: read(data), tmp_path / "some.safetensors")


def test_a_header_of_more_than_100_megabytes_is_not_read(tmp_path, refused):
    path = tmp_path / "long.safetensors"
    path.write_bytes(struct.pack("<Q", 150_000_000))
    with open(path, "r+b") as file:
        file.truncate(160_000_000)  # takes no room on disk
    refused(lambda: read_safetensors(path), path, "a header of 150,000,000 bytes")


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path, refused):
    for path in (tmp_path / "nowhere.safetensors", tmp_path):
        refused(lambda: read_safetensors(path), path)


def read_or_refuse(read, data):
    """Whether a file could be read; what it holds must then be all of its data."""
    try:
        tensors = read(data)
    except ValueError:
        return False
    length = struct.unpack("<Q", data[:8])[0]
    assert (
        sum(value.numel() * value.element_size() for value in tensors.values())
        == len(data) - 8 - length
    )
    return True


def test_damaged_bytes_give_tensors_or_a_refusal(read, tmp_path):
    write_safetensors(
        tmp_path / "good",
        {"a": torch.randn(2, 3), "b.c": torch.arange(5), "d": torch.ones(3).half()},
    )
    good, rng, whole = (tmp_path / "good").read_bytes(), random.Random(0), 0
    for _ in range(300):
        data = bytearray(good)
        kind = rng.random()
        if kind < 0.1:
            del data[rng.randrange(len(data)) :]
        elif kind < 0.2:
            data[rng.randrange(len(data)) : 0] = rng.randbytes(rng.randint(1, 4))
        else:
            for _ in range(rng.randint(1, 3)):
                data[rng.randrange(len(data))] = rng.randrange(256)
        whole += read_or_refuse(read, bytes(data))
    assert 20 < whole < 250  # changes of the data, or of a name, are none of the header's business


def test_headers_of_odd_values_give_tensors_or_a_refusal(read):
    odd = [
        None,
        True,
        False,
        0,
        1,
        -1,
        2,
        4,
        8,
        12,
        1.0,
        2**31,
        2**63,
        2**64,
        10**30,
        float("nan"),
        "",
        "F32",
        "U8",
        [],
        [0],
        [1],
        [0, 4],
        [3, 0],
        [[1]],
        {},
        {"dtype": "F32"},
    ]
    rng, whole = random.Random(1), 0
    for _ in range(300):
        header = {"a": entry(shape=[1, 1]), "b": entry("U8", [2, 4], [4, 12])}
        for _ in range(rng.randint(1, 2)):
            place, field = header[rng.choice("ab")], rng.choice(["dtype", "shape", "data_offsets"])
            if rng.random() < 0.5 and isinstance(place[field], list) and place[field]:
                place[field][rng.randrange(len(place[field]))] = rng.choice(odd)
            else:
                place[field] = rng.choice(odd)
        whole += read_or_refuse(read, packed(header, bytes(range(12))))
    assert 3 < whole < 150


def test_our_files_are_read_by_the_reference_and_the_reference_s_by_us(tmp_path):
    pytest.importorskip("safetensors")
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    expected = of_all_kinds()
    write_safetensors(tmp_path / "ours", expected, {"labels": '["a", "é"]'})
    assert_same(load_file(tmp_path / "ours"), expected)
    with safe_open(tmp_path / "ours", "pt") as file:
        assert file.metadata() == {"format": "pt", "labels": '["a", "é"]'}
    save_file(
        {name: value.contiguous() for name, value in expected.items()},
        tmp_path / "theirs",
        {"format": "pt"},
    )
    assert_same(read_safetensors(tmp_path / "theirs"), expected)


# ---------------------------------------------------------------- pickled weights


@pytest.mark.filterwarnings("ignore::UserWarning")  # of torch, about odd protocols
@pytest.mark.parametrize("new_format", [True, False])
def test_damaged_pickled_bytes_give_tensors_or_a_refusal_by_name(tmp_path, new_format):
    path, rng, whole = tmp_path / "pytorch_model.bin", random.Random(0), 0
    torch.save(
        {"a": torch.ones(3, 2), "b.c": torch.zeros(2)},
        path,
        _use_new_zipfile_serialization=new_format,
    )
    good = path.read_bytes()
    assert set(read_weights(tmp_path)) == {"a", "b.c"}
    for _ in range(300):
        data = bytearray(good)
        if rng.random() < 0.3:
            del data[rng.randrange(1, len(data)) :]
        for _ in range(rng.randint(0, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        path.write_bytes(data)
        try:
            assert all(isinstance(value, torch.Tensor) for value in read_weights(tmp_path).values())
            whole += 1
        except ValueError as problem:
            assert str(path) in str(problem) and "\n" not in str(problem)
    assert 10 < whole < 250


# ---------------------------------------------------------------- tokenizer files

TOKENS = [
    "[PAD]",
    "a",
    "##b",
    "é",
    "漢",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "A",
    "e",
    "字",
    "漢字",
]
TEXT = "aB é漢字 É"
SWITCHES = [
    (lower, strip, chinese)
    for lower in (True, False)
    for strip in (True, False)
    for chinese in (True, False)
]
VOCAB = "".join(f"{token}\n" for token in TOKENS)
FAST = {
    "model": {"type": "WordPiece", "vocab": {token: i for i, token in enumerate(TOKENS)}},
    "normalizer": {"type": "BertNormalizer", "lowercase": True},
}


@pytest.fixture
def folder(tmp_path):
    """folder(**files by their name with _ for .) -> a folder with them."""

    def make(**files):
        for name, content in files.items():
            path = tmp_path / ".".join(name.rsplit("_", 1))
            text = content if isinstance(content, (bytes, str)) else json.dumps(content)
            path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path

    return make


@pytest.mark.parametrize("lower, strip, chinese", SWITCHES)
def test_a_written_tokenizer_is_read_again_from_any_of_its_files(tmp_path, lower, strip, chinese):
    tokenizer = WordPieceTokenizer(TOKENS, lower, strip, chinese)
    write_tokenizer(tmp_path, tokenizer, 512)
    assert {path.name for path in tmp_path.iterdir()} == {
        "vocab.txt",
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
    }
    for lost in (None, "tokenizer.model", "vocab.txt"):
        if lost:
            (tmp_path / lost).unlink()
        found = read_tokenizer(tmp_path)
        assert found.fingerprint == tokenizer.fingerprint and found.special == (0, 5, 6, 7, 8), lost
        assert found.encode_batch([TEXT]) == tokenizer.encode_batch([TEXT])


def test_a_written_sentencepiece_is_read_again(tmp_path, tokenizer):
    write_tokenizer(tmp_path, tokenizer, 512)
    assert {path.name for path in tmp_path.iterdir()} == {
        "tokenizer.json",
        "tokenizer_config.json",
        "tokenizer.model",
    }
    assert read_tokenizer(tmp_path).fingerprint == tokenizer.fingerprint
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["model_max_length"] == 512


@pytest.mark.parametrize(
    "settings, switches",
    [
        (None, (True, True, True)),
        ({}, (True, True, True)),
        ({"do_lower_case": True, "model_max_length": 512}, (True, True, True)),
        ({"do_lower_case": False}, (False, False, True)),
        ({"strip_accents": False}, (True, False, True)),
        ({"do_lower_case": False, "strip_accents": None}, (False, False, True)),
        ({"do_lower_case": False, "strip_accents": True}, (False, True, True)),
        ({"tokenize_chinese_chars": False}, (True, True, False)),
    ],
)
def test_switches_come_from_the_tokenizer_s_settings(folder, settings, switches):
    files = {} if settings is None else {"tokenizer_config_json": settings}
    found = read_tokenizer(folder(vocab_txt=VOCAB, **files))
    assert (
        found.lower_case,
        found.strip_accents,
        found.split_chinese,
    ) == switches and found.tokens == tuple(TOKENS)


@pytest.mark.parametrize(
    "settings, switches",
    [
        ({"lowercase": True}, (True, True, True)),
        ({"lowercase": False}, (False, False, True)),
        (
            {"lowercase": False, "strip_accents": True, "handle_chinese_chars": False},
            (False, True, False),
        ),
        ({"lowercase": True, "strip_accents": False}, (True, False, True)),
    ],
)
def test_switches_come_from_a_tokenizer_json(folder, settings, switches):
    found = read_tokenizer(
        folder(tokenizer_json={**FAST, "normalizer": {"type": "BertNormalizer", **settings}})
    )
    assert (
        found.lower_case,
        found.strip_accents,
        found.split_chinese,
    ) == switches and found.tokens == tuple(TOKENS)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"tokenizer_config_json": {}},
        {"vocab_txt": "a\nb\n"},
        {"vocab_txt": b"[PAD]\n\xff"},
        {"vocab_txt": ""},
        {"tokenizer_model": b"none"},
        {"tokenizer_model": b"{}"},
        {"tokenizer_model": b"", "vocab_txt": VOCAB},
        *(
            {"vocab_txt": VOCAB, "tokenizer_config_json": text}
            for text in ("", "{", "[]", "3", b"\xff", '{"a":' * 100_000)
        ),
        *(
            {"tokenizer_json": content}
            for content in (
                "",
                "{",
                "[]",
                "null",
                "{}",
                '{"a":' * 100_000,
                {**FAST, "model": {}},
                {**FAST, "model": None},
                {**FAST, "model": [1]},
                {**FAST, "model": "WordPiece"},
                {**FAST, "model": {"type": "Unigram", "vocab": [["a", 0.0]]}},
                {**FAST, "model": {"type": "BPE", "vocab": {}}},
                {**FAST, "normalizer": None},
                {**FAST, "normalizer": [1]},
                {**FAST, "normalizer": "BertNormalizer"},
                {**FAST, "normalizer": {"type": "Lowercase"}},
                {**FAST, "model": {"vocab": TOKENS}},
                {**FAST, "model": {"vocab": {"a": 0}}},
                *(
                    {**FAST, "model": {"vocab": {**FAST["model"]["vocab"], "more": id_}}}
                    for id_ in (12, 14, -1, "13", None, [13])
                ),
            )
        ),
    ],
)
def test_files_that_are_no_tokenizer_are_refused_by_name(folder, refused, tmp_path, files):
    made = folder(**files)
    refused(lambda: read_tokenizer(made), tmp_path)


def test_our_own_file_goes_before_a_vocabulary_and_that_before_a_tokenizer_json(folder):
    other = WordPieceTokenizer([*TOKENS, "own"], lower_case=False)
    made = folder(tokenizer_model=other.to_bytes(), vocab_txt=VOCAB + "text\n", tokenizer_json=FAST)
    for name, last in (
        ("tokenizer.model", "own"),
        ("vocab.txt", "text"),
        ("tokenizer.json", "漢字"),
    ):
        assert read_tokenizer(made).tokens[-1] == last
        (made / name).unlink()


def test_pieces_scores_and_table_are_those_of_the_sentencepiece_model(tokenizer):
    pieces, table = read_sentencepiece(tokenizer.to_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_proto=tokenizer.to_bytes())
    assert pieces == [
        (processor.IdToPiece(i), processor.GetScore(i)) for i in range(processor.GetPieceSize())
    ]
    assert [name for name, _ in pieces[:5]] == list(SPECIAL_TOKENS) and len(
        set(score for _, score in pieces)
    ) > 500
    # The table begins with the size of its trie, in bytes, which is followed by the replacements.
    assert 0 < int.from_bytes(table[:4], "little") < len(table) and table in tokenizer.to_bytes()
