"""Masking and corruption: exact counts, and shares within four standard deviations."""

import math

import pytest
import torch

from electra.config import CLS, MASK, PAD, SEP, SPECIAL_TOKENS
from electra.model.masking import Masked, choose_positions, corrupt, corrupt_unigram, mask, sample

from .helpers import VOCAB, chi_square, framed, generator, within, words

pytestmark = pytest.mark.fast


# Candidates, share -> round(share * candidates), at least 1, at most all; by hand.
@pytest.mark.parametrize(
    "candidates, share, expected",
    [
        (0, 0.15, 0),
        (1, 0.15, 1),
        (3, 0.15, 1),
        (9, 0.15, 1),
        (11, 0.15, 2),
        (12, 0.15, 2),
        (126, 0.15, 19),
        (125, 0.15, 19),
        (126, 0.25, 32),
        (4, 1.0, 4),
        (20, 0.5, 10),
    ],
)
def test_each_row_has_exactly_its_share_of_positions(candidates, share, expected):
    ids = torch.full((3, 128), PAD)
    ids[:, 0] = CLS
    ids[:, 1 : 1 + candidates] = 50
    ids[:, 1 + candidates] = SEP
    positions, weights = choose_positions(ids, share, generator())
    assert weights.sum(1).tolist() == [expected] * 3
    assert positions.shape == weights.shape == (3, max(1, math.ceil(128 * share)))
    chosen = [set(p[w.bool()].tolist()) for p, w in zip(positions, weights, strict=True)]
    assert all(len(row) == expected and row <= set(range(1, 1 + candidates)) for row in chosen)


@pytest.mark.parametrize("share", [0.15, 0.25, 0.9, 1.0])
def test_special_tokens_are_never_chosen_and_no_position_is_chosen_twice(share):
    ids = framed(50, 40)
    special = (ids < 5) & (ids != 1)
    for seed in range(20):
        positions, weights = choose_positions(ids, share, generator(seed))
        hits = torch.zeros(ids.shape).scatter_add(1, positions, weights)
        assert hits.max() == 1 and hits[special].sum() == 0
        assert (weights.sum(1) == round(share * (40 - 8))).all()


def test_an_unknown_token_may_be_chosen():
    positions, weights = choose_positions(torch.tensor([[CLS, 1, SEP]]), 0.15, generator())
    assert weights.tolist() == [[1.0]] and positions.tolist() == [[1]]


def test_positions_are_uniform():
    ids = torch.full((20_000, 12), 50)
    ids[:, 0], ids[:, 11] = CLS, SEP
    positions, weights = choose_positions(ids, 0.15, generator())  # round(1.5) = 2 of 10
    counts = torch.bincount(positions[weights.bool()], minlength=12).tolist()
    assert sum(counts) == 40_000 and counts[0] == counts[11] == 0
    # Without replacement a count varies by (1 - 2 / 10), and the sum of squares with it; 27.9 is
    # the 0.1% point of chi-square with 9 degrees of freedom.
    assert chi_square(counts[1:11], [4_000] * 10) < 27.9


def test_masking_is_a_function_of_the_generator():
    ids = words(4, 64)
    first, again, other = (mask(ids, 0.15, "mlm", VOCAB, generator(seed)) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first.positions, other.positions)


@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_only_chosen_positions_change_and_targets_are_the_originals(objective):
    ids = framed(200, 40)
    before = ids.clone()
    masked = mask(ids, 0.15, objective, VOCAB, generator())
    assert torch.equal(ids, before)
    chosen = torch.zeros(ids.shape).scatter_add(1, masked.positions, masked.weights).bool()
    assert torch.equal(masked.input_ids[~chosen], ids[~chosen])
    assert torch.equal(masked.targets, ids.gather(1, masked.positions))


def shares(objective):
    """(number chosen, became [MASK], stayed, became another) over 30,000 chosen positions."""
    ids = words(1_000, 200)
    masked = mask(ids, 0.15, objective, VOCAB, generator())
    new = masked.input_ids.gather(1, masked.positions)
    assert masked.weights.all()
    masks, stayed = (new == MASK).sum().item(), (new == masked.targets).sum().item()
    return new.numel(), masks, stayed, new[(new != MASK) & (new != masked.targets)]


def test_electra_masks_85_percent_and_leaves_the_rest():
    n, masks, stayed, others = shares("electra")
    assert n == 30_000 and within(masks, n, 0.85) and masks + stayed == n and len(others) == 0


def test_bert_masks_80_percent_and_replaces_10():
    n, masks, stayed, others = shares("mlm")
    same = 1 / (VOCAB - 5)  # of the random tokens happen to be the original
    assert n == 30_000 and within(masks, n, 0.8)
    assert within(stayed, n, 0.1 + 0.1 * same) and within(len(others), n, 0.1 * (1 - same))


def test_bert_draws_any_ordinary_token_and_never_a_special_one():
    _, _, _, others = shares("mlm")
    assert set(others.tolist()) == set(range(len(SPECIAL_TOKENS), VOCAB))
    # Of a vocabulary with one ordinary token, a random one is that token.
    masked = mask(torch.full((1_000, 200), 5), 0.15, "mlm", 6, generator())
    assert within((masked.input_ids == MASK).sum().item(), 30_000, 0.8)
    assert set(masked.input_ids.unique().tolist()) == {MASK, 5}


def draw(logits):
    """One token a row from softmax(logits)."""
    return sample(
        torch.softmax(logits.float(), -1), torch.rand(len(logits), 1, generator=generator())
    )


def test_samples_follow_the_softmax():
    logits = torch.tensor([2.0, 0.0, -1.0, 1.0, -math.inf, 0.5])
    n = 50_000
    counts = torch.bincount(draw(logits.expand(n, -1)), minlength=6).tolist()
    weights = [math.exp(x) for x in logits.tolist()]
    expected = [n * w / sum(weights) for w in weights]
    assert counts[4] == 0
    keep = [0, 1, 2, 3, 5]
    assert (
        chi_square([counts[i] for i in keep], [expected[i] for i in keep]) < 18.5
    )  # 0.1% point at 4 degrees


def test_every_row_is_sampled_from_its_own_distribution():
    logits = torch.full((7, 7), -100.0).fill_diagonal_(100.0)[torch.tensor([3, 0, 6, 1, 2, 5, 4])]
    assert draw(logits).tolist() == [3, 0, 6, 1, 2, 5, 4]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_samples_are_tokens_for_large_logits_and_vocabularies_in_any_precision(dtype):
    logits = (20 * torch.randn(64, 30_522, generator=generator())).to(dtype)
    logits[:, -1] = logits.max()
    drawn = draw(logits)
    assert drawn.dtype == torch.int64 and drawn.min() >= 0 and drawn.max() < 30_522
    chance = torch.softmax(logits.double(), -1).gather(1, drawn[:, None])
    assert chance.min() > 1e-9


def test_a_sample_that_equals_the_original_counts_as_original():
    original = torch.tensor([[CLS, 10, 11, 12, 13, SEP], [CLS, 20, 21, SEP, PAD, PAD]])
    masked = Masked(
        torch.tensor([[CLS, MASK, 11, MASK, MASK, SEP], [CLS, 20, MASK, SEP, PAD, PAD]]),
        positions=torch.tensor([[3, 1, 4], [2, 4, 0]]),
        targets=torch.tensor([[12, 10, 13], [21, PAD, CLS]]),
        weights=torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0]]),
    )
    corrupted, replaced = corrupt(original, masked, torch.tensor([[12, 77, 13], [88, 99, 99]]))
    assert corrupted.tolist() == [[CLS, 77, 11, 12, 13, SEP], [CLS, 20, 88, SEP, PAD, PAD]]
    assert (
        replaced.tolist() == [[0, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]]
        and replaced.dtype == torch.float32
    )
    assert original.tolist()[0] == [CLS, 10, 11, 12, 13, SEP]


def test_the_fixed_corruption_draws_its_share_from_the_unigram_counts():
    ids = framed(2_000, 48)  # 40 candidates a row: 4 chosen
    counts = torch.zeros(VOCAB)
    counts[[10, 11, 12]] = torch.tensor([6.0, 3.0, 1.0])
    ids[ids >= 5] = ids[ids >= 5].clamp(min=20)
    corrupted, replaced = corrupt_unigram(ids, counts, 0.10, generator())
    assert torch.equal(replaced.bool(), corrupted != ids)
    assert replaced.sum(1).tolist() == [4.0] * 2_000
    drawn = torch.bincount(corrupted[replaced.bool()], minlength=VOCAB)[[10, 11, 12]].tolist()
    assert chi_square(drawn, [4_800, 2_400, 800]) < 13.9  # 0.1% point at 2 degrees


def test_the_fixed_corruption_is_the_same_for_every_model():
    ids, counts = framed(8, 40), torch.rand(VOCAB, generator=generator())
    first, again = (corrupt_unigram(ids, counts, 0.1, generator(7)) for _ in range(2))
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])


# --- without sums whose order varies ---


@pytest.fixture
def deterministic():
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def test_deterministic_samples_follow_the_distribution_too(deterministic):
    probabilities = torch.tensor([0.5, 0.25, 0.2, 0.05, 0.0])
    uniform = (torch.arange(20_000) + 0.5)[:, None] / 20_000  # evenly, so that counts are exact
    counts = torch.bincount(sample(probabilities.expand(20_000, -1), uniform), minlength=5)
    assert counts.tolist() == [10_000, 5_000, 4_000, 1_000, 0]


def test_deterministic_samples_stay_below_the_vocabulary(deterministic):
    probabilities = torch.softmax(torch.randn(50, 30_522, generator=generator()), -1)
    for edge in (0.0, 1 - 2**-24):
        drawn = sample(probabilities, torch.full((50, 1), edge))
        assert drawn.min() >= 0 and drawn.max() < 30_522
        assert (probabilities.gather(1, drawn[:, None]) > 0).all()


def test_the_fixed_corruption_has_the_same_distribution_when_deterministic():
    ids, counts = torch.full((64, 128), 5), torch.zeros(10)
    counts[5:] = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0])
    drawn = []
    for mode in (False, True):
        torch.use_deterministic_algorithms(mode)
        try:
            corrupted, replaced = corrupt_unigram(ids, counts, 0.5, generator())
        finally:
            torch.use_deterministic_algorithms(False)
        assert replaced.sum() == 64 * 64
        drawn.append(torch.bincount(corrupted[replaced.bool()], minlength=10)[5:] / (64 * 64))
    for shares in drawn:
        assert shares.tolist() == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4], abs=0.03)
