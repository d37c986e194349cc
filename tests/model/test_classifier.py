"""The classifier: pooling, its losses, and micro-batches that add up to their batch."""

import pytest
import torch
import torch.nn.functional as F

from electra.data.batch import Batch
from electra.model.bert import BertMLM
from electra.model.classifier import Classifier
from electra.model.electra import Electra
from electra.model.heads import ClassificationHead
from electra.training.device import Precision
from electra.training.loss_scale import LossScale
from electra.training.optimizer import Adam, parameter_groups
from electra.training.step import Learner, train_step

from .helpers import generator, seeded

pytestmark = pytest.mark.fast

OFF = Precision(None, "cpu")


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


def test_the_logits_of_a_text_are_the_mean_over_its_windows(shape, make_batch):
    model = seeded(Classifier, shape(), 3).eval()
    rows = make_batch([20, 17, 9, 5, 3, 20], 20)
    windows = rows.map(lambda t: t.unflatten(0, (2, 3)))._replace(labels=torch.tensor([0, 2]))
    means = model.logits(rows).view(2, 3, -1).mean(1)
    torch.testing.assert_close(model.logits(windows), means)
    loss = model(windows, generator()).losses
    torch.testing.assert_close(loss, F.cross_entropy(means, windows.labels, reduction="sum")[None])


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_the_head_reads_the_last_layer(shape, make_batch, pooling):
    """On [CLS] the model computes nothing else of it; the logits are those of the whole layer."""
    model = seeded(Classifier, shape(pooling=pooling), 3).eval()
    batch = make_batch([20, 13, 5], 24)
    embedded = model.embeddings(batch.input_ids, batch.token_type_ids)
    hidden = model.encoder(embedded, batch.attention_mask)  # (B, T, C)
    assert model.hidden(batch).shape[1] == (1 if pooling == "cls" else 24)
    expected = model.head(hidden, batch.attention_mask)
    torch.testing.assert_close(model.logits(batch), expected, rtol=1e-5, atol=1e-6)


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
    model, plain = (seeded(Classifier, shape(), 3, w) for w in (weights, None))
    batch = make_batch([20, 13, 4, 9], 24, labels=[0, 2, 1, 2])
    step = model(batch, generator())
    torch.testing.assert_close(
        step.losses[0] / model.counts(batch)[0],
        F.cross_entropy(plain.logits(batch), batch.labels, weights),
    )
    assert model.counts(batch).tolist() == [1 + 4 + 0.25 + 4] == [step.sums["weight"].item()]
    # Weights of the loss are no weights of the model.
    assert set(model.state_dict()) == set(plain.state_dict())


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
    for mine, theirs in zip(classifier.encoder_state(), model.encoder_state(), strict=True):
        mine.load_state_dict(theirs.state_dict())  # strict: every name is there
    assert model.encoder_state()[1].layers[0].up.in_features == 24
    assert model.encoder_state()[0] is model.embeddings
