"""Adam against torch's, steps that must change nothing, and learning rates by hand."""

import math

import pytest
import torch
from torch import nn

from electra.model.classifier import Classifier
from electra.model.electra import Electra
from electra.training.optimizer import ADAM_SETTINGS, Adam, AdamSettings, Group, parameter_groups
from electra.training.schedule import lr_at, warmup_factor

pytestmark = pytest.mark.fast

ONE = torch.tensor(1.0)


def parameters(seed=0, shapes=((5, 3), (4,), (2, 2))):
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(*shape, generator=generator)) for shape in shapes]


def set_grads(mine, step, size=1.0):
    generator = torch.Generator().manual_seed(1_000 + step)
    for parameter in mine:
        parameter.grad = size * torch.randn(parameter.shape, generator=generator)


def values(optimizer):
    """Everything that a step may change, copied."""
    return [
        t.detach().clone()
        for t in (
            *optimizer.parameters,
            *optimizer.exp_avg,
            *optimizer.exp_avg_sq,
            optimizer.updates,
        )
    ]


def bitwise(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b))


@pytest.mark.parametrize("settings", [ADAM_SETTINGS, AdamSettings(0.8, 0.95, 1e-3, 0.9)])
@pytest.mark.parametrize("size", [0.01, 30.0])  # without and with clipping
def test_twenty_steps_equal_torch_s(size, settings):
    mine, theirs = parameters(), parameters()
    ours = Adam([Group(mine[:1], 0.1, 1.0), Group(mine[1:], 0.0, 0.5)], settings)
    reference = torch.optim.AdamW(
        [
            {"params": theirs[:1], "weight_decay": 0.1, "lr": 0.0},
            {"params": theirs[1:], "weight_decay": 0.0, "lr": 0.0},
        ],
        betas=(settings.beta1, settings.beta2),
        eps=settings.epsilon,
    )
    for step in range(20):
        lr = 0.01 * (1 + step % 3)
        set_grads(mine, step, size), set_grads(theirs, step, size)
        norm, finite = ours.step(lr, ONE)
        expected = nn.utils.clip_grad_norm_(theirs, settings.clip)
        reference.param_groups[0]["lr"], reference.param_groups[1]["lr"] = lr, lr * 0.5
        reference.step()
        torch.testing.assert_close(norm, expected)
        assert finite and (norm > 1) == (size > 1)
        for a, b in zip(mine, theirs):
            torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


def test_the_settings_are_the_official_codes():
    assert ADAM_SETTINGS == (0.9, 0.999, 1e-6, 1.0)


def test_the_first_step_has_the_length_of_the_learning_rate():
    parameter = nn.Parameter(torch.zeros(3))
    parameter.grad = torch.tensor([0.1, -0.02, 0.0])
    Adam([Group([parameter], 0.0, 1.0)]).step(0.01, ONE)
    expected = [-0.01 * 0.1 / (0.1 + 1e-6), 0.01 * 0.02 / (0.02 + 1e-6), 0.0]
    torch.testing.assert_close(parameter.detach(), torch.tensor(expected), rtol=1e-4, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("before", [0, 3])
def test_a_gradient_that_is_not_finite_changes_nothing(bad, before):
    mine = parameters()
    optimizer = Adam([Group(mine[:1], 0.1, 1.0), Group(mine[1:], 0.0, 1.0)])
    for step in range(before):
        set_grads(mine, step)
        optimizer.step(0.01, ONE)
    old = values(optimizer)
    set_grads(mine, 9)
    mine[1].grad[2] = bad
    norm, finite = optimizer.step(0.01, ONE)
    assert not finite and not torch.isfinite(norm)
    assert bitwise(values(optimizer), old)


def test_a_skipped_step_leaves_no_trace_in_later_ones():
    runs = []
    for skip in (False, True):
        mine = parameters()
        optimizer = Adam([Group(mine, 0.01, 1.0)])
        for step in range(6):
            if skip and step == 2:
                set_grads(mine, 99)
                mine[0].grad[0, 0] = math.inf
                optimizer.step(0.01, ONE)
            set_grads(mine, step)
            optimizer.step(0.01, ONE)
        runs.append(values(optimizer))
    assert bitwise(*runs)


@pytest.mark.parametrize("size", [0.01, 30.0])
def test_the_loss_scale_does_not_show(size):
    runs = []
    for scale in (1.0, 65_536.0):  # a power of two: exact
        mine = parameters()
        optimizer = Adam([Group(mine, 0.01, 1.0)])
        for step in range(5):
            set_grads(mine, step, size * scale)
            norm, _ = optimizer.step(0.01, torch.tensor(scale))
        runs.append([*values(optimizer), norm])
    for a, b in zip(*runs):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-9)


def test_parameters_without_a_gradient_are_untouched():
    mine = parameters()
    optimizer = Adam([Group(mine[:2], 0.1, 1.0), Group(mine[2:], 0.1, 1.0)])
    old = values(optimizer)
    set_grads(mine, 0)
    mine[0].grad = mine[2].grad = None
    expected = mine[1].grad.norm()
    norm, _ = optimizer.step(0.01, ONE)
    new = values(optimizer)
    assert norm == expected
    for i in (0, 2):
        assert torch.equal(new[i], old[i]) and torch.equal(new[3 + i], old[3 + i])
    assert not torch.equal(new[1], old[1])


def test_a_frozen_encoder_stays_bitwise(shape, make_batch):
    torch.manual_seed(0)
    model = Classifier(shape(), 2)
    for part in model.encoder_state():
        part.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = Adam(parameter_groups(model, 0.1))
    model(make_batch([9, 9], 9, labels=[0, 1]), torch.Generator()).losses.sum().backward()
    optimizer.step(0.1, ONE)
    changed = {
        name for name, value in model.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed == {"head.out.weight", "head.out.bias"}


def test_zero_grad_forgets_gradients():
    mine = parameters()
    optimizer = Adam([Group(mine, 0.0, 1.0)])
    set_grads(mine, 0)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in mine)


def test_a_loaded_state_goes_on_bitwise():
    def run(steps, mine, optimizer):
        for step in steps:
            set_grads(mine, step)
            optimizer.step(0.01, ONE)
        return values(optimizer)

    mine = parameters()
    expected = run(range(6), mine, Adam([Group(mine, 0.1, 1.0)]))
    first = parameters()
    optimizer = Adam([Group(first, 0.1, 1.0)])
    run(range(3), first, optimizer)
    second = [nn.Parameter(p.detach().clone()) for p in first]
    again = Adam([Group(second, 0.1, 1.0)])
    again.load_state_dict(optimizer.state_dict())
    assert bitwise(run(range(3, 6), second, again), expected)


def test_a_state_of_another_model_raises():
    state = Adam([Group(parameters(), 0.0, 1.0)]).state_dict()
    with pytest.raises(ValueError, match="does not fit"):
        Adam([Group(parameters(shapes=((5, 3), (4,), (2, 3))), 0.0, 1.0)]).load_state_dict(state)


# --- groups ---


def group_of(groups):
    return {id(parameter): group for group in groups for parameter in group.parameters}


@pytest.mark.parametrize("make", [lambda c: Electra(c), lambda c: Classifier(c, 2)])
@pytest.mark.parametrize("layer_decay", [1.0, 0.8])
def test_every_parameter_is_in_one_group_and_vectors_do_not_decay(shape, make, layer_decay):
    model = make(shape())
    groups = parameter_groups(model, 0.01, layer_decay, 2)
    assert sorted(id(p) for group in groups for p in group.parameters) == sorted(
        map(id, model.parameters())
    )
    for group in groups:
        assert all((group.weight_decay == 0.01) == (p.ndim > 1) for p in group.parameters)


def test_learning_rates_fall_by_one_factor_a_layer(shape):
    model = Classifier(shape(num_layers=3), 2)
    found = group_of(parameter_groups(model, 0.0, 0.5, 3))
    expected = {
        "head.": 1.0,
        "encoder.layers.2.": 0.5,
        "encoder.layers.1.": 0.25,
        "encoder.layers.0.": 0.125,
        "encoder.projection.": 0.0625,
        "embeddings.": 0.0625,
    }
    for name, parameter in model.named_parameters():
        [factor] = [value for prefix, value in expected.items() if name.startswith(prefix)]
        assert found[id(parameter)].lr_factor == factor, name


def test_without_layer_decay_all_rates_are_one(shape):
    groups = parameter_groups(Electra(shape()), 0.01)
    assert [group.lr_factor for group in groups] == [1.0, 1.0]
    assert sorted(group.weight_decay for group in groups) == [0.0, 0.01]


@pytest.mark.parametrize(
    "step, warmup, progress, expected",
    [
        (0, 10, 0.0, 0.1),
        (4, 10, 0.05, 0.5 * 0.95),
        (9, 10, 0.09, 0.91),
        (10, 10, 0.1, 0.9),
        (99, 10, 0.99, 0.01),
        (0, 0, 0.0, 1.0),
        (50, 0, 0.5, 0.5),
        (0, 1, 0.0, 1.0),
        (200, 10, 1.2, 0.0),
    ],
)
def test_learning_rates_by_hand(step, warmup, progress, expected):
    assert lr_at(warmup_factor(step, warmup), progress) == pytest.approx(expected)


@pytest.mark.parametrize("power, expected", [(0.0, 1.0), (0.5, 0.5), (1.0, 0.25), (2.0, 0.0625)])
def test_the_learning_rate_falls_by_its_power(power, expected):
    assert lr_at(1.0, 0.75, power) == expected
    assert lr_at(1.0, 1.0, power) == (power == 0)


@pytest.mark.parametrize(
    "step, progress, expected",
    [
        (9, 0.0, 0.1),
        (9, 0.05, 0.5),
        (9, 0.1, 1.0),
        (9, 0.6, 1.0),
        (79, 0.05, 0.8),
        (99, 0.0, 1.0),
        (500, 0.01, 1.0),
    ],
)
def test_warm_up_of_100_steps_is_over_at_the_latest_at_a_tenth_of_the_run(step, progress, expected):
    assert warmup_factor(step, 100, progress, latest=0.1) == pytest.approx(expected)
