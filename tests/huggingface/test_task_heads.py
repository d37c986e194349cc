"""A linear head as the layers of ELECTRA's and of BERT's head of texts, computed by hand."""

import math

import pytest
import torch
import torch.nn.functional as F

from electra.huggingface.task_heads import (
    LARGEST_SLOPE,
    LinearHead,
    fits_text_head,
    largest_hidden,
    read_text_head,
    read_token_head,
    write_text_head,
    write_token_head,
)

C = 24
BETWEEN = {"electra": F.gelu, "bert": torch.tanh}
LAYERS = {
    "electra": ("classifier.dense", "classifier.out_proj"),
    "bert": ("bert.pooler.dense", "classifier"),
}


def random_head(outputs, hidden_size=C):
    generator = torch.Generator().manual_seed(outputs)
    weight = torch.randn(outputs, hidden_size, generator=generator)
    return LinearHead(weight, torch.randn(outputs, generator=generator))


def compute(tensors, model_type, hidden):
    """What transformers computes from the vectors of [CLS]."""
    first, second = LAYERS[model_type]
    inner = F.linear(hidden, tensors[f"{first}.weight"], tensors[f"{first}.bias"])
    inner = BETWEEN[model_type](inner)
    return F.linear(inner, tensors[f"{second}.weight"], tensors[f"{second}.bias"])


@pytest.mark.fast
@pytest.mark.parametrize("size", [1.0, 30.0, 1_000.0])
@pytest.mark.parametrize("outputs", [1, 2, C // 2])
@pytest.mark.parametrize("model_type", ["electra", "bert"])
def test_the_layers_compute_the_linear_head(model_type, outputs, size):
    head = random_head(outputs)
    hidden = size * (2 * torch.rand(200, C, generator=torch.Generator().manual_seed(1)) - 1)
    tensors = write_text_head(head, model_type, size)
    exact = F.linear(hidden.double(), head.weight.double(), head.bias.double())
    error = (compute(tensors, model_type, hidden) - exact).abs().max()
    # Of the largest sum of products that a logit is made of.
    assert error < 1e-5 * size * head.weight.abs().sum(1).max()


@pytest.mark.fast
def test_a_bert_takes_more_labels_than_half_of_its_hidden_size():
    assert [fits_text_head("electra", n, C) for n in (C // 2, C // 2 + 1)] == [True, False]
    head, hidden = random_head(C + 3), torch.randn(5, C, generator=torch.Generator().manual_seed(1))
    said = compute(write_text_head(head, "bert", 5.0), "bert", hidden)
    torch.testing.assert_close(said, F.linear(hidden, *head))


@pytest.mark.fast
@pytest.mark.parametrize("largest", [1e-3, 30.0, 1e3])
def test_the_slope_is_a_power_of_two_that_shrinks_with_large_values(largest):
    slope = write_text_head(random_head(2), "bert", largest)["bert.pooler.dense.weight"][0, 0]
    assert math.frexp(slope)[0] == 0.5 and slope <= LARGEST_SLOPE and slope * largest <= 2**-8
    assert slope == LARGEST_SLOPE or slope * largest > 2**-9


@pytest.mark.fast
@pytest.mark.parametrize("model_type", ["electra", "bert"])
def test_a_text_head_comes_back_bitwise_and_only_if_every_weight_is_as_written(model_type):
    head = random_head(3)
    tensors = write_text_head(head, model_type, 10.0)
    back = read_text_head(tensors, model_type)
    assert all(torch.equal(one, other) for one, other in zip(back, head, strict=True))

    first, second = LAYERS[model_type]
    free = {f"{second}.bias"} | ({f"{second}.weight"} if model_type == "bert" else set())
    for name, tensor in tensors.items():
        assert read_text_head({**tensors, name: tensor[:-1]}, model_type) is None
        assert read_text_head({k: v for k, v in tensors.items() if k != name}, model_type) is None
        for place in (0, -1):
            changed = tensor.clone()
            changed.view(-1)[place] += 0.01
            is_read = read_text_head({**tensors, name: changed}, model_type) is not None
            assert is_read == (name in free), (name, place)
    assert free < set(tensors) and first in "".join(set(tensors) - free)


@pytest.mark.fast
@pytest.mark.parametrize("slope", [0.5, -(2.0**-14), 3 * 2.0**-17, 0.0, math.nan])
def test_a_pooler_of_another_slope_is_not_linear(slope):
    tensors = write_text_head(random_head(2), "bert", 10.0)
    tensors["bert.pooler.dense.weight"] = slope * torch.eye(C)
    assert read_text_head(tensors, "bert") is None


@pytest.mark.fast
@pytest.mark.parametrize("kind, name", [("tagger", "classifier"), ("reader", "qa_outputs")])
def test_a_token_head_is_a_linear_layer(kind, name):
    head = random_head(2)
    tensors = write_token_head(head, kind)
    assert set(tensors) == {f"{name}.weight", f"{name}.bias"}
    assert read_token_head(tensors, kind) == head
    assert read_token_head({f"{name}.weight": head.weight}, kind) is None
    assert read_token_head({**tensors, f"{name}.bias": head.bias[:1]}, kind) is None


@pytest.mark.fast
def test_no_value_of_a_layer_norm_is_larger():
    generator = torch.Generator().manual_seed(0)
    norm = torch.nn.LayerNorm(C)
    with torch.no_grad():
        norm.weight.copy_(torch.randn(C, generator=generator))
        norm.bias.copy_(torch.randn(C, generator=generator))
        # The largest value is that of a vector with one entry apart from the others.
        given = norm(torch.eye(C)).abs().max().item()
    bound = largest_hidden(norm.weight, norm.bias)
    assert 0.5 * bound < given <= bound
