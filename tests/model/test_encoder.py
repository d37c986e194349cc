"""The encoder: padding that cannot be seen, and layers as their formulas say."""

import math

import pytest
import torch
import torch.nn.functional as F

from electra.model.encoder import Embeddings, Encoder, Layer

pytestmark = pytest.mark.fast


@pytest.fixture
def network(shape):
    """(embeddings, encoder) in evaluation mode."""
    torch.manual_seed(0)
    config = shape()
    return Embeddings(config).eval(), Encoder(config).eval()


@pytest.mark.parametrize("grad", [True, False])
def test_padding_does_not_change_real_tokens(network, make_batch, grad):
    embeddings, encoder = network
    batch = make_batch([12, 7, 3], 12)
    with torch.set_grad_enabled(grad):
        together = encoder(embeddings(batch.input_ids, batch.token_type_ids), batch.attention_mask)
        junk = torch.where(batch.attention_mask, batch.input_ids, 77)
        changed = encoder(embeddings(junk, batch.token_type_ids), batch.attention_mask)
        for row, length in enumerate([12, 7, 3]):
            alone = encoder(
                embeddings(
                    batch.input_ids[row : row + 1, :length], batch.token_type_ids[:1, :length]
                ),
                None,
            )
            torch.testing.assert_close(together[row, :length], alone[0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(changed[row, :length], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("amp", [None, torch.bfloat16])
def test_the_first_token_alone_is_the_first_of_all(network, make_batch, padded, amp):
    embeddings, encoder = network
    batch = make_batch([12, 7, 3] if padded else [12, 12], 12)
    mask = batch.attention_mask if padded else None
    found = []
    for first_alone in (False, True):
        encoder.zero_grad()
        with torch.autocast("cpu", amp, enabled=amp is not None):
            embedded = embeddings(batch.input_ids, batch.token_type_ids)
            first = encoder(embedded, mask, first_alone)[:, :1].float()
        assert encoder(embedded, mask, first_alone).shape[1] == (1 if first_alone else 12)
        (first * torch.linspace(-1, 1, first.shape[-1])).sum().backward()
        found.append((first, *(p.grad.clone() for p in encoder.parameters())))
    tolerance = 1e-5 if amp is None else 0.05
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def test_a_full_mask_is_no_mask(network, make_batch):
    embeddings, encoder = network
    batch = make_batch([9, 9], 9)
    embedded = embeddings(batch.input_ids, batch.token_type_ids)
    torch.testing.assert_close(
        encoder(embedded, torch.ones(2, 9, dtype=torch.bool)),
        encoder(embedded, None),
        rtol=1e-5,
        atol=1e-6,
    )


def test_words_positions_and_types_are_all_seen(network):
    embeddings, _ = network
    ids, types = torch.tensor([[9, 9]]), torch.tensor([[0, 0]])
    x = embeddings(ids, types)[0]
    assert not torch.allclose(x[0], x[1])
    assert not torch.allclose(embeddings(ids, 1 - types)[0], x)
    assert not torch.allclose(embeddings(ids + 1, types)[0], x)


def test_embeddings_are_a_sum_under_one_norm(network):
    embeddings, _ = network
    x = embeddings(torch.tensor([[8, 30]]), torch.tensor([[1, 0]]))[0, 1]
    total = (
        embeddings.word.weight[30] + embeddings.position.weight[1] + embeddings.token_type.weight[0]
    )
    expected = (total - total.mean()) / (total.var(unbiased=False) + 1e-12).sqrt()
    torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-5)


def test_a_layer_is_post_norm_with_exact_gelu(shape):
    torch.manual_seed(0)
    layer = Layer(shape()).eval()
    x = torch.randn(2, 5, 24)
    B, T, C, H = 2, 5, 24, 2
    q, k, v = (
        part.view(B, T, H, C // H).transpose(1, 2) for part in layer.attention.qkv(x).chunk(3, -1)
    )
    weights = (q @ k.transpose(-1, -2) / math.sqrt(C // H)).softmax(-1)
    attended = layer.attention.out((weights @ v).transpose(1, 2).reshape(B, T, C))
    y = F.layer_norm(x + attended, (C,), eps=1e-12)
    up = layer.up(y)
    gelu = up * 0.5 * (1 + torch.erf(up / math.sqrt(2)))
    expected = F.layer_norm(y + layer.down(gelu), (C,), eps=1e-12)
    torch.testing.assert_close(layer(x, None), expected, rtol=1e-4, atol=1e-5)


def test_more_tokens_than_positions_raise(network):
    with pytest.raises(ValueError, match="65.*64"):
        network[0](torch.zeros(1, 65, dtype=torch.int64), torch.zeros(1, 65, dtype=torch.int64))


def test_equal_sizes_need_no_projection(shape):
    assert not list(Encoder(shape(embedding_size=24)).projection.parameters())
    assert sorted(p.shape for p in Encoder(shape()).projection.parameters()) == [(24,), (24, 16)]
