"""What shows that a model has learned nothing, in each kind of task."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from electra.evaluation.answers import Prediction
from electra.tasks.task import Example, Sentence, Task, TaskData
from electra.training.finetuning_seed import collapse_of
from electra.training.kinds import KINDS

pytestmark = pytest.mark.fast

LABELS = ("a", "b")
ENOUGH = 30  # examples to tell by
# Kind -> (a training example of each sort, outputs that say the same of everything, what is said).
CONSTANT = {
    "classes": (
        [Example("x", None, 0), Example("y", None, 1)],
        np.tile([0.7, 0.3], (ENOUGH, 1)),
        "it gives every text the same class",
    ),
    "regression": (
        [Example("x", None, 0.0), Example("y", None, 5.0)],
        np.full((ENOUGH, 1), 2.5),
        "it gives every text the same value",
    ),
    "labels": (
        [Example("x", None, ()), Example("y", None, (0, 1))],
        np.full((ENOUGH, 2, 2), 0.4),
        "it gives every text the same probabilities",
    ),
    "tags": (
        [Sentence(("x", "y"), (0, 1))],
        [np.array([[0.7, 0.3]])] * ENOUGH,
        "it gives every word the same tag",
    ),
    "spans": (
        [],
        [Prediction((), 1.0, 0.0)] * ENOUGH,
        "it finds no answer to any question",
    ),
    "vectors": (
        [Example("x", "y", 1.0)],
        np.full((ENOUGH, 2), 0.9),
        "it gives every pair of texts the same cosine",
    ),
}


def prepared(kind, train, class_weights=None):
    data = TaskData(Task("mine", kind=kind), LABELS, train, train, None)
    return SimpleNamespace(kind=KINDS[kind], data=data, class_weights=class_weights)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_that_says_the_same_of_everything_is_described_as_it_is(kind):
    train, outputs, said = CONSTANT[kind]
    assert collapse_of(prepared(kind, train), outputs, loss=0.1) == said


def varied(count):
    """Probabilities of two classes of which each is the likelier one half of the time."""
    return np.array([[0.4, 0.6], [0.6, 0.4]] * (count // 2))


@pytest.mark.parametrize("kind", ["classes", "tags"])
def test_a_loss_like_that_of_the_shares_is_a_collapse(kind):
    train, _, _ = CONSTANT[kind]
    outputs = varied(ENOUGH) if kind == "classes" else [varied(2)] * ENOUGH
    said = "its training loss is no better than without reading the texts"
    assert collapse_of(prepared(kind, train), outputs, math.log(2)) == said
    assert collapse_of(prepared(kind, train), outputs, 0.99 * math.log(2)) == ""


@pytest.mark.parametrize("weights", [None, (3.0, 0.5)])
def test_several_labels_have_a_loss_each(weights):
    """The best answers that do not depend on the text have it as their loss."""
    train = [Example(f"{i}", None, (0,) * (i < 9) + (1,) * (i == 3)) for i in range(10)]
    weights = None if weights is None else torch.tensor(weights)
    one = prepared("labels", train, weights)
    unread = one.kind.unread_loss(one.data, weights)

    targets = torch.tensor([one.kind.target(example, one.data) for example in train])
    shares = targets.mean(0)
    odds = shares / (1 - shares) * (1 if weights is None else weights)
    loss = torch.nn.functional.binary_cross_entropy_with_logits(
        odds.log().expand_as(targets), targets, pos_weight=weights
    )
    assert unread == pytest.approx(float(loss), rel=1e-5)

    outputs = np.stack([varied(ENOUGH), np.full((ENOUGH, 2), 0.5)], -1)
    assert collapse_of(one, outputs, unread).startswith("its training loss")
    assert collapse_of(one, outputs, 0.9 * unread) == ""


def test_a_single_label_that_is_learned_is_no_collapse():
    train = [Example(f"{i}", None, (0,) * (i % 2)) for i in range(10)]
    one = prepared("labels", train)
    one.data = one.data._replace(labels=("a",))
    outputs = np.stack([varied(ENOUGH)[:, :1], np.full((ENOUGH, 1), 0.5)], -1)
    assert collapse_of(one, outputs, 0.1) == ""
