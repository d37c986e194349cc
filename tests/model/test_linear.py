"""The linear layer of many tokens against that of few."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from electra.model.linear import CONVOLUTION_MIN_TOKENS, SHORT_ROW, Linear, image_count

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
@pytest.mark.parametrize(
    "shape",
    [
        (CONVOLUTION_MIN_TOKENS,),
        (1, CONVOLUTION_MIN_TOKENS),
        (16, CONVOLUTION_MIN_TOKENS),
        (257, 8),
        (311, 7),
        (2, 40, 27),
    ],
)
def test_a_linear_layer_of_many_tokens_is_that_of_few(shape, bias, autocast):
    torch.manual_seed(0)
    layer = Linear(24, 40, bias=bias)
    error = 2.0**-6 if autocast else 1e-4  # bf16 rounds at 2^-9
    x = torch.randn(*shape, 24)
    x = x.transpose(-1, -2).contiguous().transpose(-1, -2)  # in another order in memory
    d_y = torch.randn(*shape, 40)
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


def test_short_rows_make_images_of_equal_height():
    assert image_count(128 * 16, 16) == 16
    for rows in (1, 3, 128, 311):
        for length in (1, 7, 8, 16, SHORT_ROW - 1, SHORT_ROW, 300):
            count = image_count(rows * length, length)
            assert rows * length % count == 0
            if length < SHORT_ROW:
                assert count == 1 or rows * length // count >= 128
            else:
                assert count == rows
