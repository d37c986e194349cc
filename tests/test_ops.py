"""The fast operations against their plain forms: values, gradients, distributions."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from electra.model import ops
from electra.model.ops import MANY, SHORT, Dropout, Linear, attend, dropout, keep_factors, masked_lm

# --- products with weights ---


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
    x = (
        torch.randn(*rows, MANY, 24).transpose(-1, -2).contiguous().transpose(-1, -2)
    )  # in another order in memory
    d_y = torch.randn(*rows, MANY, 40)
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
    for tokens, convolved in ((MANY // 2, True), (MANY // 2 - 1, False)):
        with Operators() as operators, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = layer(torch.randn(2, tokens, 8))
        assert ("convolution" in operators.seen) == convolved
        assert y.dtype == (torch.bfloat16 if autocast else torch.float32)


# --- dropout ---


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
    x = torch.randn(7, 33, dtype=dtype, generator=torch.Generator().manual_seed(2)).requires_grad_()
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


# --- attention ---


def heads(T=17, B=3, H=2, D=8, seed=0, dtype=torch.float32):
    """Queries, keys and values in one tensor (B, T, 3, H, D), with gradient."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(B, T, 3, H, D, generator=generator, dtype=dtype, requires_grad=True)


def padding(lengths, T):
    return (torch.arange(T) < torch.tensor(lengths)[:, None])[:, None, None, :]


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
        ops, "PIECE", rows * H * T * T * qkv.element_size() // torch.get_num_threads()
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
        ops, "_pieces", lambda *sizes, real=ops._pieces: calls.append(sizes) or real(*sizes)
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
    pieces = ops._pieces(count, rows)
    assert {piece.stop - piece.start for piece in pieces} == {rows} and len(pieces) == math.ceil(
        count / rows
    )
    assert {row for piece in pieces for row in range(count)[piece]} == set(range(count))


def test_gradient_of_attention():
    keep = keep_factors(torch.Size((3, 2, 5, 5)), 0.3).double()
    bias = torch.zeros(3, 1, 1, 5, dtype=torch.float64).masked_fill(
        ~padding([5, 2, 1], 5), -math.inf
    )
    for arguments in ((bias, keep, 2), (None, None, 3)):
        assert torch.autograd.gradcheck(
            lambda qkv: ops._Attention.apply(qkv, *arguments), heads(T=5, D=4, dtype=torch.float64)
        )


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
    monkeypatch.setattr(ops, "SHORT", 39)
    assert SHORT > 40
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


# --- the vocabulary head ---


def head_input(N=23, E=6, V=37, dtype=torch.float64, seed=0):
    """hidden, table, bias with gradients; targets, weights, uniform numbers."""
    generator = torch.Generator().manual_seed(seed)
    hidden, table, bias = (
        torch.randn(*size, generator=generator, dtype=dtype, requires_grad=True)
        for size in ((N, E), (V, E), (V,))
    )
    targets = torch.randint(V, (N,), generator=generator)
    weights = (torch.rand(N, generator=generator) < 0.8).to(dtype)
    return (hidden, table, bias), targets, weights, torch.rand(N, 1, generator=generator)


def plain(hidden, table, bias, targets, weights):
    logits = F.linear(hidden, table, bias)
    loss = (F.cross_entropy(logits, targets, reduction="none") * weights).sum()
    return loss, ((logits.argmax(-1) == targets) * weights).sum()


def pieces(monkeypatch, rows, V=37):
    monkeypatch.setattr(ops, "CPU_PIECE", rows * V)


@pytest.mark.parametrize(
    "rows", [1, 5, 23, 1_000]
)  # one by one, with a rest, exactly, more than there are
def test_the_masked_lm_loss_is_the_plain_one_in_any_pieces(monkeypatch, rows):
    pieces(monkeypatch, rows)
    inputs, targets, weights, uniform = head_input()
    loss, correct, tokens = masked_lm(*inputs, targets, weights, uniform)
    expected_loss, expected_correct = plain(*inputs, targets, weights)
    torch.testing.assert_close(loss, expected_loss)
    assert correct == expected_correct and not correct.requires_grad and not tokens.requires_grad
    mine = torch.autograd.grad(loss * 3, inputs)
    for a, b in zip(mine, torch.autograd.grad(expected_loss * 3, inputs)):
        torch.testing.assert_close(a, b)

    cumulative = torch.softmax(F.linear(*inputs), -1).cumsum(-1)
    assert torch.equal(tokens, (cumulative < uniform).sum(-1))
    with torch.no_grad():
        again = masked_lm(*inputs, targets, weights, None)
    assert torch.equal(again[0], loss) and torch.equal(again[1], correct) and again[2] is None


def test_gradients_of_the_masked_lm_loss_are_those_of_differences(monkeypatch):
    pieces(monkeypatch, 3, V=7)
    inputs, targets, weights, _ = head_input(N=8, E=4, V=7)
    assert torch.autograd.gradcheck(lambda *x: masked_lm(*x, targets, weights)[0], inputs)


def test_a_loss_that_float32_could_lose_is_kept():
    """The target's probability underflows; its logarithm does not."""
    hidden, table = torch.tensor([[1.0]], requires_grad=True), torch.tensor([[300.0], [0.0], [1.0]])
    loss, correct, _ = masked_lm(hidden, table, torch.zeros(3), torch.tensor([1]), torch.ones(1))
    assert loss.item() == pytest.approx(300) and correct == 0


def test_under_autocast_products_are_narrow_and_sums_wide():
    inputs, targets, weights, uniform = head_input(N=200, E=32, V=500, dtype=torch.float32)
    expected, _ = plain(*inputs, targets, weights)
    with torch.autocast("cpu", torch.bfloat16):
        loss, correct, _ = masked_lm(*inputs, targets, weights, uniform)
    assert loss.dtype == correct.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=0.01)
    for a, b in zip(torch.autograd.grad(loss, inputs), torch.autograd.grad(expected, inputs)):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 0.02 * b.norm()


def test_tokens_are_drawn_from_the_softmax():
    n = 40_000
    bias = torch.tensor([2.0, 0.0, -1.0, 1.0, 0.5])
    _, _, tokens = masked_lm(
        torch.zeros(n, 1),
        torch.zeros(5, 1),
        bias,
        torch.zeros(n, dtype=torch.int64),
        torch.ones(n),
        torch.rand(n, 1, generator=torch.Generator().manual_seed(5)),
    )
    expected = n * torch.softmax(bias, -1)
    assert (
        (torch.bincount(tokens, minlength=5) - expected) ** 2 / expected
    ).sum() < 18.5  # 0.1%, 4 degrees


class Largest(TorchDispatchMode):
    """The largest number of elements in a tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


def test_the_logits_of_all_positions_never_exist_at_once(monkeypatch):
    pieces(monkeypatch, 4, V=300)
    inputs, targets, weights, uniform = head_input(N=64, E=2, V=300, dtype=torch.float32)
    with Largest() as largest:
        masked_lm(*inputs, targets, weights, uniform)[0].backward()
    assert largest.elements == 4 * 300
