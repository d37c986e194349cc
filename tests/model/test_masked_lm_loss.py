"""The masked-LM loss in pieces against the plain one: values, gradients, samples, memory."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from electra.model.masked_lm_loss import masked_lm_loss

pytestmark = pytest.mark.fast


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
    monkeypatch.setattr("electra.model.masked_lm_loss.CPU_PIECE_ELEMENTS", rows * V)


# One by one, with a rest, exactly, more than there are.
@pytest.mark.parametrize("rows", [1, 5, 23, 1_000])
def test_the_masked_lm_loss_is_the_plain_one_in_any_pieces(monkeypatch, rows):
    pieces(monkeypatch, rows)
    inputs, targets, weights, uniform = head_input()
    loss, correct, tokens = masked_lm_loss(*inputs, targets, weights, uniform)
    expected_loss, expected_correct = plain(*inputs, targets, weights)
    torch.testing.assert_close(loss, expected_loss)
    assert correct == expected_correct and not correct.requires_grad and not tokens.requires_grad
    mine = torch.autograd.grad(loss * 3, inputs)
    for a, b in zip(mine, torch.autograd.grad(expected_loss * 3, inputs), strict=True):
        torch.testing.assert_close(a, b)

    cumulative = torch.softmax(F.linear(*inputs), -1).cumsum(-1)
    assert torch.equal(tokens, (cumulative < uniform).sum(-1))
    with torch.no_grad():
        again = masked_lm_loss(*inputs, targets, weights, None)
    assert torch.equal(again[0], loss) and torch.equal(again[1], correct) and again[2] is None


def test_what_is_returned_was_not_changed_in_place(monkeypatch):
    """torch 2.11 compiles a function that returns such a tensor, and loses its gradient without a
    word (pytorch issue 180642). Later versions do not, so that no test of theirs would see it."""
    pieces(monkeypatch, 5)
    inputs, targets, weights, uniform = head_input()
    returned = masked_lm_loss(*inputs, targets, weights, uniform)
    assert [tensor._version for tensor in (returned.loss, returned.correct)] == [0, 0]


def test_gradients_of_the_masked_lm_loss_are_those_of_differences(monkeypatch):
    pieces(monkeypatch, 3, V=7)
    inputs, targets, weights, _ = head_input(N=8, E=4, V=7)
    assert torch.autograd.gradcheck(lambda *x: masked_lm_loss(*x, targets, weights)[0], inputs)


def test_a_loss_that_float32_could_lose_is_kept():
    """The target's probability underflows; its logarithm does not."""
    hidden, table = torch.tensor([[1.0]], requires_grad=True), torch.tensor([[300.0], [0.0], [1.0]])
    loss, correct, _ = masked_lm_loss(
        hidden, table, torch.zeros(3), torch.tensor([1]), torch.ones(1)
    )
    assert loss.item() == pytest.approx(300) and correct == 0


def test_under_autocast_products_are_narrow_and_sums_wide():
    inputs, targets, weights, uniform = head_input(N=200, E=32, V=500, dtype=torch.float32)
    expected, _ = plain(*inputs, targets, weights)
    with torch.autocast("cpu", torch.bfloat16):
        loss, correct, _ = masked_lm_loss(*inputs, targets, weights, uniform)
    assert loss.dtype == correct.dtype == torch.float32
    assert loss.item() == pytest.approx(expected.item(), rel=0.01)
    mine, plain_ones = (torch.autograd.grad(value, inputs) for value in (loss, expected))
    for a, b in zip(mine, plain_ones, strict=True):
        assert a.dtype == torch.float32
        assert (a - b).norm() < 0.02 * b.norm()


def test_tokens_are_drawn_from_the_softmax():
    n = 40_000
    bias = torch.tensor([2.0, 0.0, -1.0, 1.0, 0.5])
    _, _, tokens = masked_lm_loss(
        torch.zeros(n, 1),
        torch.zeros(5, 1),
        bias,
        torch.zeros(n, dtype=torch.int64),
        torch.ones(n),
        torch.rand(n, 1, generator=torch.Generator().manual_seed(5)),
    )
    expected = n * torch.softmax(bias, -1)
    chi_square = ((torch.bincount(tokens, minlength=5) - expected) ** 2 / expected).sum()
    assert chi_square < 18.5  # 0.1% point at 4 degrees


class Largest(TorchDispatchMode):
    """The largest number of elements in a tensor that any operation makes."""

    elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.elements = max(self.elements, tensor.numel())
        return out


@pytest.mark.parametrize("temperature", [0.05, 0.5, 2.0, 100.0])
def test_a_temperature_is_what_the_logits_are_divided_by(temperature):
    inputs, targets, weights, uniform = head_input(N=500)
    found = masked_lm_loss(*inputs, targets, weights, uniform, temperature)
    probabilities = torch.softmax(F.linear(*inputs) / temperature, -1)
    assert torch.equal(found.sampled, (probabilities.cumsum(-1) < uniform).sum(-1))
    assert torch.equal(found.loss, masked_lm_loss(*inputs, targets, weights, uniform).loss)


def test_the_coldest_draw_is_the_likeliest_token():
    """Of a softmax that is so flat that its power would be 0 everywhere."""
    (hidden, table, bias), targets, weights, uniform = head_input(V=5_000, dtype=torch.float32)
    inputs = hidden * 0.001, table, bias * 0.01
    found = masked_lm_loss(*inputs, targets, weights, uniform, temperature=1e-6)
    assert torch.equal(found.sampled, F.linear(*inputs).argmax(-1))


def test_the_logits_of_all_positions_never_exist_at_once(monkeypatch):
    pieces(monkeypatch, 4, V=300)
    inputs, targets, weights, uniform = head_input(N=64, E=2, V=300, dtype=torch.float32)
    with Largest() as largest:
        masked_lm_loss(*inputs, targets, weights, uniform)[0].backward()
    assert largest.elements == 4 * 300
