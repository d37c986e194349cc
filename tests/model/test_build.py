"""Models of a configuration, initialised or with given weights."""

import subprocess
import sys

import pytest
import torch
from conftest import ROOT

from electra.model.bert import BertMLM
from electra.model.build import build, with_weights
from electra.model.classifier import Classifier
from electra.model.electra import RTD_WEIGHT, Electra

from .helpers import seeded


@pytest.mark.fast
def test_build_makes_the_model_of_the_objective(shape):
    electra, bert = build(shape(), 0.25), build(shape(objective="mlm"), 0.25)
    assert (type(electra), type(bert)) == (Electra, BertMLM)
    assert electra.mask_prob == bert.mask_prob == 0.25
    assert (electra.kind, bert.kind) == ("electra", "mlm")
    assert electra.weights == (1.0, RTD_WEIGHT) == (1.0, 50.0) and electra.temperature == 1.0
    mine = build(shape(), 0.25, rtd_weight=20.0, temperature=0.5)
    assert (mine.weights, mine.temperature) == ((1.0, 20.0), 0.5)


@pytest.mark.fast
@pytest.mark.parametrize("init", ["usual", "neighbours"])
def test_a_model_of_given_weights_is_the_model_that_loads_them(shape, make_batch, init):
    def make(config):
        return Classifier(config, 3)

    given = seeded(make, shape(attention_init=init))
    weights = {name: value.to(torch.bfloat16) for name, value in given.state_dict().items()}
    model, expected = with_weights(make, given.config, weights, "ckpt.pt"), make(given.config)
    expected.load_state_dict(weights)
    mine, theirs = dict(model.named_parameters()), dict(expected.named_parameters())
    assert model.config == expected.config and mine.keys() == theirs.keys() and model.training
    for name, value in mine.items():
        assert torch.equal(value, theirs[name])
        assert value.dtype == torch.float32 and value.requires_grad

    # The model has a copy of them.
    before = {name: value.clone() for name, value in weights.items()}
    with torch.no_grad():
        for value in model.parameters():
            value.zero_()
    assert all(torch.equal(value, before[name]) for name, value in weights.items())


def test_finding_out_the_sizes_does_not_load_the_compiler_of_torch(shape, tmp_path):
    """It takes longer than a prediction."""
    config, file = shape(attention_init="neighbours"), tmp_path / "weights.pt"
    torch.save(seeded(Electra, config).state_dict(), file)
    code = (
        f"import sys, torch\n"
        f"from electra.config import *\n"
        f"from electra.model.build import with_weights\n"
        f"from electra.model.electra import Electra\n"
        f"with_weights(Electra, {config!r}, torch.load({str(file)!r}), 'ckpt.pt')\n"
        f"sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0
