"""Special tokens with other ids, as released vocabularies have them."""

import pytest
import torch

from electra.config import CLS, MASK, PAD, SEP, SPECIAL_IDS, SpecialIds
from electra.model.bert import BertMLM
from electra.model.electra import Electra
from electra.model.masking import candidates, choose_positions, corrupt_unigram, mask

from .helpers import VOCAB, chi_square, framed, generator, within

pytestmark = pytest.mark.fast

# BERT's; scattered, with the last id of the vocabulary; the first five in another order.
OTHERS = [
    SpecialIds(0, 100, 101, 102, 103),
    SpecialIds(pad=7, unk=3, cls=150, sep=9, mask=199),
    SpecialIds(4, 3, 2, 1, 0),
]
WIDE = 200


def renumbering(special, vocab_size=WIDE):
    """New ids by old ones, (vocab_size,): `special`, then all others in their order."""
    rest = [i for i in range(vocab_size) if i not in special]
    return torch.tensor([*special, *rest])


@pytest.mark.parametrize("special", OTHERS)
def test_special_tokens_with_other_ids_are_never_chosen(special):
    new = renumbering(special)
    ids = torch.arange(WIDE).repeat(50, 1)  # every id once
    is_special = (
        ids[:, :, None] == torch.tensor([special.pad, special.cls, special.sep, special.mask])
    ).any(2)
    assert torch.equal(candidates(ids, special), ~is_special) and is_special.sum() == 4 * 50
    for share in (0.15, 1.0):
        positions, weights = choose_positions(ids, share, generator(), special)
        hits = torch.zeros(ids.shape).scatter_add(1, positions, weights)
        assert hits.max() == 1 and hits[is_special].sum() == 0
        assert (weights.sum(1) == round(share * (WIDE - 4))).all()
    # [UNK] is a token of the text.
    assert candidates(new[:5], special).tolist() == [False, True, False, False, False]


@pytest.mark.parametrize("special", OTHERS)
def test_bert_draws_each_ordinary_id_equally_often_whatever_the_special_ids(special):
    masked = mask(torch.full((3_000, 100), special.unk), 0.15, "mlm", WIDE, generator(), special)
    drawn = masked.input_ids[(masked.input_ids != special.mask) & (masked.input_ids != special.unk)]
    counts = torch.bincount(drawn, minlength=WIDE).tolist()
    ordinary = [i for i in range(WIDE) if i not in special]
    assert within(len(drawn), 45_000, 0.1) and {i for i in range(WIDE) if counts[i]} == set(
        ordinary
    )
    # 261.8 is the 0.1% point of chi-square with 194 degrees of freedom.
    assert chi_square([counts[i] for i in ordinary], [len(drawn) / 195] * 195) < 261.8


def test_ids_0_to_4_give_the_draws_they_always_gave():
    ids, mine = framed(200, 40), generator(3)
    positions, weights = choose_positions(ids, 0.15, mine)
    draw = torch.rand(positions.shape, generator=mine)
    other = 5 + torch.randint(VOCAB - 5, positions.shape, generator=mine)
    new = ids.gather(1, positions)
    new = torch.where(draw < 0.8, MASK, torch.where(draw < 0.9, other, new))
    expected = ids.scatter(1, positions, torch.where(weights.bool(), new, ids.gather(1, positions)))
    for special in ((), (SPECIAL_IDS,), (SpecialIds(0, 1, 2, 3, 4),)):
        assert torch.equal(
            mask(ids, 0.15, "mlm", VOCAB, generator(3), *special).input_ids, expected
        )


@pytest.mark.parametrize("special", OTHERS)
@pytest.mark.parametrize("objective", ["electra", "mlm"])
def test_masking_a_renumbered_text_is_renumbering_the_masked_text(objective, special):
    new = renumbering(special)
    ids = torch.randint(1, WIDE, (50, 60), generator=generator(1))
    ids[:, 0], ids[:, 40], ids[:, 41:] = CLS, SEP, PAD
    plain = mask(ids, 0.25, objective, WIDE, generator(2))
    renumbered = mask(new[ids], 0.25, objective, WIDE, generator(2), special)
    assert torch.equal(renumbered.input_ids, new[plain.input_ids])
    assert torch.equal(renumbered.targets, new[plain.targets])
    assert torch.equal(renumbered.positions, plain.positions)
    assert torch.equal(renumbered.weights, plain.weights)
    assert (plain.input_ids != ids).sum() > 400


@pytest.mark.parametrize("special", OTHERS)
def test_the_fixed_corruption_of_a_renumbered_text_touches_no_special_token(special):
    ids, counts = framed(100, 40), torch.zeros(WIDE)
    counts[[12, 60, 180]] = torch.tensor([1.0, 2.0, 3.0])
    new = renumbering(special)
    corrupted, replaced = corrupt_unigram(new[ids], counts, 0.5, generator(), special)
    there = replaced.bool()
    assert set(corrupted[there].tolist()) == {12, 60, 180}
    assert torch.equal(corrupted[~there], new[ids][~there])
    assert not there[(ids < 5) & (ids != 1)].any()
    assert 1_500 < there.sum() <= 100 * 16  # half of 32 a row


def renumbered(model, new, make, config):
    """The same model over a renumbered vocabulary."""
    copy, state = make(config), dict(model.state_dict())
    for name, value in state.items():
        if name == "embeddings.word.weight" or name.endswith(".head.bias"):
            state[name] = torch.empty_like(value).index_copy_(0, new, value)
    copy.load_state_dict(state)
    return copy


@pytest.mark.parametrize("special", OTHERS)
@pytest.mark.parametrize("make, objective", [(Electra, "electra"), (BertMLM, "mlm")])
def test_renumbering_the_vocabulary_changes_no_loss(
    shape, make_batch, make, objective, special, monkeypatch
):
    # Drawn by the cumulative distribution, a sample depends on the order of the ids; the likeliest
    # token does not.
    monkeypatch.setattr("electra.model.masking.sample", lambda logits, generator: logits.argmax(-1))
    torch.manual_seed(0)
    model, new = make(shape(objective=objective)), renumbering(special)
    with torch.no_grad():
        for parameter in model.parameters():  # so that no bias is 0
            parameter.add_(0.1 * torch.randn_like(parameter))
    batch = make_batch([40, 33, 21], 40)
    other = renumbered(model, new, make, shape(objective=objective, special=special))
    moved = batch._replace(input_ids=new[batch.input_ids])
    assert torch.equal(other.counts(moved), model.counts(batch))
    with torch.no_grad():
        plain, again = model(batch, generator(1)), other(moved, generator(1))
    torch.testing.assert_close(again.losses, plain.losses, rtol=1e-5, atol=1e-5)
    for name, value in plain.sums.items():
        torch.testing.assert_close(again.sums[name], value, rtol=1e-5, atol=1e-5)
    if objective == "electra":
        assert torch.equal(again.detection.corrupted, new[plain.detection.corrupted])
        assert plain.sums["replaced"] > 5
