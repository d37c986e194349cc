"""Dropout from random bits: its share, its mean, its seed."""

import math

import pytest
import torch

from electra.model.dropout import Dropout, dropout, keep_factors

pytestmark = pytest.mark.fast


@pytest.mark.parametrize("rate", [0.01, 0.1, 0.25, 0.3, 0.5, 0.9])
def test_dropout_drops_its_share_and_keeps_the_mean(rate):
    torch.manual_seed(0)
    factors = keep_factors(torch.Size([1_000_003]), rate)
    assert factors.dtype == torch.bfloat16
    zero, factor = factors.unique().tolist()
    assert zero == 0 and factor == torch.tensor(1 / (1 - rate)).bfloat16().item()
    kept, n = (factors != 0).double().mean().item(), len(factors)
    assert abs(kept - 1 / factor) < 4 * math.sqrt(kept * (1 - kept) / n)  # the mean is 1
    assert abs(kept - (1 - rate)) < 0.004


def test_what_is_dropped_does_not_depend_on_its_neighbours():
    torch.manual_seed(1)
    kept = (keep_factors(torch.Size([400_000]), 0.3) != 0).long()
    share = kept.double().mean().item()
    for distance in (1, 2, 3, 4, 8, 64):
        both = torch.bincount(2 * kept[:-distance] + kept[distance:], minlength=4).double()
        n = len(kept) - distance
        expected = n * torch.tensor(
            [(1 - share) ** 2, share * (1 - share), share * (1 - share), share**2]
        )
        assert ((both - expected) ** 2 / expected).sum() < 16.3  # 0.1% point at 3 degrees


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_dropout_scales_value_and_gradient_alike(dtype):
    x = 0.5 + torch.rand(7, 33, dtype=dtype, generator=torch.Generator().manual_seed(2))
    x.requires_grad_()
    torch.manual_seed(3)
    y = dropout(x, 0.5)
    y.backward(torch.full_like(y, 3.0))
    assert y.dtype == dtype and set((y / x).unique().tolist()) == {0.0, 2.0}
    assert torch.equal(x.grad, (3 * (y / x).round()).detach())


def test_dropout_is_a_function_of_torch_s_seed_and_acts_in_training_only():
    x, module = torch.ones(50, 50), Dropout(0.1)
    outs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        outs.append(module(x))
    assert torch.equal(outs[0], outs[1]) and not torch.equal(outs[0], outs[2])
    assert module.eval()(x) is x and dropout(x, 0.0) is x
