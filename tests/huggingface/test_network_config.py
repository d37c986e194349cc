"""config.json of a released checkpoint, there and back, and what is refused."""

import json

import pytest

from electra.config import ModelConfig
from electra.huggingface.config import NetworkConfig, export_config, network_config, read_config
from huggingface.checks import assert_refused

pytestmark = pytest.mark.fast

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
    config = network_config(read_config(written(ELECTRA)), "folder")
    assert config == NetworkConfig(
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
    config = network_config(read_config(written(BERT)), "folder")
    assert config == NetworkConfig(
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
    assert network_config(read_config(written(narrow)), "folder").embedding_size == 128


@pytest.mark.parametrize("network", ["discriminator", "generator", "bert"])
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
    back = network_config(read_config(written(values)), "folder")._asdict()
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
def test_settings_of_other_networks_are_refused(written, values, change, parts):
    folder = written({**values, **change})
    assert_refused(lambda: read_config(folder), folder / "config.json", *parts)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[1, 2]", "3", "null", '"bert"', '{"a":' * 100_000, "[" * 100_000, "{}", "9" * 5_000],
)
def test_a_config_that_is_none_is_refused(written, text):
    folder = written(text)
    assert_refused(lambda: read_config(folder), folder)


def test_a_folder_without_config_is_refused(tmp_path):
    assert_refused(lambda: read_config(tmp_path), tmp_path, "no config.json")
    assert_refused(lambda: read_config(tmp_path / "nowhere"), "nowhere", "not a folder")
    (tmp_path / "config.json").write_bytes(b'{"model_type": "b\xe9rt"}')
    assert_refused(lambda: read_config(tmp_path), "config.json is not JSON")


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
def test_settings_that_are_no_sizes_or_shares_are_refused(name, value):
    assert_refused(
        lambda: network_config({**ELECTRA, name: value}, "folder"),
        f"folder/config.json: {name} is {value!r}",
    )


@pytest.mark.parametrize(
    "name, value",
    [
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", 1_001),
        ("hidden_size", 2**24 + 1),
    ],
)
def test_sizes_that_no_model_here_has_are_refused(name, value):
    assert_refused(
        lambda: network_config({**ELECTRA, name: value}, "folder"),
        f"folder/config.json: {name} is {value}",
    )


@pytest.mark.parametrize(
    "name",
    ["vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"],
)
def test_sizes_without_a_default_must_be_there(name):
    values = {key: value for key, value in ELECTRA.items() if key != name}
    assert_refused(lambda: network_config(values, "folder"), f"{name} is None")
