"""The linear layer of many tokens against that of few."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from electra.model.linear import CONVOLUTION_MIN_TOKENS, Linear

pytestmark = pytest.mark.fast


class Operators(TorchDispatchMode):
    """The names of the operators that run."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.add(function.overloadpacket.__name__)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [(), (1,), (16,)])
def test_a_linear_layer_of_many_tokens_is_that_of_few(rows, bias, autocast):
    torch.manual_seed(0)
    layer = Linear(24, 40, bias=bias)
    error = 2.0**-6 if autocast else 1e-4  # bf16 rounds at 2^-9
    x = torch.randn(*rows, CONVOLUTION_MIN_TOKENS, 24)
    x = x.transpose(-1, -2).contiguous().transpose(-1, -2)  # in another order in memory
    d_y = torch.randn(*rows, CONVOLUTION_MIN_TOKENS, 40)
    found = []
    for function in (layer, lambda x: F.linear(x, layer.weight, layer.bias)):
        x = x.detach().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = function(x)
        assert y.is_contiguous()
        found.append(
            (y.detach(), *torch.autograd.grad(y, [x, *layer.parameters()], d_y.to(y.dtype)))
        )
    for mine, plain in zip(*found, strict=True):
        torch.testing.assert_close(mine, plain, rtol=error, atol=error * plain.abs().max().item())


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch without oneDNN")
@pytest.mark.parametrize("autocast", [True, False])
def test_only_many_tokens_take_the_other_way(autocast):
    layer = Linear(8, 8)
    for tokens, convolved in (
        (CONVOLUTION_MIN_TOKENS // 2, True),
        (CONVOLUTION_MIN_TOKENS // 2 - 1, False),
    ):
        with Operators() as operators, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = layer(torch.randn(2, tokens, 8))
        assert ("convolution" in operators.seen) == convolved
        assert y.dtype == (torch.bfloat16 if autocast else torch.float32)
