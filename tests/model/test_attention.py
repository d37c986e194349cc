"""Attention in pieces against its formula: values, gradients, dropout."""

import math

import pytest
import torch
import torch.nn.functional as F

from electra.model import attention
from electra.model.attention import CPU_MAX_TOKENS, attend
from electra.model.dropout import keep_factors

from .helpers import padding

pytestmark = pytest.mark.fast


def heads(T=17, B=3, H=2, D=8, seed=0, dtype=torch.float32):
    """Queries, keys and values in one tensor (B, T, 3, H, D), with gradient."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, T, 3, H, D, generator=generator, dtype=dtype, requires_grad=True)


def by_formula(qkv, mask=None, factors=1.0):
    """Attention with whole tensors and autograd."""
    q, k, v = qkv.permute(2, 0, 3, 1, 4)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf)
    return ((scores.softmax(-1) * factors) @ v).transpose(1, 2)


def let_fit(monkeypatch, qkv, rows):
    B, T, _, H, _ = qkv.shape
    monkeypatch.setattr(
        attention, "PIECE_BYTES", rows * H * T * T * qkv.element_size() // torch.get_num_threads()
    )


@pytest.mark.parametrize("mask", [None, padding([17, 5, 1], 17)])
def test_training_on_a_cpu_computes_what_torch_computes(mask):
    mine, theirs = heads(), heads()
    a = attend(mine, mask, 0.0)
    q, k, v = theirs.permute(2, 0, 3, 1, 4)
    b = F.scaled_dot_product_attention(q, k, v, attn_mask=mask).transpose(1, 2)
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    weight = torch.randn(a.shape, generator=torch.Generator().manual_seed(1))
    (a * weight).sum().backward(), (b * weight).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("fit, rows", [(1, 1), (2, 2), (3, 3), (5, 4), (6, 4), (9, 7)])  # of 7
@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_attention_in_pieces_is_attention(monkeypatch, fit, rows, rate):
    mine, theirs = heads(B=7, dtype=torch.float64), heads(B=7, dtype=torch.float64)
    mask = padding([17, 3, 1, 17, 9, 2, 12], 17)
    let_fit(monkeypatch, mine, fit)
    calls = []
    monkeypatch.setattr(
        attention,
        "_pieces",
        lambda *sizes, real=attention._pieces: calls.append(sizes) or real(*sizes),
    )
    torch.manual_seed(3)
    a = attend(mine, mask, rate)
    torch.manual_seed(3)
    factors = keep_factors(torch.Size((7, 2, 17, 17)), rate).double() if rate else 1.0
    b = by_formula(theirs, mask, factors)
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    weight = torch.randn(a.shape, dtype=a.dtype, generator=torch.Generator().manual_seed(1))
    (a * weight).sum().backward(), (b * weight).sum().backward()
    torch.testing.assert_close(mine.grad, theirs.grad, rtol=1e-12, atol=1e-12)
    assert calls == [(7, rows)] * 2  # forward and backward
    with torch.no_grad():
        torch.manual_seed(3)
        assert torch.equal(attend(mine, mask, rate), a)


@pytest.mark.parametrize("count, rows", [(7, 3), (8, 4), (5, 5), (1, 1), (6, 4)])
def test_pieces_are_equally_large_and_cover_everything(count, rows):
    pieces = attention._pieces(count, rows)
    assert {piece.stop - piece.start for piece in pieces} == {rows} and len(pieces) == math.ceil(
        count / rows
    )
    assert {row for piece in pieces for row in range(count)[piece]} == set(range(count))


def test_gradient_of_attention():
    keep = keep_factors(torch.Size((3, 2, 5, 5)), 0.3).double()
    bias = torch.zeros(3, 1, 1, 5, dtype=torch.float64).masked_fill(
        ~padding([5, 2, 1], 5), -math.inf
    )
    attend_in_pieces = attention._PiecewiseAttention.apply
    for arguments in ((bias, keep, 2), (None, None, 3)):
        inputs = heads(T=5, D=4, dtype=torch.float64), *arguments
        assert torch.autograd.gradcheck(attend_in_pieces, inputs)


def test_attention_by_hand():
    q, k, v = (
        torch.zeros(3, 4),
        torch.tensor([[1.0, 0, 0, 0], [0, 1, 0, 0], [9, 9, 9, 9]]),
        torch.zeros(3, 4),
    )
    q[0, 0], v[0, 0], v[2, 0] = 2.0, 1.0, 50.0
    qkv = torch.stack([q, k, v], 1)[None, :, :, None].requires_grad_()  # (1, T, 3, 1, D)
    mask = torch.tensor([[[[True, True, False]]]])
    expected = math.e / (math.e + 1)  # scores 2 / sqrt(4) and 0
    for grad in (True, False):
        with torch.set_grad_enabled(grad):
            assert attend(qkv, mask, 0.0)[0, 0, 0, 0].item() == pytest.approx(expected)


def test_long_and_short_texts_are_attended_to_alike(monkeypatch):
    qkv, mask = heads(T=40), padding([40, 8, 1], 40)
    short = attend(qkv, mask, 0.0)
    monkeypatch.setattr(attention, "CPU_MAX_TOKENS", 39)
    assert CPU_MAX_TOKENS > 40
    torch.testing.assert_close(attend(qkv, mask, 0.0), short, rtol=1e-5, atol=1e-6)


def test_attention_dropout_keeps_the_mean_and_drops_its_share():
    qkv = torch.zeros(1, 200, 3, 1, 4)
    qkv[:, :, 2] = 1.0
    torch.manual_seed(0)
    out = attend(qkv, None, 0.2)[..., 0]  # each row: kept / 200 / 0.8
    kept = out * 0.8 * 200
    torch.testing.assert_close(kept, kept.round(), atol=1e-2, rtol=0)
    n = 200 * 200
    assert abs(kept.sum().item() - 0.8 * n) < 4 * math.sqrt(n * 0.8 * 0.2)


@pytest.mark.parametrize("mask", [None, padding([30, 4, 1], 30)])
@pytest.mark.parametrize("autocast", [False, True])
def test_attention_in_bf16_is_near_that_in_float32(mask, autocast):
    qkv = heads(T=30)
    weight = torch.randn(3, 30, 2, 8, generator=torch.Generator().manual_seed(1))
    exact = by_formula(wide := qkv.detach().double().requires_grad_(), mask)
    (exact * weight).sum().backward()
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        near = attend(qkv.bfloat16(), mask, 0.0)
        assert near.dtype == torch.bfloat16
        (near * weight).sum().backward()
    torch.testing.assert_close(near.double(), exact, rtol=0.05, atol=0.03)
    torch.testing.assert_close(qkv.grad.double(), wide.grad, rtol=0.1, atol=0.05)
