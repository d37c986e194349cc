"""Masking and corruption of token ids (paper, section 2), as pure functions on tensors.

They follow `pretrain/pretrain_helpers.py: mask` of google-research/electra, but draw positions
without replacement. Randomness comes in as a `torch.Generator`.

Letters: B rows, T tokens, K masked positions a row, N = B * K, V vocabulary size.

Masked positions are (B, K) indices with (B, K) weights of 0 or 1. So every shape depends on (B, T)
alone, and the host never has to read a value back from the device.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from electra.config import SPECIAL_IDS, SpecialIds

# Shares of the chosen tokens. ELECTRA: the rest stays as it is. BERT: another 10% become a random
# token, and the rest stays (Devlin et al. 2019, appendix A.1).
ELECTRA_MASK_SHARE = 0.85
BERT_MASK_SHARE = 0.8
BERT_MASK_OR_RANDOM_SHARE = 0.9

FIXED_POINT = 2**40  # so that a row of probabilities adds up to an int64, with room to spare


class Masked(NamedTuple):
    """A masked batch: what the generator reads, and where it must predict what."""

    input_ids: Tensor  # (B, T) int64
    positions: Tensor  # (B, K) int64; where the weight is 0, any position
    targets: Tensor  # (B, K) int64: the original ids at `positions`
    weights: Tensor  # (B, K) float32: 1 for a chosen position, 0 otherwise

    def take(self, rows: slice) -> Masked:
        """These rows of the batch."""
        return Masked(*(tensor[rows] for tensor in self))


def real_tokens(input_ids: Tensor, attention_mask: Tensor | None) -> Tensor:
    """Which tokens are not padding: (B, T) bool. No `attention_mask` means no padding."""
    if attention_mask is None:
        return torch.ones_like(input_ids, dtype=torch.bool)
    return attention_mask


def candidates(input_ids: Tensor, special: SpecialIds) -> Tensor:
    """Which tokens may be masked: all but [PAD], [CLS], [SEP] and [MASK].

    (B, T) int64 -> (B, T) bool.
    """
    return (
        (input_ids != special.pad)
        & (input_ids != special.cls)
        & (input_ids != special.sep)
        & (input_ids != special.mask)
    )


def _masked_per_row(candidate: Tensor, mask_prob: float) -> Tensor:
    """round(mask_prob * candidates), at least 1 where there is one: (B, T) bool -> (B,) float32."""
    count = candidate.sum(1)
    return (count * mask_prob).round().clamp(min=1).minimum(count)


def count_masked(input_ids: Tensor, mask_prob: float, special: SpecialIds = SPECIAL_IDS) -> Tensor:
    """How many positions `choose_positions` will choose in a batch, without drawing them.

    (B, T) int64 -> 0-d float32.
    """
    return _masked_per_row(candidates(input_ids, special), mask_prob).sum().float()


def choose_positions(
    input_ids: Tensor,
    mask_prob: float,
    generator: torch.Generator,
    special: SpecialIds = SPECIAL_IDS,
) -> tuple[Tensor, Tensor]:
    """Choose round(mask_prob * candidates) positions of each row, uniformly, without replacement.

    A row with candidates gets at least 1 position; a row without any has weights of 0.

    input_ids (B, T) int64 -> positions (B, K) int64 in no particular order, and weights (B, K)
    float32; K = ceil(mask_prob * T).
    """
    candidate = candidates(input_ids, special)  # (B, T)
    wanted = _masked_per_row(candidate, mask_prob)  # (B,)

    # The highest of uniform random scores are a uniform choice without replacement.
    scores = torch.rand(input_ids.shape, generator=generator, device=input_ids.device)
    scores = scores.masked_fill(~candidate, -1.0)
    K = max(1, math.ceil(input_ids.shape[1] * mask_prob))
    positions = scores.topk(K, dim=1).indices  # (B, K)

    weights = torch.arange(K, device=input_ids.device) < wanted[:, None]  # (B, K)
    return positions, weights.float()


def mask(
    input_ids: Tensor,
    mask_prob: float,
    objective: str,
    vocab_size: int,
    generator: torch.Generator,
    special: SpecialIds = SPECIAL_IDS,
) -> Masked:
    """Mask a batch of token ids, (B, T) int64.

    For the objective "electra", 85% of the chosen tokens become [MASK] and 15% stay. For "mlm",
    80% become [MASK], 10% a random token that is not special, and 10% stay.
    """
    positions, weights = choose_positions(input_ids, mask_prob, generator, special)
    chosen = weights.bool()  # (B, K)
    targets = input_ids.gather(1, positions)  # (B, K)
    draw = torch.rand(positions.shape, generator=generator, device=input_ids.device)

    if objective == "electra":
        new = torch.where(chosen & (draw < ELECTRA_MASK_SHARE), special.mask, targets)
    else:
        ordinary = _ordinary_tokens(positions, vocab_size, generator, special)
        new = torch.where(chosen & (draw < BERT_MASK_SHARE), special.mask, targets)
        becomes_random = (draw >= BERT_MASK_SHARE) & (draw < BERT_MASK_OR_RANDOM_SHARE)
        new = torch.where(chosen & becomes_random, ordinary, new)

    return Masked(input_ids.scatter(1, positions, new), positions, targets, weights)


def _ordinary_tokens(
    positions: Tensor, vocab_size: int, generator: torch.Generator, special: SpecialIds
) -> Tensor:
    """A uniformly drawn token that is not special for each of the positions, (B, K) int64."""
    tokens = torch.randint(
        vocab_size - len(special), positions.shape, generator=generator, device=positions.device
    )
    # Count past the special ids, the smallest first.
    for special_id in sorted(special):
        tokens = tokens + (tokens >= special_id)
    return tokens


def sample(probabilities: Tensor, uniform: Tensor) -> Tensor:
    """Draw one token a row: probabilities (N, V), uniform in [0, 1) (N, 1) -> (N,) int64.

    It inverts the cumulative distribution, which takes one uniform number a row where the Gumbel
    trick takes V. Under `torch.use_deterministic_algorithms` the sums are whole numbers, because a
    GPU adds floats up in an order that varies.
    """
    if torch.are_deterministic_algorithms_enabled():
        probabilities = (probabilities.double() * FIXED_POINT).long()
        uniform = uniform.double()

    cumulative = probabilities.cumsum(-1)  # (N, V)
    drawn = (uniform * cumulative[:, -1:]).to(cumulative.dtype)  # (N, 1)
    tokens = torch.searchsorted(cumulative, drawn, right=True).squeeze(1)  # (N,)
    return tokens.clamp_(max=probabilities.shape[1] - 1)


def corrupt(original_ids: Tensor, masked: Masked, sampled: Tensor) -> tuple[Tensor, Tensor]:
    """Put the sampled tokens into the unmasked input at the chosen positions.

    A sample that equals the original token counts as original (paper, section 2).

    original_ids (B, T) int64, sampled (B, K) int64 -> corrupted ids (B, T) int64, and replaced
    (B, T) float32: 1 where the id differs from the original.
    """
    new = torch.where(masked.weights.bool(), sampled, masked.targets)  # (B, K)
    corrupted = original_ids.scatter(1, masked.positions, new)  # (B, T)
    return corrupted, (corrupted != original_ids).float()


def corrupt_unigram(
    input_ids: Tensor,
    unigram: Tensor,
    share: float,
    generator: torch.Generator,
    special: SpecialIds = SPECIAL_IDS,
) -> tuple[Tensor, Tensor]:
    """Replace a share of the candidates by draws from unigram counts, (V,).

    This corruption does not depend on the model, so that discriminators can be compared by it.
    Returns corrupted ids (B, T) int64 and replaced (B, T) float32, as `corrupt` does.
    """
    positions, weights = choose_positions(input_ids, share, generator, special)
    sampled = _draw_from_counts(unigram, positions.numel(), generator).view_as(positions)

    masked = Masked(input_ids, positions, input_ids.gather(1, positions), weights)
    return corrupt(input_ids, masked, sampled)


def _draw_from_counts(counts: Tensor, num_draws: int, generator: torch.Generator) -> Tensor:
    """Token ids drawn in proportion to their counts: (V,) -> (num_draws,) int64."""
    if not torch.are_deterministic_algorithms_enabled():
        return torch.multinomial(counts.float(), num_draws, replacement=True, generator=generator)

    # `multinomial` adds up floats. Whole numbers have the same sum in any order.
    cumulative = counts.long().cumsum(0)  # (V,)
    uniform = torch.rand(num_draws, generator=generator, device=counts.device)
    drawn = (uniform.double() * cumulative[-1]).long()
    return torch.searchsorted(cumulative, drawn, right=True)
