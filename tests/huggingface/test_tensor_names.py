"""Names of tensors in released checkpoints, there and back, and what is refused."""

from dataclasses import replace
from functools import partial

import pytest
import torch

from electra.huggingface.tensor_names import Prefixes, export_weights, import_weights, prefixes_of
from electra.model.build import build
from huggingface.checks import assert_refused

pytestmark = pytest.mark.fast

# name: (objective, changes of the settings, networks). Where they are not changed, E = 16 and
# C = 24, the generator's 12.
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
        prefixes = prefixes_of(network, whole.objective)
        return export_weights(state, network, own, prefixes), own, state

    return make


@pytest.mark.parametrize("objective, changes, networks", MODELS.values(), ids=MODELS)
def test_exported_weights_come_back_bitwise(shape, state_of, objective, changes, networks):
    config = shape(objective=objective, **changes)
    state, back = state_of(config), {}
    for network in networks:
        own = config.generator() if (network, objective) == ("generator", "electra") else config
        theirs = export_weights(state, network, own, prefixes_of(network, objective))
        ours, has_head, _ = import_weights(theirs, network, own, "folder")
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
    encoder = prefixes_of(network, own.objective).encoder
    qkv = state[f"{encoder}layers.0.attention.qkv.weight"]
    parts = [
        theirs[f"{prefix}encoder.layer.0.attention.self.{part}.weight"]
        for part in ("query", "key", "value")
    ]
    assert torch.equal(torch.cat(parts), qkv) and all(part.is_contiguous() for part in parts)
    bare = export_weights(state, network, own, Prefixes(encoder, None))
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
        ours, has_head, _ = import_weights(tensors, network, own, "folder")
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
    ours, has_head, _ = import_weights(old, network, own, "folder")
    assert has_head and all(torch.equal(ours[name], state[name]) for name in ours)


def test_gamma_of_anything_else_has_no_place(exported):
    theirs, own, _ = exported("bert")
    theirs["bert.encoder.layer.0.output.dense.gamma"] = theirs.pop(
        "bert.encoder.layer.0.output.dense.weight"
    )
    assert_refused(
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
def test_a_second_name_of_a_tied_tensor_must_hold_the_same(exported, network, second, first):
    theirs, own, state = exported(network)
    value = theirs[first]
    alone = {second: value, **{name: tensor for name, tensor in theirs.items() if name != first}}
    for tensors in ({**theirs, second: value.clone()}, alone):
        ours, has_head, _ = import_weights(tensors, network, own, "folder")
        assert has_head and all(torch.equal(ours[name], state[name]) for name in ours)
    for other in (value + 1e-3, value[:-1]):
        assert_refused(
            partial(import_weights, {**theirs, second: other}, network, own, "folder"),
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
    ours, has_head, _ = import_weights({**theirs, **extra}, "bert", own, "folder")
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
def test_missing_and_unexpected_tensors_are_listed(exported, network):
    theirs, own, _ = exported(network)
    lost = [
        HEADS[network][0],
        next(name for name in theirs if name.endswith("layer.1.attention.self.key.bias")),
    ]
    tensors = {name: value for name, value in theirs.items() if name not in lost}
    tensors["crf.transitions"] = torch.ones(2, 2)
    assert_refused(
        lambda: import_weights(tensors, network, own, "some/folder"),
        "some/folder",
        lost[0],
        lost[1].split(".", 1)[1],
        "no place for: crf.transitions",
    )


def test_a_long_list_of_names_is_cut(exported):
    theirs, own, _ = exported("bert")
    more = {f"extra.{i:02}": torch.ones(1) for i in range(15)}
    listed = ", ".join(f"extra.{i:02}" for i in range(12))
    assert_refused(
        lambda: import_weights({**theirs, **more}, "bert", own, "folder"),
        f"no place for: {listed} and 3 more",
    )
    assert_refused(lambda: import_weights({}, "bert", own, "folder"), "missing: ", " and ")


def test_a_shape_with_more_layers_than_the_weights_misses_them(exported):
    theirs, own, _ = exported("discriminator")
    assert_refused(
        lambda: import_weights(theirs, "discriminator", replace(own, num_layers=3), "folder"),
        "missing: encoder.layer.2.",
    )
    assert_refused(
        lambda: import_weights(theirs, "discriminator", replace(own, num_layers=1), "folder"),
        "no place for: encoder.layer.1.",
    )


def test_weights_of_other_precisions_become_float32(exported):
    theirs, own, state = exported("bert")
    for dtype in (torch.float16, torch.bfloat16, torch.float64):
        ours, _, _ = import_weights(
            {name: value.to(dtype) for name, value in theirs.items()}, "bert", own, "folder"
        )
        assert all(value.dtype == torch.float32 for value in ours.values())
        assert all(torch.equal(ours[name], state[name].to(dtype).float()) for name in state)


def test_query_key_and_value_that_do_not_go_together_are_refused(exported):
    theirs, own, _ = exported("bert")
    theirs["bert.encoder.layer.0.attention.self.key.weight"] = torch.ones(24, 25)
    assert_refused(
        lambda: import_weights(theirs, "bert", own, "some/folder"),
        "some/folder",
        "query, key and value",
    )
