"""FLOPs of a model, counted once more by torch and by hand."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from electra.config import preset_model_config
from electra.data.batch import Batch
from electra.model.build import build
from electra.model.classifier import Classifier
from electra.model.flops import encoder_flops, pretraining_flops

pytestmark = pytest.mark.fast


def counted(run):
    """As the products run: attention in its plain form, of which every product is counted."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_flops_are_those_of_a_step_without_padding(shape, objective):
    B, T = 2, 20  # 15% are 3 positions
    config = shape(
        objective=objective, embedding_size=32, hidden_size=64, num_heads=4, intermediate_size=128
    )
    batch = Batch(
        torch.randint(5, config.vocab_size, (B, T)), torch.zeros(B, T, dtype=torch.int64), None
    )
    model = build(config, 0.15)
    found = counted(lambda: model(batch, torch.Generator().manual_seed(0)).losses.sum())
    assert pretraining_flops(config, 0.15, np.full(B, T)) == pytest.approx(found, rel=1e-3)


@pytest.mark.parametrize("pooling", ["cls", "mean"])
def test_flops_of_fine_tuning(shape, make_batch, pooling):
    config = shape(
        embedding_size=32, hidden_size=64, num_heads=4, intermediate_size=128, pooling=pooling
    )
    batch = make_batch([20, 20], 20, labels=[0, 1])
    model = Classifier(config, 2)
    found = counted(lambda: model(batch, torch.Generator()).losses.sum())
    head = 3 * 2 * 2 * 64 * 2  # the one product that is left out: a row each
    assert 3 * encoder_flops(config, np.array([20, 20]), pooling == "cls") == found - head


def test_small_takes_seventy_million_operations_a_token():
    discriminator = 2 * 128 * 256 + 12 * (2 * 12 * 256**2 + 4 * 128 * 256) + 2 * (256**2 + 256)
    generator = 2 * 128 * 64 + 12 * (2 * 12 * 64**2 + 4 * 128 * 64) + 0.15 * 2 * 128 * (64 + 30_522)
    config = preset_model_config("small", "electra", 30_522)
    a_token = pretraining_flops(config, 0.15, np.full(32, 128)) / (32 * 128)
    assert (
        a_token == pytest.approx(3 * (discriminator + generator)) == pytest.approx(70.2e6, rel=1e-3)
    )


def test_padding_needs_no_flops_and_attention_grows_with_the_square(shape):
    alone = [encoder_flops(shape(), np.array([length])) for length in (10, 20)]
    assert encoder_flops(shape(), np.array([10, 20])) == sum(alone)
    assert alone[1] - 2 * alone[0] == 2 * 4 * 24 * (20**2 - 2 * 10**2)  # layers, C
