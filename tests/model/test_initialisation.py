"""Initial weights: the usual ones, and heads that start on their neighbours."""

import math

import pytest
import torch
import torch.nn.functional as F

from electra.config import SIZES, preset_model_config
from electra.model.bert import BertMLM
from electra.model.electra import Electra
from electra.model.neighbours import frequencies, head_offset, sinusoidal_positions


@pytest.mark.fast
def test_the_usual_initialisation(shape):
    torch.manual_seed(0)
    model = BertMLM(
        shape(
            objective="mlm",
            vocab_size=2_000,
            embedding_size=128,
            hidden_size=128,
            intermediate_size=512,
        )
    )
    for name, value in model.named_parameters():
        if value.ndim > 1:
            assert value.abs().max() <= 0.04 + 1e-6, name
            if value.numel() > 5_000:
                # A normal cut at two deviations has 0.88 of its deviation, and 68.3% of the 95.4%
                # within two lie within one.
                assert value.std().item() == pytest.approx(0.88 * 0.02, rel=0.05), name
                assert value.mean().item() == pytest.approx(0, abs=1e-3), name
                within_one = (value.abs() < 0.02).float().mean().item()
                assert within_one == pytest.approx(0.683 / 0.954, abs=0.02), name
        else:
            assert (value == (1.0 if name.endswith("norm.weight") else 0.0)).all(), name


# --- heads that look at their neighbours ---


@pytest.mark.fast
def test_heads_take_turns_through_the_offsets():
    assert [head_offset(0, head, 4) for head in range(4)] == [-1, 1, -2, 2]
    assert [head_offset(1, head, 4) for head in range(4)] == [-3, 3, -1, 1]
    assert [head_offset(layer, 0, 1) for layer in range(7)] == [-1, 1, -2, 2, -3, 3, -1]


@pytest.mark.fast
def test_sinusoids_have_the_given_deviation_and_shift_by_rotation():
    table = sinusoidal_positions(512, 64, 0.02).double()
    assert table.pow(2).mean().sqrt().item() == pytest.approx(0.02, rel=1e-6)
    omega = frequencies(64)
    assert (omega[1:] < omega[:-1]).all() and omega[0] < math.pi
    sin, cos = table[:, 0::2], table[:, 1::2]
    shifted = sin[:-3] * (3 * omega).cos() + cos[:-3] * (3 * omega).sin()
    torch.testing.assert_close(shifted, sin[3:], rtol=0, atol=1e-7)


@torch.no_grad()
def attention_by_offset(embeddings, encoder, vocab_size, T=64):
    """Mean attention of each head to each offset, over the positions that have it.

    (layers, H, 2T - 1).
    """
    ids = torch.randint(5, vocab_size, (4, T), generator=torch.Generator().manual_seed(5))
    x = encoder.projection(embeddings(ids, torch.zeros_like(ids)))
    found = []
    for layer in encoder.layers:
        qkv = layer.attention.qkv(x).unflatten(-1, (3, layer.attention.num_heads, -1))
        q, k, _ = qkv.permute(2, 0, 3, 1, 4)  # (B, H, T, D) each
        weights = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).softmax(-1)  # (B, H, T, T)
        found.append(
            torch.stack([weights.diagonal(o, 2, 3).mean((0, 2)) for o in range(1 - T, T)], -1)
        )
        x = layer(x, None)
    return torch.stack(found)


def near(by_offset, T=64):
    """Attention within one token of each offset."""
    padded = F.pad(by_offset, (1, 1))
    return padded[..., :-2] + padded[..., 1:-1] + padded[..., 2:]


@pytest.fixture(scope="module")
def electra_of():
    made = {}

    def make(size, attention_init):
        if (size, attention_init) not in made:
            torch.manual_seed(0)
            config = preset_model_config(size, "electra", 3_000, attention_init=attention_init)
            made[size, attention_init] = Electra(config).eval()
        return made[size, attention_init]

    return make


@pytest.mark.parametrize("network", ["generator", "discriminator"])
@pytest.mark.parametrize(
    "size", [name for name in SIZES if SIZES[name].model["hidden_size"] <= 768]
)
def test_every_head_starts_on_its_neighbour(electra_of, size, network):
    model = electra_of(size, "neighbours")
    encoder = model.generator.encoder if network == "generator" else model.discriminator
    by_offset = attention_by_offset(model.embeddings, encoder, 3_000)
    share = near(by_offset)
    for layer in range(by_offset.shape[0]):
        for head in range(by_offset.shape[1]):
            offset = head_offset(layer, head, by_offset.shape[1])
            mine = share[layer, head, 63 + offset].item()
            assert mine > 0.45, (layer, head, offset, mine)
            # Beyond 48 few positions have the offset.
            best = share[layer, head, 63 - 48 : 63 + 49].argmax().item() - 48
            assert abs(best - offset) <= 1, (layer, head, offset, best)


@pytest.mark.fast
@pytest.mark.parametrize(
    "embedding, hidden, num_heads", [(128, 256, 4), (256, 64, 2), (128, 128, 2), (128, 60, 1)]
)
def test_neighbours_are_found_through_any_projection(shape, embedding, hidden, num_heads):
    torch.manual_seed(0)
    model = BertMLM(
        shape(
            objective="mlm",
            vocab_size=2_000,
            embedding_size=embedding,
            hidden_size=hidden,
            num_heads=num_heads,
            intermediate_size=4 * hidden,
            attention_init="neighbours",
            max_positions=128,
        )
    ).eval()
    share = near(attention_by_offset(model.embeddings, model.mlm.encoder, 2_000))
    for layer in range(2):
        for head in range(num_heads):
            assert share[layer, head, 63 + head_offset(layer, head, num_heads)] > 0.45


@pytest.mark.fast
def test_the_usual_start_looks_everywhere(electra_of):
    model = electra_of("small", "usual")
    by_offset = attention_by_offset(model.embeddings, model.discriminator, 3_000)
    assert near(by_offset)[:, :, 63 - 3 : 63 + 4].max() < 0.1


@pytest.mark.fast
def test_only_values_differ_between_the_starts(electra_of):
    usual = electra_of("small", "usual").state_dict()
    neighbours = electra_of("small", "neighbours").state_dict()
    shapes = [{name: value.shape for name, value in s.items()} for s in (usual, neighbours)]
    assert shapes[0] == shapes[1]
    changed = {name for name, value in usual.items() if not torch.equal(value, neighbours[name])}
    assert "embeddings.position.weight" in changed and "embeddings.word.weight" not in changed
    assert all(torch.isfinite(value).all() for value in neighbours.values())


@pytest.mark.fast
def test_a_start_is_a_function_of_the_seed(shape):
    made = []
    for _ in range(2):
        torch.manual_seed(3)
        made.append(Electra(shape(attention_init="neighbours")))
    assert all(
        torch.equal(a, b) for a, b in zip(*(model.parameters() for model in made), strict=True)
    )
    assert made[0].training and made[0].discriminator.training and made[0].embeddings.training
