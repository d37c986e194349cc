"""Masking and corruption, as pure functions on tensors. Randomness comes in as a `torch.Generator`.

Letters: B rows, T tokens, K masked positions a row, V vocabulary. Masked positions are kept as (B, K) indices with
a (B, K) weight of 0 or 1, so that every shape depends on (B, T) alone and nothing has to be read back from a device.
Follows `pretrain/pretrain_helpers.py: mask` of google-research/electra, but draws *without* replacement.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from electra.config import SPECIAL_IDS, SpecialIds

FIXED_POINT = 2**40  # so that the sum of a row of probabilities fits into 64 bits with room


class Masked(NamedTuple):
    """A masked batch: what the generator reads, and where and what it must predict."""

    input_ids: Tensor  # (B, T) int64
    positions: Tensor  # (B, K) int64; where weight is 0, any position
    targets: Tensor  # (B, K) int64: the original ids at `positions`
    weights: Tensor  # (B, K) float32, 1 for a chosen position, 0 for none


def candidates(input_ids: Tensor, special: SpecialIds) -> Tensor:
    """Which tokens may be masked: all but [PAD], [CLS], [SEP] and [MASK]. (B, T) int64 -> (B, T) bool."""
    return (
        (input_ids != special.pad)
        & (input_ids != special.cls)
        & (input_ids != special.sep)
        & (input_ids != special.mask)
    )


def choose_positions(
    input_ids: Tensor,
    mask_prob: float,
    generator: torch.Generator,
    special: SpecialIds = SPECIAL_IDS,
) -> tuple[Tensor, Tensor]:
    """Choose round(mask_prob * candidates), at least 1, positions in each row, uniformly, each at most once.

    A row without candidates gets weights of 0.
    Returns positions (B, K) int64 in no particular order and weights (B, K) float32; K = ceil(mask_prob * T).
    """
    candidate = candidates(input_ids, special)  # (B, T)
    count = candidate.sum(1)  # (B,)
    wanted = (count * mask_prob).round().clamp(min=1).minimum(count)
    most = max(1, math.ceil(input_ids.shape[1] * mask_prob))
    score = torch.rand(input_ids.shape, generator=generator, device=input_ids.device)
    score = score.masked_fill(~candidate, -1.0)
    positions = score.topk(most, dim=1).indices  # (B, K)
    weights = torch.arange(most, device=input_ids.device) < wanted[:, None]  # (B, K)
    return positions, weights.float()


def mask(
    input_ids: Tensor,
    mask_prob: float,
    objective: str,
    vocab_size: int,
    generator: torch.Generator,
    special: SpecialIds = SPECIAL_IDS,
) -> Masked:
    """Mask a batch, (B, T) int64.

    "electra": of the chosen, 85% become [MASK], 15% stay. "mlm" is BERT's recipe: 80% [MASK], 10% a random token that
    is not special, 10% stay (Devlin et al. 2019, appendix A.1).
    """
    positions, weights = choose_positions(input_ids, mask_prob, generator, special)
    targets = input_ids.gather(1, positions)
    draw = torch.rand(positions.shape, generator=generator, device=input_ids.device)
    chosen = weights.bool()
    if objective == "electra":
        new = torch.where(chosen & (draw < 0.85), special.mask, targets)
    else:
        other = torch.randint(
            vocab_size - len(special), positions.shape, generator=generator, device=input_ids.device
        )
        for id_ in sorted(special):  # the ids below V that are not special, counted from 0
            other = other + (other >= id_)
        new = torch.where(chosen & (draw < 0.8), special.mask, targets)
        new = torch.where(chosen & (draw >= 0.8) & (draw < 0.9), other, new)
    return Masked(input_ids.scatter(1, positions, new), positions, targets, weights)


def sample(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """One draw a row: probabilities (N, V), uniform numbers in [0, 1) (N, 1) -> (N,) int64.

    By the inverse of the cumulative distribution: one uniform number a row, where the Gumbel trick
    needs V. Under `torch.use_deterministic_algorithms` the sums are whole numbers, since a GPU adds
    floats up in an order that varies.
    """
    if torch.are_deterministic_algorithms_enabled():
        probabilities = (probabilities.double() * FIXED_POINT).long()
        uniform = uniform.double()
    cumulative = probabilities.cumsum(-1)  # (N, V)
    drawn = (uniform * cumulative[:, -1:]).to(cumulative.dtype)
    tokens = torch.searchsorted(cumulative, drawn, right=True).squeeze(1)
    return tokens.clamp_(max=probabilities.shape[1] - 1)


def corrupt(original_ids: Tensor, masked: Masked, sampled: Tensor) -> tuple[Tensor, Tensor]:
    """Put `sampled` (B, K) into the *unmasked* input at the chosen positions.

    Returns the corrupted ids (B, T) and `replaced` (B, T) float32: 1 where the id differs from the original. A sample
    that equals the original counts as original (paper, section 2).
    """
    new = torch.where(masked.weights.bool(), sampled, masked.targets)
    corrupted = original_ids.scatter(1, masked.positions, new)
    return corrupted, (corrupted != original_ids).float()


def corrupt_unigram(
    input_ids: Tensor,
    unigram: Tensor,
    share: float,
    generator: torch.Generator,
    special: SpecialIds = SPECIAL_IDS,
) -> tuple[Tensor, Tensor]:
    """Replace `share` of the candidates by draws from unigram counts (V,): a corruption that is the same for every
    model, so that discriminators compare. Returns corrupted ids (B, T) and `replaced` (B, T) as `corrupt` does."""
    positions, weights = choose_positions(input_ids, share, generator, special)
    if torch.are_deterministic_algorithms_enabled():
        cumulative = unigram.long().cumsum(0)  # `multinomial` adds up floats
        uniform = torch.rand(positions.numel(), generator=generator, device=unigram.device)
        drawn = (uniform.double() * cumulative[-1]).long()
        draws = torch.searchsorted(cumulative, drawn, right=True)
    else:
        draws = torch.multinomial(
            unigram.float(), positions.numel(), replacement=True, generator=generator
        )
    masked = Masked(input_ids, positions, input_ids.gather(1, positions), weights)
    return corrupt(input_ids, masked, draws.view_as(positions))
