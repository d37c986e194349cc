"""What the models share, where gradients go, and what a forward pass counts."""

import math
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from conftest import ROOT

from electra.config import CLS, MASK, PAD, SEP, preset_model_config
from electra.data.batch import Batch
from electra.model import masking, ops
from electra.model.bert import BertMLM
from electra.model.build import build, with_weights
from electra.model.classifier import Classifier
from electra.model.electra import RTD_WEIGHT, Electra
from electra.model.heads import ClassificationHead
from electra.model.ops import masked_lm
from electra.model.outputs import Detection, detection_sums
from electra.training.device import Precision
from electra.training.optimizer import Adam, parameter_groups
from electra.training.seeds import derive_seed
from electra.training.step import Learner, LossScale, train_step

OFF = Precision(None, "cpu")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def seeded(make, *args, seed=0):
    torch.manual_seed(seed)
    return make(*args)


def grads_of(model, loss):
    model.zero_grad()
    loss.backward()
    return {name: p.grad for name, p in model.named_parameters()}


def own(model, prefix):
    return [name for name, _ in model.named_parameters() if name.startswith(prefix)]


def encoder_count(E, C, L, I):
    """Projection, attention's four matrices, feed-forward's two, two LayerNorms a layer; biases."""
    layer = 4 * (C * C + C) + (C * I + I) + (I * C + C) + 2 * 2 * C
    return (E * C + C if E != C else 0) + L * layer


def test_small_has_the_paper_s_14_million_parameters():
    model = Electra(preset_model_config("small", "electra", 30_522))
    embeddings = 30_522 * 128 + 512 * 128 + 2 * 128 + 2 * 128
    discriminator = encoder_count(128, 256, 12, 1024) + (256 * 256 + 256) + (256 + 1)
    mlm_head = (64 * 128 + 128) + 2 * 128 + 30_522
    expected = embeddings + discriminator + encoder_count(128, 64, 12, 256) + mlm_head
    assert sum(p.numel() for p in model.parameters()) == expected
    assert embeddings + discriminator == pytest.approx(
        13.5e6, rel=0.01
    )  # what fine-tuning goes on with
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


def test_build_makes_the_model_of_the_objective(shape):
    electra, bert = build(shape(), 0.25), build(shape(objective="mlm"), 0.25)
    assert (type(electra), type(bert)) == (
        Electra,
        BertMLM,
    ) and electra.mask_prob == bert.mask_prob == 0.25
    assert (electra.kind, bert.kind) == ("electra", "mlm")
    assert electra.weights == (1.0, RTD_WEIGHT) == (1.0, 50.0)


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
        counted = [step.sums[name].item() for name in ("masked", "tokens")][: len(model.terms)]
        assert model.counts(batch).tolist() == counted
        assert counted[0] == sum(min(max(1, round((n - 2) * mask_prob)), n - 2) for n in lengths)
        assert step.sums["tokens"].item() == sum(lengths)


def test_the_vocabulary_head_sees_masked_positions_only(shape, make_batch, monkeypatch):
    model, batch = seeded(Electra, shape()), make_batch([40, 30], 40)
    seen = []
    monkeypatch.setattr(
        ops, "masked_lm", lambda *inputs: seen.append(inputs[0]) or masked_lm(*inputs)
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
            masked.positions[row], masked.targets[row], masked.weights[row]
        )
        if weight
    )
    torch.testing.assert_close(step.losses, expected[None], rtol=1e-5, atol=1e-4)


def test_rtd_loss_is_over_all_real_tokens_and_no_padding(shape, make_batch):
    model, batch = seeded(Electra, shape()), make_batch([40, 9], 40)
    step = model(batch, generator())
    found = step.detection
    assert torch.equal(found.real, batch.attention_mask) and not found.replaced[~found.real].any()
    assert (
        torch.equal(found.replaced.bool(), found.corrupted != batch.input_ids)
        and found.replaced.any()
    )
    assert MASK not in found.corrupted
    chance = torch.sigmoid(model.detect(found.corrupted, batch).double())
    right = torch.where(found.replaced.bool(), chance, 1 - chance)[found.real]
    assert step.losses[1].item() == pytest.approx(-right.log().sum().item(), rel=1e-5)
    assert (
        step.sums["rtd_loss"].item() == step.losses[1].item()
        and not step.sums["rtd_loss"].requires_grad
    )


def test_first_losses_are_those_of_guessing(shape, make_batch):
    batch = make_batch([40] * 30, 40)
    step = seeded(Electra, shape())(batch, generator())
    assert step.sums["mlm_loss"].item() / step.sums["masked"].item() == pytest.approx(
        math.log(200), rel=0.03
    )
    assert step.sums["rtd_loss"].item() / step.sums["tokens"].item() == pytest.approx(
        math.log(2), rel=0.03
    )


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


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_a_batch_in_two_micro_batches_is_the_batch(shape, make_batch, pooling):
    """Of unequal sizes and fullness, where a mean of means would differ."""

    def gradients(batches):
        model = seeded(Classifier, shape(pooling=pooling), 3)
        optimizer = Adam(parameter_groups(model, 0.0))
        learner = Learner(model, optimizer, LossScale(OFF, torch.device("cpu")), OFF)
        result = train_step(learner, batches, 1e-3, seed=1)
        return {name: p.grad for name, p in model.named_parameters()}, result

    lengths = [20, 17, 9, 5, 3]
    whole = make_batch(lengths, 20, labels=[0, 1, 2, 0, 1])
    parts = [Batch(*(t[rows] for t in whole)) for rows in (slice(0, 4), slice(4, 5))]
    one, first = gradients([whole])
    two, second = gradients(parts)
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-4, atol=1e-6, msg=name)
    assert first.sums["weight"] == second.sums["weight"] == 5
    torch.testing.assert_close(first.sums["loss"].float(), second.sums["loss"].float())
    torch.testing.assert_close(first.grad_norm, second.grad_norm)


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


def test_dropout_acts_in_training_only(shape, make_batch):
    model = seeded(Classifier, shape(dropout=0.3, attention_dropout=0.3), 2)
    batch = make_batch([20, 13], 24)
    model.eval()
    assert torch.equal(model.logits(batch), model.logits(batch))
    model.train()
    assert not torch.equal(model.logits(batch), model.logits(batch))


@pytest.mark.parametrize(
    "pooling, expected", [("cls", [[1.0, 2.0], [7.0, 8.0]]), ("mean", [[3.0, 4.0], [7.0, 8.0]])]
)
def test_a_classifier_reads_cls_or_the_mean_of_real_tokens(shape, pooling, expected):
    head = ClassificationHead(shape(hidden_size=2, pooling=pooling), 2).eval()
    with torch.no_grad():
        head.out.weight.copy_(torch.eye(2)), head.out.bias.zero_()
    hidden = torch.tensor(
        [[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], [[7.0, 8.0], [50.0, 50.0], [90.0, 9.0]]]
    )
    mask = torch.tensor([[True, True, True], [True, False, False]])
    assert head(hidden, mask).tolist() == expected
    assert head(hidden[:1], None).tolist() == expected[:1]


def test_a_classifier_s_loss_is_a_sum_over_examples(shape, make_batch):
    model = seeded(Classifier, shape(), 3)
    batch = make_batch([20, 13, 4], 24, labels=[0, 2, 1])
    step = model(batch, generator())
    expected = F.cross_entropy(model.logits(batch), batch.labels) * 3
    torch.testing.assert_close(step.losses[0], expected)
    assert step.sums["weight"] == 3


def test_class_weights_make_the_loss_their_weighted_mean(shape, make_batch):
    weights = torch.tensor([1.0, 0.25, 4.0])
    model, plain = (seeded(lambda c: Classifier(c, 3, w), shape()) for w in (weights, None))
    batch = make_batch([20, 13, 4, 9], 24, labels=[0, 2, 1, 2])
    step = model(batch, generator())
    torch.testing.assert_close(
        step.losses[0] / model.counts(batch)[0],
        F.cross_entropy(plain.logits(batch), batch.labels, weights),
    )
    assert model.counts(batch).tolist() == [1 + 4 + 0.25 + 4] == [step.sums["weight"].item()]
    assert set(model.state_dict()) == set(
        plain.state_dict()
    )  # weights of the loss are no weights of the model


def test_one_output_is_a_regression(shape, make_batch):
    model = seeded(Classifier, shape(), 1)
    batch = make_batch([20, 13, 4], 24)._replace(labels=torch.tensor([0.5, -1.0, 2.25]))
    step = model(batch, generator())
    expected = ((model.logits(batch)[:, 0] - batch.labels) ** 2).mean()
    torch.testing.assert_close(step.losses[0] / model.counts(batch)[0], expected)
    assert model.counts(batch).tolist() == [3]


@pytest.mark.parametrize("make", [Electra, BertMLM])
def test_fine_tuning_goes_on_with_embeddings_and_the_large_encoder(shape, make):
    model = make(shape(objective=make.kind))
    classifier = Classifier(shape(), 2)
    for mine, theirs in zip(classifier.encoder_state(), model.encoder_state()):
        mine.load_state_dict(theirs.state_dict())  # strict: every name is there
    assert model.encoder_state()[1].layers[0].up.in_features == 24
    assert model.encoder_state()[0] is model.embeddings


def test_a_row_without_words_trains_and_counts_nothing(shape):
    ids = torch.tensor([[CLS, SEP, PAD, PAD], [CLS, 9, 9, SEP]])
    batch = Batch(ids, torch.zeros_like(ids), ids != PAD)
    model = seeded(Electra, shape())
    step = model(batch, generator())
    assert step.sums["masked"].item() == 1 == model.counts(batch)[0].item()
    assert torch.isfinite(step.losses).all() and not step.detection.replaced[0].any()


# --- weights that are there ---


@pytest.mark.parametrize("init", ["usual", "neighbours"])
def test_a_model_of_given_weights_is_the_model_that_loads_them(shape, make_batch, init):
    make = lambda config: Classifier(config, 3)
    given = seeded(make, shape(attention_init=init))
    weights = {name: value.to(torch.bfloat16) for name, value in given.state_dict().items()}
    model, expected = with_weights(make, given.config, weights, "ckpt.pt"), make(given.config)
    expected.load_state_dict(weights)
    mine, theirs = dict(model.named_parameters()), dict(expected.named_parameters())
    assert model.config == expected.config and mine.keys() == theirs.keys() and model.training
    for name, value in mine.items():
        assert (
            torch.equal(value, theirs[name])
            and value.dtype == torch.float32
            and value.requires_grad
        )
    before = {name: value.clone() for name, value in weights.items()}
    with torch.no_grad():
        for value in model.parameters():
            value.zero_()
    assert all(
        torch.equal(value, before[name]) for name, value in weights.items()
    )  # the model has a copy


def test_finding_out_the_sizes_does_not_load_the_compiler_of_torch(shape, tmp_path):
    """It takes longer than a prediction."""
    config, file = shape(attention_init="neighbours"), tmp_path / "weights.pt"
    torch.save(seeded(Electra, config).state_dict(), file)
    code = (
        f"import sys, torch; from electra.config import *; from electra.model.build import with_weights; from electra.model.electra import Electra\n"
        f"with_weights(Electra, {config!r}, torch.load({str(file)!r}), 'ckpt.pt')\n"
        f"sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
