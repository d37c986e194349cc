"""ELECTRA's and BERT's losses: what they average over, where gradients go, what is counted."""

import math

import pytest
import torch

from electra.config import CLS, MASK, PAD, SEP, preset_model_config
from electra.data.batch import Batch
from electra.model import bert, masking
from electra.model.bert import BertMLM
from electra.model.electra import Electra
from electra.model.masked_lm_loss import masked_lm_loss
from electra.model.outputs import Detection, detection_sums
from electra.training.device import Precision
from electra.training.optimizer import Adam, parameter_groups
from electra.training.seeds import derive_seed
from electra.training.step import Learner, LossScale, train_step

from .helpers import generator, grads_of, own, seeded

pytestmark = pytest.mark.fast

OFF = Precision(None, "cpu")


def encoder_count(E, C, L, width):
    """Projection, attention's four matrices, feed-forward's two, two LayerNorms a layer; biases."""
    layer = 4 * (C * C + C) + (C * width + width) + (width * C + C) + 2 * 2 * C
    return (E * C + C if E != C else 0) + L * layer


def test_small_has_the_paper_s_14_million_parameters():
    model = Electra(preset_model_config("small", "electra", 30_522))
    embeddings = 30_522 * 128 + 512 * 128 + 2 * 128 + 2 * 128
    discriminator = encoder_count(128, 256, 12, 1024) + (256 * 256 + 256) + (256 + 1)
    mlm_head = (64 * 128 + 128) + 2 * 128 + 30_522
    expected = embeddings + discriminator + encoder_count(128, 64, 12, 256) + mlm_head
    assert sum(p.numel() for p in model.parameters()) == expected
    # What fine-tuning continues with.
    assert embeddings + discriminator == pytest.approx(13.5e6, rel=0.01)
    assert expected == pytest.approx(14.2e6, rel=0.01)


def test_generator_and_discriminator_have_one_embedding_module(shape):
    model = Electra(shape())
    assert not own(model, "generator.embeddings") and not own(model, "discriminator.embeddings")
    tables = [name for name, p in model.named_parameters() if p.ndim == 2 and p.shape[0] == 200]
    assert tables == ["embeddings.word.weight"]
    calls = []
    model.embeddings.register_forward_hook(lambda module, inputs, output: calls.append(module))
    ids = torch.tensor([[CLS, 9, 8, 7, SEP]])
    model(Batch(ids, torch.zeros_like(ids), None), generator())
    assert len(calls) == 2 and calls[0] is calls[1] is model.embeddings


def test_discriminator_loss_leaves_generator_alone(shape, make_batch):
    model = seeded(Electra, shape())
    grads = grads_of(model, model(make_batch([20, 13], 24), generator()).losses[1])
    mine = own(model, "generator.")
    assert mine and all(grads[name] is None or not grads[name].any() for name in mine)
    for name in (*own(model, "discriminator."), *own(model, "rtd_head."), "embeddings.word.weight"):
        assert grads[name].any(), name


def test_generator_loss_leaves_discriminator_alone(shape, make_batch):
    model = seeded(Electra, shape())
    grads = grads_of(model, model(make_batch([20, 13], 24), generator()).losses[0])
    mine = own(model, "discriminator.") + own(model, "rtd_head.")
    assert mine and all(grads[name] is None or not grads[name].any() for name in mine)
    assert grads["generator.head.bias"].any() and grads["embeddings.word.weight"].any()


def test_both_losses_reach_the_shared_embeddings(shape, make_batch):
    model, batch = seeded(Electra, shape()), make_batch([20, 13], 24)
    mlm, rtd = (
        grads_of(model, model(batch, generator()).losses[i])["embeddings.word.weight"].clone()
        for i in (0, 1)
    )
    both = grads_of(model, model(batch, generator()).losses.sum())["embeddings.word.weight"]
    torch.testing.assert_close(both, mlm + rtd, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("lengths", [[24, 24, 24], [24, 9, 3], [3, 3], [2, 5]])
@pytest.mark.parametrize("mask_prob", [0.15, 0.25])
def test_counts_are_known_before_and_right_after_the_forward_pass(
    shape, make_batch, lengths, mask_prob
):
    batch = make_batch(lengths, 24)
    for model in (Electra(shape(), mask_prob), BertMLM(shape(objective="mlm"), mask_prob)):
        step = model(batch, generator())
        counted = [step.sums[name].item() for name in ("masked", "tokens")][: len(model.weights)]
        assert model.counts(batch).tolist() == counted
        assert counted[0] == sum(min(max(1, round((n - 2) * mask_prob)), n - 2) for n in lengths)
        assert step.sums["tokens"].item() == sum(lengths)


def test_the_vocabulary_head_sees_masked_positions_only(shape, make_batch, monkeypatch):
    model, batch = seeded(Electra, shape()), make_batch([40, 30], 40)
    seen = []
    monkeypatch.setattr(
        bert, "masked_lm_loss", lambda *inputs: seen.append(inputs[0]) or masked_lm_loss(*inputs)
    )
    model(batch, generator())
    [hidden] = seen
    assert hidden.shape == (2 * math.ceil(0.15 * 40), 16)

    masked = masking.mask(batch.input_ids, 0.15, "electra", 200, generator())
    full = model.generator.encoder(
        model.embeddings(masked.input_ids, batch.token_type_ids), batch.attention_mask
    )
    expected = torch.cat([full[row, position] for row, position in enumerate(masked.positions)])
    torch.testing.assert_close(hidden, model.generator.head.transform(expected))


def test_mlm_loss_is_the_cross_entropy_of_the_masked_positions(shape, make_batch):
    model, batch = seeded(BertMLM, shape(objective="mlm")), make_batch([40, 9], 40)
    step = model(batch, generator())
    masked = masking.mask(batch.input_ids, 0.15, "mlm", 200, generator())
    hidden = model.mlm.encoder(
        model.embeddings(masked.input_ids, batch.token_type_ids), batch.attention_mask
    )
    chance = model.mlm.head(hidden, model.embeddings.word.weight).log_softmax(-1)  # (B, T, V)
    expected = sum(
        -chance[row, position, target]
        for row in range(2)
        for position, target, weight in zip(
            masked.positions[row], masked.targets[row], masked.weights[row], strict=True
        )
        if weight
    )
    torch.testing.assert_close(step.losses, expected[None], rtol=1e-5, atol=1e-4)


def test_rtd_loss_is_over_all_real_tokens_and_no_padding(shape, make_batch):
    model, batch = seeded(Electra, shape()), make_batch([40, 9], 40)
    step = model(batch, generator())
    found = step.detection
    assert torch.equal(found.real, batch.attention_mask) and not found.replaced[~found.real].any()
    assert torch.equal(found.replaced.bool(), found.corrupted != batch.input_ids)
    assert found.replaced.any()
    assert MASK not in found.corrupted
    chance = torch.sigmoid(model.detect(found.corrupted, batch).double())
    right = torch.where(found.replaced.bool(), chance, 1 - chance)[found.real]
    assert step.losses[1].item() == pytest.approx(-right.log().sum().item(), rel=1e-5)
    assert step.sums["rtd_loss"].item() == step.losses[1].item()
    assert not step.sums["rtd_loss"].requires_grad


def test_first_losses_are_those_of_guessing(shape, make_batch):
    batch = make_batch([40] * 30, 40)
    step = seeded(Electra, shape())(batch, generator())
    mlm_loss = step.sums["mlm_loss"].item() / step.sums["masked"].item()
    rtd_loss = step.sums["rtd_loss"].item() / step.sums["tokens"].item()
    assert mlm_loss == pytest.approx(math.log(200), rel=0.03)
    assert rtd_loss == pytest.approx(math.log(2), rel=0.03)


def test_detection_is_counted_by_hand():
    sums = detection_sums(
        Detection(
            logits=torch.tensor([[1.0, -1.0, 2.0, 0.0], [3.0, -2.0, 5.0, 5.0]]),
            replaced=torch.tensor([[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]),
            real=torch.tensor([[True] * 4, [True, True, False, False]]),
            corrupted=torch.zeros(2, 4),
        )
    )
    assert {name: value.item() for name, value in sums.items()} == {
        "tokens": 6,
        "replaced": 3,
        "said_replaced": 3,
        "said_and_replaced": 2,
        "rtd_correct": 4,
    }


def test_electra_s_loss_is_divided_once_by_the_counts_of_all_micro_batches(shape, make_batch):
    model = seeded(Electra, shape())
    batches = [make_batch([40, 35], 40), make_batch([6, 9], 16, seed=1)]
    optimizer = Adam(parameter_groups(model, 0.0))
    learner = Learner(model, optimizer, LossScale(OFF, torch.device("cpu")), OFF)
    result = train_step(learner, batches, 0.0, seed=4)
    clipping = max(1.0, result.grad_norm.item())
    mine = {name: p.grad * clipping for name, p in model.named_parameters()}

    steps = [
        model(batch, generator(derive_seed(4, number, 1))) for number, batch in enumerate(batches)
    ]
    masked = sum(step.sums["masked"].item() for step in steps)
    mlm, rtd = sum(step.losses[0] for step in steps), sum(step.losses[1] for step in steps)
    loss = mlm / masked + 50 * rtd / (40 + 35 + 6 + 9)
    for name, grad in grads_of(model, loss).items():
        torch.testing.assert_close(mine[name], grad, rtol=1e-4, atol=1e-6, msg=name)


def test_a_row_without_words_trains_and_counts_nothing(shape):
    ids = torch.tensor([[CLS, SEP, PAD, PAD], [CLS, 9, 9, SEP]])
    batch = Batch(ids, torch.zeros_like(ids), ids != PAD)
    model = seeded(Electra, shape())
    step = model(batch, generator())
    assert step.sums["masked"].item() == 1 == model.counts(batch)[0].item()
    assert torch.isfinite(step.losses).all() and not step.detection.replaced[0].any()
